use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use url::{Host, Url};

use super::secret::{SecretUrl, mask_url};

/// The URL of a mail server: `smtps://HOST`, or `smtp://HOST` with `?tls=required` or
/// `?tls=opportunistic` for STARTTLS. It has no account: `mail.user` and `mail.password` do.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecretUrl")]
pub struct SmtpUrl(Url);

impl SmtpUrl {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether nobody between this machine and the mail server can read what is sent.
    pub fn is_private(&self) -> bool {
        let encrypted = self.0.scheme() == "smtps" || self.0.query() == Some("tls=required");
        encrypted || self.is_local()
    }

    fn is_local(&self) -> bool {
        match self.0.host() {
            // The URL's own parser leaves the hosts of schemes that it does not know as they are.
            Some(Host::Domain(name)) => {
                let address = name
                    .parse()
                    .is_ok_and(|address: IpAddr| address.is_loopback());
                name == "localhost" || address
            }
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

impl TryFrom<SecretUrl> for SmtpUrl {
    type Error = &'static str;

    fn try_from(url: SecretUrl) -> Result<SmtpUrl, &'static str> {
        url.0.try_into()
    }
}

impl TryFrom<String> for SmtpUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<SmtpUrl, &'static str> {
        let url = Url::parse(&text).map_err(|_| "This is not a URL.")?;
        if url.password().is_some() || !url.username().is_empty() {
            return Err("The account is set with mail.user and mail.password.");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("This has no host. Write smtps://HOST.");
        }
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("A mail server has no path.");
        }
        match (url.scheme(), url.query()) {
            ("smtps", None) => Ok(SmtpUrl(url)),
            ("smtp", None | Some("tls=required" | "tls=opportunistic")) => Ok(SmtpUrl(url)),
            ("smtp" | "smtps", Some(_)) => {
                Err("The only options are tls=required and tls=opportunistic, for smtp.")
            }
            _ => Err("This is not the URL of a mail server."),
        }
    }
}

impl fmt::Display for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(self.0.as_str()))
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SmtpUrl, &'static str> {
        SmtpUrl::try_from(text.to_owned())
    }

    #[test]
    fn encrypted_and_local_connections_are_private() {
        for (text, private) in [
            ("smtps://mail.example.org", true),
            ("smtps://mail.example.org:4650/", true),
            ("smtp://mail.example.org?tls=required", true),
            ("smtp://mail.example.org:587?tls=opportunistic", false),
            ("smtp://mail.example.org", false),
            ("smtp://localhost:25", true),
            ("smtp://127.0.0.1:25", true),
            ("smtp://[::1]:25", true),
            ("smtp://192.0.2.1", false),
        ] {
            assert_eq!(parse(text).unwrap().is_private(), private, "{text}");
        }
    }

    #[test]
    fn unusable_urls_are_refused() {
        for text in [
            "",
            "mail.example.org",
            "smtp:",
            "smtp://",
            "http://mail.example.org",
            "smtp://me:hunter2@mail.example.org",
            "smtp://me@mail.example.org",
            "smtp://mail.example.org/path",
            "smtp://mail.example.org?tls=no",
            "smtps://mail.example.org?tls=opportunistic",
            "smtps://mail.example.org#x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
