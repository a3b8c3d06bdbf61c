use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::tally::Fixed;

/// How to print for people.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The columns of the terminal.
    pub width: usize,
    /// Whether the terminal shows colours.
    pub color: bool,
}

/// Colours by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Heading,
    Elected,
    Out,
    Faint,
}

impl Style {
    pub(super) fn paint(self, ink: Ink, text: &str) -> Cow<'_, str> {
        let code = match ink {
            Ink::Plain => return Cow::Borrowed(text),
            Ink::Heading => "1",
            Ink::Elected => "1;32",
            Ink::Out => "31",
            Ink::Faint => "2",
        };
        if self.color && !text.trim().is_empty() {
            Cow::Owned(format!("\u{1b}[{code}m{text}\u{1b}[0m"))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// The width in use: neither unreadably small nor wider than a screen.
    pub(super) fn columns(self) -> usize {
        self.width.clamp(40, 200)
    }
}

/// A text from a file, fit for a terminal: control characters and characters that change the
/// direction of writing are replaced.
pub(super) fn clean(text: &str) -> String {
    let harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|character| {
            if harmful(character) {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

/// The columns that a text takes in a terminal.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// A text of exactly this width: cut with an ellipsis, or padded on the right.
pub(super) fn fit(text: &str, columns: usize) -> String {
    let whole = width(text);
    if whole <= columns {
        return format!("{text}{}", " ".repeat(columns - whole));
    }
    let mut cut = String::new();
    let mut used = 0;
    for character in text.chars() {
        let needed = character.width().unwrap_or(0);
        if used + needed + 1 > columns {
            break;
        }
        used += needed;
        cut.push(character);
    }
    format!("{cut}…{}", " ".repeat(columns.saturating_sub(used + 1)))
}

/// A text padded on the left.
pub(super) fn right(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// A whole number with commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with commas, and with this many decimals.
pub(super) fn decimal<const PARTS: u64>(number: Fixed<PARTS>, decimals: usize) -> String {
    let whole = grouped(number.whole());
    if decimals == 0 && number.is_whole() {
        return whole;
    }
    format!("{whole}.{:0<decimals$}", number.decimals())
}

/// A part of a whole in per cent with one decimal, rounded half up.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = (u128::from(part) * 2_000 + u128::from(whole)) / (2 * u128::from(whole));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Names in a sentence: "Ann, Bob and Cem".
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

/// A text in lines of at most this width; all but the first are indented.
pub(super) fn wrapped(text: &str, columns: usize, indent: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let needed = width(word);
        if used > 0 && used + 1 + needed > columns {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = indent;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += needed;
    }
    lines
}
