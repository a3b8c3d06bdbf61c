//! The login that a user types: an email address or a phone number, in any form.

use phonenumber::country;
use sha2::{Digest as _, Sha256};

use super::{email, phone};
use crate::text;

/// A name to sign in by, normalised. It says nothing about whether an account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// As [`email::key`] has it.
    Email(String),
    /// In E.164 form.
    Phone(String),
    /// Neither, case-folded: no account has such a login.
    Unfit(String),
}

impl Login {
    /// Normalises what was typed. A phone number without `+` is one of `region`.
    pub fn typed(text: &str, region: country::Id) -> Login {
        let folded = text::fold(text);
        // PostgreSQL does not take NUL, and no account has it.
        if folded.contains('\0') {
            return Login::Unfit(folded);
        }
        if folded.contains('@') {
            return Login::Email(email::key(text));
        }
        match phone::normalise(&text::normalise(text), region) {
            Some(phone) => Login::Phone(phone),
            None => Login::Unfit(folded),
        }
    }

    /// A hash of the name, for limits: anybody can make up long names.
    pub fn key(&self) -> [u8; 32] {
        let (kind, name) = match self {
            Login::Email(name) => ("email", name),
            Login::Phone(name) => ("phone", name),
            Login::Unfit(name) => ("unfit", name),
        };
        let hash = Sha256::new().chain_update(kind).chain_update([0]);
        hash.chain_update(name).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Login {
        Login::typed(text, country::CN)
    }

    #[test]
    fn every_way_of_typing_a_name_gives_one() {
        let phone = Login::Phone("+8616666666661".to_owned());
        for text in [
            "16666666661",
            " 16666666661",
            "+86 166-6666-6661\n",
            "\u{3000}166 6666 6661 ",
        ] {
            assert_eq!(typed(text), phone, "{text:?}");
        }
        let email = Login::Email("ren\u{e9}@example.org".to_owned());
        for text in ["ren\u{e9}@example.org", " RENE\u{301}@Example.ORG\t"] {
            assert_eq!(typed(text), email, "{text:?}");
        }
        assert_eq!(typed("a@d\u{f6}m.org"), typed("a@xn--dm-fka.org"));
        for text in ["", " ", "luxi", "123", "a\0@example.org", "16666666661\0"] {
            assert!(matches!(typed(text), Login::Unfit(_)), "{text:?}");
        }
        assert_eq!(typed("LUXI "), typed("luxi"));
    }

    #[test]
    fn different_names_have_different_keys() {
        let names = [typed("a@b"), typed("a@c"), typed("16666666661"), typed("a")];
        for (index, name) in names.iter().enumerate() {
            assert_eq!(name.key(), name.clone().key());
            let others = names.iter().skip(index + 1);
            assert!(others.into_iter().all(|other| other.key() != name.key()));
        }
    }
}
