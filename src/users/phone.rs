//! Phone numbers: read in E.164 or in the national form of one region, kept in E.164.

use phonenumber::{Mode, country};
use poem_openapi::registry::MetaSchema;
use serde::{Deserialize, Deserializer};
use validator::{Validate, ValidationError, ValidationErrors};

use crate::failure::{FieldError, Rule};
use crate::input::{self, described};
use crate::text;

/// The most characters a number may be written with.
const MAX_LENGTH: usize = 32;

const ALLOWED: &str =
    "must be a valid phone number, as in +8616666666661 or as it is dialled nationally";

/// A phone number of a request, as it was typed. Whether it is one depends on the region that it
/// is dialled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    pub fn new(text: &str) -> PhoneNumber {
        PhoneNumber(text::normalise(text))
    }

    /// The E.164 form, or what is wrong with the number.
    pub fn e164(&self, region: country::Id) -> Result<String, FieldError> {
        let mistake = || FieldError::new("/phone", Rule::Phone, ALLOWED);
        normalise(&self.0, region).ok_or_else(mistake)
    }
}

/// Whether it can be one in any region.
impl Validate for PhoneNumber {
    fn validate(&self) -> Result<(), ValidationErrors> {
        let mistake = || ValidationError::new("phone").with_message(ALLOWED.into());
        input::result((!is_written_as_number(&self.0)).then(mistake))
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| PhoneNumber::new(&text))
    }
}

described! {
    [] PhoneNumber, String,
    |text: String| PhoneNumber::new(&text),
    MetaSchema { max_length: Some(MAX_LENGTH), ..MetaSchema::ANY }
}

/// The E.164 form of a number, if it is valid.
///
/// Where it does not begin with `+`, it is taken for a number of `region`.
pub fn normalise(text: &str, region: country::Id) -> Option<String> {
    if !is_written_as_number(text) {
        return None;
    }
    // With a region the library would strip that region's trunk prefix from a foreign number.
    let region = (!text.starts_with('+')).then_some(region);
    let number = phonenumber::parse(region, text).ok()?;
    let plain = number.extension().is_none() && number.is_valid();
    plain.then(|| number.format().mode(Mode::E164).to_string())
}

fn is_written_as_number(text: &str) -> bool {
    let punctuation = [' ', '-', '.', '(', ')', '/'];
    let digits = text.strip_prefix('+').unwrap_or(text);
    let mut digits = digits.chars();
    text.len() <= MAX_LENGTH && digits.all(|c| c.is_ascii_digit() || punctuation.contains(&c))
}

/// The digits of a number in E.164 form without the country's.
pub fn national(e164: &str) -> Option<String> {
    let number = phonenumber::parse(None, e164).ok()?;
    Some(number.national().value().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chinese(text: &str) -> Option<String> {
        normalise(text, country::CN)
    }

    #[test]
    fn every_way_of_writing_a_number_gives_one() {
        for text in [
            "16666666661",
            "+8616666666661",
            "+86 166 6666 6661",
            "166-6666-6661",
        ] {
            assert_eq!(chinese(text).as_deref(), Some("+8616666666661"), "{text}");
        }
        assert_eq!(
            normalise("030 901820", country::DE).as_deref(),
            Some("+4930901820")
        );
    }

    #[test]
    fn the_country_is_taken_off() {
        assert_eq!(national("+8616666666661").as_deref(), Some("16666666661"));
        assert_eq!(national("16666666661"), None);
        assert_eq!(national(""), None);
    }

    #[test]
    fn a_leading_zero_that_matters_abroad_is_kept() {
        assert_eq!(chinese("+39 06 6982").as_deref(), Some("+39066982"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "+",
            "123",
            "1666666666",
            "166666666612",
            "luxi",
            "1666666666１",
            "+86+16666666661",
            "tel:16666666661",
            "16666666661;ext=5",
        ] {
            assert_eq!(chinese(text), None, "{text:?}");
        }
    }
}
