//! Normalising, comparing and checking text, so that every database stores and finds the same.

use icu_properties::props::{
    DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization as _;
use validator::ValidationError;

/// Text in Unicode NFC without white space around it.
pub fn normalise(text: &str) -> String {
    text.trim().nfc().collect()
}

/// Text as it is compared where case does not matter: normalised, then case-folded.
pub fn fold(text: &str) -> String {
    fold_case(&normalise(text))
}

/// Text as it is compared where case does not matter, but white space does, as in passwords.
pub fn fold_case(text: &str) -> String {
    let text: String = text.nfc().collect();
    caseless::default_case_fold_str(&text).nfc().collect()
}

/// Checks one line of text: no control characters, among them NUL, which PostgreSQL cannot store,
/// and at least one visible character. An empty text passes: its length is checked apart.
pub fn line(text: &str) -> Result<(), ValidationError> {
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(ValidationError::new("control_character")
            .with_message("must not contain control characters or line breaks".into()));
    }
    if !text.is_empty() {
        visible(text)?;
    }
    directions_end(text)
}

/// Checks text that may have several lines.
pub fn lines(text: &str) -> Result<(), ValidationError> {
    if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(ValidationError::new("control_character")
            .with_message("must not contain control characters but line breaks and tabs".into()));
    }
    directions_end(text)
}

/// Checks that text has at least one visible character.
pub fn visible(text: &str) -> Result<(), ValidationError> {
    if text.contains(is_visible) {
        return Ok(());
    }
    Err(ValidationError::new("invisible")
        .with_message("must have a character that can be seen".into()))
}

/// Letters and symbols whose glyph is blank by design, beside those that Unicode counts among the
/// default-ignorable ones (such as U+3164 HANGUL FILLER).
const BLANKS: [char; 5] = [
    '\u{2800}',  // BRAILLE PATTERN BLANK
    '\u{13441}', // EGYPTIAN HIEROGLYPH FULL BLANK
    '\u{13442}', // EGYPTIAN HIEROGLYPH HALF BLANK
    '\u{16fe4}', // KHITAN SMALL SCRIPT FILLER
    '\u{1d159}', // MUSICAL SYMBOL NULL NOTEHEAD
];

fn is_visible(c: char) -> bool {
    let format = || CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format;
    !(c.is_whitespace() || c.is_control() || is_ignorable(c) || BLANKS.contains(&c) || format())
}

/// Unicode's Default_Ignorable_Code_Point: characters that are invisible unless they change how
/// others are shown.
fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Refuses controls of the writing direction (UAX #9, section 2) that do not end in their
/// paragraph, or that end what was not begun: they would reverse the text that a page shows next
/// to this one.
fn directions_end(text: &str) -> Result<(), ValidationError> {
    let is_balanced = |paragraph: &str| {
        let mut open = Vec::new();
        let ends = paragraph.chars().all(|c| match c {
            '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' => {
                open.push('\u{202c}');
                true
            }
            '\u{2066}'..='\u{2068}' => {
                open.push('\u{2069}');
                true
            }
            '\u{202c}' | '\u{2069}' => open.pop() == Some(c),
            _ => true,
        });
        ends && open.is_empty()
    };
    if text.split(['\n', '\r', '\u{2029}']).all(is_balanced) {
        return Ok(());
    }
    let message = "must end each change of the writing direction in its paragraph: U+202A, U+202B, \
        U+202D and U+202E with U+202C, U+2066 to U+2068 with U+2069";
    Err(ValidationError::new("open_direction").with_message(message.into()))
}

/// Text as it is compared where two texts must look different: without invisible characters
/// (Default_Ignorable_Code_Point), such as zero-width spaces, joiners in words and variation
/// selectors.
///
/// Two kinds of invisible characters decide which emoji is shown, and stay: the joiner (U+200D)
/// between two pictures, as in a family, and the tags after a picture, as in the flag of Scotland.
/// With a font that does not know the sequence, two different texts may still look alike.
pub fn appearance(text: &str) -> String {
    let is_picture = |c| CodePointSetData::new::<ExtendedPictographic>().contains(c);
    let ends_picture = |c| {
        let is_tag = matches!(c, TAGS_BEGIN..=TAGS_END);
        is_tag || is_picture(c) || CodePointSetData::new::<EmojiModifier>().contains(c)
    };
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let stays = match c {
            JOINER => rest.clone().next().is_some_and(is_picture),
            TAGS_BEGIN..=TAGS_END => true,
            _ => false,
        };
        if !is_ignorable(c) || stays && kept.ends_with(ends_picture) {
            kept.push(c);
        }
    }
    kept
}

const JOINER: char = '\u{200d}';
const TAGS_BEGIN: char = '\u{e0020}';
const TAGS_END: char = '\u{e007f}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_letters_become_one() {
        assert_eq!(normalise(" e\u{301}\u{3000}"), "\u{e9}");
    }

    #[test]
    fn folding_ignores_case_but_not_accents() {
        assert_eq!(fold("STRASSE@É.example"), fold("straße@é.example"));
        assert_ne!(fold("é"), fold("e"));
    }

    #[test]
    fn nul_is_refused_everywhere() {
        assert!(line("a\0b").is_err() && lines("a\0b").is_err());
        assert!(line("a\nb").is_err() && lines("a\nb").is_ok());
        assert!(line("a\u{2028}b").is_err() && line("a\u{2029}b").is_err());
    }

    fn code(checked: Result<(), ValidationError>) -> String {
        checked
            .err()
            .map_or("none".into(), |error| error.code.into())
    }

    #[test]
    fn a_line_shows_something() {
        for blank in [
            "\u{200b}",
            "\u{200b}\u{feff}\u{2060}",
            "\u{2800}",
            "\u{3164}\u{115f}\u{1160}\u{ffa0}",
            "\u{ad}\u{34f}\u{180e}",
            "\u{fe0f}",
            "\u{200d}",
            "\u{e0041}",
            "\u{2066}\u{2069}",
            "\u{605}",
            "\u{1d159} \u{13441}",
            "\u{2003}\u{a0}\u{3000}",
        ] {
            assert_eq!(code(line(blank)), "invisible", "{blank:?}");
            assert_eq!(code(line(&format!("{blank}a"))), "none", "{blank:?}");
        }
        for seen in [
            ".",
            "字",
            "😀",
            "❤\u{fe0f}",
            "\u{301}",
            "1\u{fe0f}\u{20e3}",
            "می\u{200c}خواهم",
        ] {
            assert_eq!(code(line(seen)), "none", "{seen:?}");
        }
        // The length is checked apart.
        assert_eq!(code(line("")), "none");
    }

    #[test]
    fn the_writing_direction_is_restored_in_the_same_paragraph() {
        for good in [
            "a \u{2067}b\u{2069} c",
            "a \u{202e}b\u{202c} c",
            "\u{2066}a\u{202b}b\u{202c}\u{2069}\u{2068}c\u{2069}",
            // Direction marks have no end, and reverse nothing.
            "a\u{200e}\u{200f}\u{61c}",
        ] {
            assert_eq!(code(line(good)), "none", "{good:?}");
        }
        for bad in [
            "a \u{202e}b",
            "a \u{2067}b",
            "a\u{202c}",
            "a\u{2069}",
            "a\u{2067}b\u{202c}",
            "a\u{202e}b\u{2067}c\u{202c}\u{2069}",
        ] {
            assert_eq!(code(line(bad)), "open_direction", "{bad:?}");
            assert_eq!(code(lines(bad)), "open_direction", "{bad:?}");
        }
        for end in ["\n", "\r\n", "\u{2029}"] {
            let across = format!("a\u{2067}b{end}c\u{2069}");
            assert_eq!(code(lines(&across)), "open_direction", "{end:?}");
        }
    }

    #[test]
    fn what_looks_alike_is_compared_alike() {
        for (one, other) in [
            ("Yes", "Yes\u{200b}"),
            ("Yes", "Y\u{ad}e\u{200d}s\u{e0041}\u{e007f}"),
            ("Yes", "\u{feff}Yes\u{2060}\u{200e}"),
            ("❤", "❤\u{fe0f}"),
            ("❤", "❤\u{fe0f}\u{200d}"),
            ("葛", "葛\u{e0100}"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("🏳\u{fe0f}\u{200d}🌈", "🏳\u{200d}🌈"),
        ] {
            assert_eq!(appearance(one), appearance(other), "{one:?} {other:?}");
        }
        let family = "👨\u{200d}👩\u{200d}👧";
        let scotland = "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}";
        let england = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
        for (one, other) in [
            ("Yes", "yes"),
            (family, "👨👩👧"),
            ("👩🏽\u{200d}🚀", "👩🏽🚀"),
            ("🏳\u{fe0f}\u{200d}🌈", "🏳\u{fe0f}🌈"),
            (scotland, england),
            (scotland, "🏴"),
            ("👍🏻", "👍🏿"),
            ("1\u{fe0f}\u{20e3}", "1"),
        ] {
            assert_ne!(appearance(one), appearance(other), "{one:?} {other:?}");
        }
        assert_eq!(appearance(family), family);
    }
}
