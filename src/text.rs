//! Text as it is kept: normalised here, so that every database compares and finds the same.

use serde::{Deserialize as _, Deserializer};
use unicode_normalization::UnicodeNormalization as _;
use validator::ValidationError;

/// Text in Unicode NFC without white space around it.
pub fn normalise(text: &str) -> String {
    text.trim().nfc().collect()
}

/// Text as it is compared where case does not matter: normalised, then case-folded.
pub fn fold(text: &str) -> String {
    caseless::default_case_fold_str(&normalise(text))
        .nfc()
        .collect()
}

/// For `#[serde(deserialize_with)]`: normalised text.
pub fn normalised<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| normalise(&text))
}

/// For `#[serde(deserialize_with)]`: normalised text that may be absent but not null.
pub fn normalised_if_present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    normalised(deserializer).map(Some)
}

/// For `#[validate(custom)]`: one line, without control characters. NUL is among them, which
/// PostgreSQL cannot store.
pub fn line(text: &str) -> Result<(), ValidationError> {
    if text.contains(char::is_control) {
        return Err(ValidationError::new("control_character")
            .with_message("must not contain control characters or line breaks".into()));
    }
    Ok(())
}

/// For `#[validate(custom)]`: text that may have several lines.
pub fn lines(text: &str) -> Result<(), ValidationError> {
    if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(ValidationError::new("control_character")
            .with_message("must not contain control characters but line breaks and tabs".into()));
    }
    Ok(())
}

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
    }
}
