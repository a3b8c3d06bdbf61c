//! Email addresses: what is taken for one, how it is shown, and how it is compared.
//!
//! Browsers turn the domain of what is typed into a field for addresses into its ASCII form
//! (`info@dömäin.com` becomes `info@xn--dmin-moa0i.com`), other clients do not. So each address has
//! one form that is shown ([`shown`]) and one that is compared ([`key`]), whichever was sent. Both
//! have the Unicode form of the domain (UTS #46), which is what people type when they sign in.

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use poem_openapi::registry::MetaSchema;
use serde::{Deserialize, Deserializer};
use validator::{Validate, ValidationError, ValidationErrors};

use crate::input::{self, described};
use crate::text;

/// The most characters an address may have.
const MAX_LENGTH: usize = 254;

/// An email address of a request, as it is [shown].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Normalises an address. Whether it is one is checked by [`Validate`].
    pub fn new(address: &str) -> Email {
        Email(shown(address))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl Validate for Email {
    fn validate(&self) -> Result<(), ValidationErrors> {
        let length = input::length_mistake(&self.0, 0, MAX_LENGTH);
        input::result(length.into_iter().chain(plausible(&self.0).err()))
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|address| Email::new(&address))
    }
}

described! {
    [] Email, String,
    |address: String| Email::new(&address),
    MetaSchema {
        max_length: Some(MAX_LENGTH),
        pattern: Some(r"^[^@\s]+@[^@\s]+$".to_owned()),
        ..MetaSchema::ANY
    }
}

/// An address as it is stored and shown: [normalised](text::normalise), and an internationalised
/// domain in its Unicode form. The local part and a plain ASCII domain stay as they were typed.
pub fn shown(address: &str) -> String {
    let address = text::normalise(address);
    let Some((local, domain)) = address.rsplit_once('@') else {
        return address;
    };
    let encoded = |label: &str| {
        let prefix = label.get(..4);
        prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
    };
    if domain.is_ascii() && !domain.split('.').any(encoded) {
        return address;
    }
    match unicode(domain) {
        Some(domain) => format!("{local}@{domain}"),
        None => address,
    }
}

/// An address as it is compared, in `users.email_key` and wherever attempts are counted: the local
/// part case-folded, the domain in lower case and in its Unicode form. What is no address is
/// case-folded as a whole.
///
/// Migration `m0015_email_keys` has a copy of this.
pub fn key(address: &str) -> String {
    let address = text::normalise(address);
    let parts = address.rsplit_once('@');
    match parts.and_then(|(local, domain)| Some((local, unicode(domain)?))) {
        Some((local, domain)) => format!("{}@{domain}", text::fold(local)),
        None => text::fold(&address),
    }
}

/// Whether a text looks like an address, in any script.
///
/// Only a letter that arrives proves an address, so this catches slips and what would be unsafe
/// to write into a header, not more.
fn plausible(address: &str) -> Result<(), ValidationError> {
    let plausible = address
        .rsplit_once('@')
        .is_some_and(|(local, domain)| is_local_part(local) && unicode(domain).is_some());
    if plausible {
        Ok(())
    } else {
        Err(ValidationError::new("email").with_message("must be an email address".into()))
    }
}

/// The domain in lower case and in its Unicode form, if it is one that DNS can have: labels of
/// letters, digits and hyphens, in any script, within DNS's lengths (UTS #46).
fn unicode(domain: &str) -> Option<Cow<'_, str>> {
    // What is longer is no domain, and would take long to find that out.
    if domain.len() > MAX_LENGTH * char::MAX.len_utf8() {
        return None;
    }
    let (bytes, letters) = (domain.as_bytes(), AsciiDenyList::STD3);
    let uts46 = Uts46::new();
    let ascii = uts46.to_ascii(bytes, letters, Hyphens::CheckFirstLast, DnsLength::Verify);
    ascii.ok()?;
    let (domain, valid) = uts46.to_unicode(bytes, letters, Hyphens::CheckFirstLast);
    valid.ok().map(|()| domain)
}

fn is_local_part(local: &str) -> bool {
    let forbidden = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '@' | '"' | '(' | ')' | ',' | ':')
            || matches!(c, ';' | '<' | '>' | '[' | '\\' | ']')
    };
    (1..=64).contains(&local.chars().count())
        && !local.contains(forbidden)
        && local.split('.').all(|atom| !atom.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_any_script_pass_and_slips_do_not() {
        for good in [
            "luxi@qq.com",
            "a+b@sub.example.org",
            "用户@例子.中国",
            "root@localhost",
            "info@dömäin.com",
            "info@xn--dmin-moa0i.com",
            "a@straße.de",
        ] {
            assert!(plausible(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "@",
            "a@",
            "@b.com",
            "a b@c.com",
            "a@b@c.com",
            "a..b@c.com",
            ".a@c.com",
            "a@-c.com",
            "a@c..com",
            "a@c.com.",
            "a@c_d.com",
            "a\n@c.com",
            "<a@c.com>",
            "a@c,com",
            "a@xn--",
            "a@xn--a",
            "a@\u{200b}.com",
            "a@b\u{fffd}.com",
        ] {
            assert!(plausible(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_is_one_however_its_domain_is_written() {
        for text in [
            "info@dömäin.com",
            " INFO@DÖMÄIN.com ",
            "info@xn--dmin-moa0i.com",
            "Info@XN--DMIN-MOA0I.COM",
            "info@do\u{308}ma\u{308}in.com",
            "info@dömäin。com",
            "info@ｄömäin.com",
        ] {
            assert_eq!(key(text), "info@dömäin.com", "{text}");
        }
        for (text, same) in [
            ("info@dömäin.com", "info@dömäin.com"),
            ("Info@XN--dmin-moa0i.com", "Info@dömäin.com"),
            (" Luxi@QQ.com\n", "Luxi@QQ.com"),
            ("luxi", "luxi"),
            ("a@xn--a", "a@xn--a"),
        ] {
            assert_eq!(shown(text), same);
            assert_eq!(shown(same), same);
            assert_eq!(key(same), key(text));
        }
        // Two domains that only older rules took for one.
        assert_ne!(key("a@straße.de"), key("a@strasse.de"));
        assert_eq!(key("STRASSE@a.de"), key("straße@A.de"));
        assert_eq!(key("A@b@C"), "a@b@c");
    }

    #[test]
    fn what_is_no_address_has_a_key_too() {
        for text in ["", "@", "A@", "@B", "A@-b", "A@xn--a", "Ünknown", "A@b.c."] {
            assert_eq!(key(text), text::fold(text));
        }
    }
}
