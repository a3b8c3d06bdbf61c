use std::io::{self, Write};

use super::text::{Ink, Style, fit, right, width};

/// A row of a bar chart.
pub(super) struct Bar {
    pub(super) name: String,
    /// The length, in any unit that all bars of a chart share.
    pub(super) value: u64,
    /// The value as text, and its share.
    pub(super) value_text: String,
    pub(super) share: String,
    /// A mark behind the name: `✔` for elected, `=` for tied.
    pub(super) mark: char,
    pub(super) ink: Ink,
}

/// Draws bars in eighths of a column, the longest as wide as the terminal allows.
pub(super) fn print(bars: &[Bar], style: Style, out: &mut impl Write) -> io::Result<()> {
    let columns = style.columns();
    let widest =
        |text: fn(&Bar) -> &str| bars.iter().map(|bar| width(text(bar))).max().unwrap_or(0);
    let names = widest(|bar| &bar.name).min(columns / 3);
    let values = widest(|bar| &bar.value_text);
    let shares = widest(|bar| &bar.share);
    // Name, space, mark, space, bar, space, value, two spaces, share.
    let room = columns
        .saturating_sub(names + values + shares + 6)
        .clamp(8, 60);
    let longest = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    for bar in bars {
        let eighths = u128::from(bar.value) * (room as u128 * 8) / u128::from(longest);
        let eighths = usize::try_from(eighths).unwrap_or(0);
        let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        let drawn = format!("{}{part}", "█".repeat(eighths / 8));
        let name = format!("{} {}", fit(&bar.name, names), bar.mark);
        let line = format!(
            "{} {} {}  {}",
            style.paint(bar.ink, &name),
            style.paint(bar.ink, &fit(&drawn, room)),
            right(&bar.value_text, values),
            style.paint(Ink::Faint, &right(&bar.share, shares)),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
