use serde::Deserialize;
use url::Url;

/// How to reach the operator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Contact {
    Email(String),
    Page(Url),
}

impl TryFrom<String> for Contact {
    type Error = String;

    fn try_from(text: String) -> Result<Contact, String> {
        let page = Url::parse(&text).ok();
        let page = page.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if let Some(page) = page {
            return Ok(Contact::Page(page));
        }
        let plain = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "@:<>".contains(c))
        };
        match text.split_once('@') {
            Some((local, domain)) if plain(local) && plain(domain) => Ok(Contact::Email(text)),
            _ => Err(format!(
                "{text:?} is neither an email address nor an http:// or https:// address."
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_an_address_of_either_kind() {
        let contact = |text: &str| Contact::try_from(text.to_owned());
        let email = Contact::Email("ops@example.org".to_owned());
        assert_eq!(contact("ops@example.org"), Ok(email));
        let page = contact("https://example.org/contact");
        assert!(matches!(page, Ok(Contact::Page(_))));
        for neither in [
            "",
            "ops",
            "@",
            "ops@",
            "mailto:ops@example.org",
            "ftp://example.org",
        ] {
            assert!(contact(neither).is_err(), "{neither}");
        }
    }
}
