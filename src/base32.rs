//! Codes that people type, in Crockford's base 32 (<https://www.crockford.com/base32.html>): no two
//! of its digits look alike.

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A random code in groups of so many digits, such as `7Q2MX-C0V9R` for `[5, 5]`. Each digit has 5
/// random bits from the cryptographic generator.
pub fn random<const N: usize>(groups: [usize; N]) -> String {
    let digit = || char::from(DIGITS[usize::from(rand::random::<u8>() % 32)]);
    let groups = groups.map(|digits| {
        std::iter::repeat_with(digit)
            .take(digits)
            .collect::<String>()
    });
    groups.join("-")
}

/// The digits of a code that was typed, whatever separates its groups: in upper case, and with the
/// digits that some letters look like.
pub fn digits(typed: &str) -> String {
    let letters = typed.chars().filter(|letter| letter.is_alphanumeric());
    let digits = letters.map(|letter| match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        letter => letter,
    });
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_recognised_however_it_is_typed() {
        let code = random([5, 5, 6]);
        let known = digits(&code);
        assert_eq!((code.len(), known.len()), (18, 16));
        for text in [
            code.clone(),
            code.to_lowercase(),
            known.clone(),
            format!(" {} ", code.replace('-', " ")),
            code.replace('0', "o").replace('1', "l"),
            code.replace('1', "I").replace('-', "\u{2013}"),
        ] {
            assert_eq!(digits(&text), known, "{text}");
        }
    }

    #[test]
    fn all_digits_occur() {
        let code = random([4000]);
        for digit in DIGITS {
            assert!(code.contains(char::from(*digit)), "{}", char::from(*digit));
        }
    }
}
