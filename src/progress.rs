//! Progress bars.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on standard error, if that is a terminal. It is gone when this is dropped.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new(quiet: bool, length: u64, what: &'static str) -> Bar {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        bar.set_message(what);
        Bar(bar).with_template("{bar:30} {pos}/{len} {msg}")
    }

    /// The bar with another form, in indicatif's notation.
    pub fn with_template(self, template: &str) -> Bar {
        let style = ProgressStyle::with_template(template);
        self.0
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self
    }

    pub fn with_prefix(self, prefix: String) -> Bar {
        self.0.set_prefix(prefix);
        self
    }

    pub fn is_hidden(&self) -> bool {
        self.0.is_hidden()
    }

    pub fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }

    /// Shows a position and a message.
    pub fn show(&self, position: u64, message: String) {
        self.0.set_position(position);
        self.0.set_message(message);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
