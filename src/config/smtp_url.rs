use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use url::{Host, Url};

use super::secret::{SecretUrl, mask_url};

/// The URL of a mail server: `smtps://HOST`, or `smtp://HOST` with or without an [`SmtpEncryption`] such
/// as `?tls=required`. It has no account: `mail.user` and `mail.password` do.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecretUrl")]
pub struct SmtpUrl(Url);

/// How connections to the mail server are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpEncryption {
    /// From their beginning (RFC 8314).
    Implicit,
    /// By STARTTLS (RFC 3207); nothing is sent to a server that does not offer it.
    Required,
    /// By STARTTLS where the server offers it. Whoever can change what is sent can take that away.
    Opportunistic,
    None,
}

impl SmtpUrl {
    /// The name or IP address of the mail server.
    pub fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => self.0.host_str().unwrap_or_default().to_owned(),
        }
    }

    /// The port, which depends on the encryption where the URL names none.
    pub fn port(&self) -> u16 {
        let usual = match self.encryption() {
            SmtpEncryption::Implicit => 465,
            SmtpEncryption::Required | SmtpEncryption::Opportunistic => 587,
            SmtpEncryption::None => 25,
        };
        self.0.port().unwrap_or(usual)
    }

    /// How connections are encrypted. Without an option `smtp` needs encryption, unless the mail
    /// server runs on this machine.
    pub fn encryption(&self) -> SmtpEncryption {
        match (self.0.scheme(), self.0.query()) {
            ("smtps", _) => SmtpEncryption::Implicit,
            (_, Some("tls=opportunistic")) => SmtpEncryption::Opportunistic,
            (_, Some("tls=none")) => SmtpEncryption::None,
            (_, None) if self.is_local() => SmtpEncryption::None,
            _ => SmtpEncryption::Required,
        }
    }

    /// Whether nobody between this machine and the mail server can read what is sent.
    pub fn is_private(&self) -> bool {
        let encryption = self.encryption();
        matches!(
            encryption,
            SmtpEncryption::Implicit | SmtpEncryption::Required
        ) || self.is_local()
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
            ("smtp", None | Some("tls=required" | "tls=opportunistic" | "tls=none")) => {
                Ok(SmtpUrl(url))
            }
            ("smtp" | "smtps", Some(_)) => {
                Err("The only options are tls=required, tls=opportunistic and tls=none, for smtp.")
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
    fn connections_are_encrypted_unless_the_server_is_local_or_the_operator_insists() {
        use SmtpEncryption::{Implicit, None, Opportunistic, Required};
        for (text, encryption, host, port, private) in [
            (
                "smtps://mail.example.org",
                Implicit,
                "mail.example.org",
                465,
                true,
            ),
            (
                "smtps://mail.example.org:4650/",
                Implicit,
                "mail.example.org",
                4650,
                true,
            ),
            (
                "smtp://mail.example.org",
                Required,
                "mail.example.org",
                587,
                true,
            ),
            ("smtp://h?tls=required", Required, "h", 587, true),
            (
                "smtp://h:2525?tls=opportunistic",
                Opportunistic,
                "h",
                2525,
                false,
            ),
            ("smtp://h?tls=none", None, "h", 25, false),
            ("smtp://localhost", None, "localhost", 25, true),
            ("smtp://127.0.0.1:2525", None, "127.0.0.1", 2525, true),
            ("smtp://[::1]", None, "::1", 25, true),
            (
                "smtp://localhost?tls=required",
                Required,
                "localhost",
                587,
                true,
            ),
            ("smtp://192.0.2.1", Required, "192.0.2.1", 587, true),
        ] {
            let url = parse(text).unwrap();
            let parts = (url.encryption(), url.host(), url.port(), url.is_private());
            assert_eq!(
                parts,
                (encryption, host.to_owned(), port, private),
                "{text}"
            );
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
            "smtps://mail.example.org?tls=none",
            "smtps://mail.example.org#x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
