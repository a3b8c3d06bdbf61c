use std::fmt;

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;

/// A number of votes in units of 1/100,000 vote, as the Scottish rules count.
pub type Votes = Fixed<100_000>;

/// A number of points, in halves.
pub type Points = Fixed<2>;

/// A number that counts `1/PARTS`. In text and JSON it is an exact decimal number without trailing
/// zeros: `7.99968`, `12`. `PARTS` has to divide a power of ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fixed<const PARTS: u64>(u64);

impl<const PARTS: u64> Fixed<PARTS> {
    /// How many parts make a whole.
    pub const PARTS: u64 = PARTS;

    #[must_use]
    pub const fn from_parts(parts: u64) -> Self {
        Self(parts)
    }

    #[must_use]
    pub const fn from_whole(whole: u64) -> Self {
        Self(whole.saturating_mul(PARTS))
    }

    #[must_use]
    pub const fn parts(self) -> u64 {
        self.0
    }

    /// The whole number below.
    #[must_use]
    pub const fn whole(self) -> u64 {
        self.0 / PARTS
    }

    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0.is_multiple_of(PARTS)
    }

    /// The digits after the decimal point, without trailing zeros; empty for a whole number.
    #[must_use]
    pub fn decimals(self) -> String {
        let mut digits = String::new();
        let mut rest = u128::from(self.0 % PARTS);
        // 20 digits are more than any denominator of 64 bits that divides a power of ten needs
        // here; the bound only keeps a wrong `PARTS` from looping.
        while rest > 0 && digits.len() < 20 {
            rest *= 10;
            let digit = rest / u128::from(PARTS);
            digits.push(char::from(b'0' + u8::try_from(digit).unwrap_or(9)));
            rest %= u128::from(PARTS);
        }
        digits
    }
}

impl<const PARTS: u64> fmt::Display for Fixed<PARTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.decimals();
        if decimals.is_empty() {
            write!(f, "{}", self.whole())
        } else {
            write!(f, "{}.{decimals}", self.whole())
        }
    }
}

impl<const PARTS: u64> Serialize for Fixed<PARTS> {
    /// A JSON number with exactly these digits. Only serde_json understands a fraction this way.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_whole() {
            serializer.serialize_u64(self.whole())
        } else {
            RawValue::from_string(self.to_string())
                .map_err(S::Error::custom)?
                .serialize(serializer)
        }
    }
}
