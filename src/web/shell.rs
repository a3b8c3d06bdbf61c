//! The page's HTML: the same for all addresses apart from its head.

use std::fmt::Write;

use super::assets::{FOLDER, INDEX, with_imports};
use crate::config::Config;
use crate::markup::escaped;
use crate::results::Poll;

/// How much of the choices a preview shows, in characters.
const PREVIEW: usize = 200;

/// What a page is about.
pub enum About<'a> {
    Polls,
    Question(&'a Poll),
}

/// The page without its head's changing part.
pub struct Shell {
    before: String,
    after: String,
    /// The address by which others reach the server, where it is known.
    public_url: Option<String>,
}

impl Shell {
    pub fn new(config: &Config) -> Shell {
        let mut offers = Vec::new();
        if config.http.docs {
            offers.push("docs");
        }
        if config.accounts.registration {
            offers.push("registration");
        }
        let html = with_assets(INDEX, "main.js").replace("{{offers}}", &offers.join(" "));
        let (before, after) = html.split_once("{{about}}").unwrap_or((&html, ""));
        Shell {
            before: before.to_owned(),
            after: after.to_owned(),
            public_url: config.server.public_url.as_ref().map(ToString::to_string),
        }
    }

    pub fn page(&self, about: About<'_>) -> String {
        let about = match about {
            About::Polls => "<title>polls</title>\n\
                <meta name=\"description\" content=\"Ask anything. See what people think.\">"
                .to_owned(),
            About::Question(poll) => self.about(poll),
        };
        [&self.before, about.as_str(), &self.after].concat()
    }

    /// What chats and search engines show of a question (Open Graph).
    fn about(&self, poll: &Poll) -> String {
        let title = escaped(&poll.question.question_text);
        let choices: Vec<&str> = poll
            .choices
            .iter()
            .map(|choice| choice.choice_text.as_str())
            .collect();
        let choices: String = choices.join(" · ").chars().take(PREVIEW).collect();
        let description = escaped(&choices);
        let mut about = format!(
            "<title>{title} · polls</title>\n\
             <meta name=\"description\" content=\"{description}\">\n\
             <meta property=\"og:type\" content=\"website\">\n\
             <meta property=\"og:site_name\" content=\"polls\">\n\
             <meta property=\"og:title\" content=\"{title}\">\n\
             <meta property=\"og:description\" content=\"{description}\">"
        );
        if let Some(origin) = &self.public_url {
            let (origin, id) = (escaped(origin), poll.question.id);
            // Writing to a string cannot fail.
            let _ = write!(
                about,
                "\n<meta property=\"og:url\" content=\"{origin}/questions/{id}\">"
            );
        }
        about
    }
}

/// Puts the addresses of the assets into a page. The modules are named beforehand, so that they
/// are loaded side by side.
pub fn with_assets(html: &str, start: &str) -> String {
    let mut modules = String::new();
    for file in with_imports(start).iter().skip(1) {
        let _ = writeln!(
            modules,
            "<link rel=\"modulepreload\" href=\"{{{{assets}}}}/{}\">",
            file.name
        );
    }
    html.replace("{{modules}}", modules.trim_end())
        .replace("{{assets}}", &FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_filled_in() {
        for html in [
            with_assets(INDEX, "main.js"),
            with_assets(super::super::EMBED, "embed.js"),
        ] {
            let open = html.replace("{{offers}}", "").replace("{{about}}", "");
            assert!(!open.contains("{{"), "{open}");
            assert!(html.matches("modulepreload").count() > 5);
        }
    }
}
