use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::secret::{Secret, SecretUrl, mask_url};

/// The URL of a database as its driver reads it: `sqlite:FILE`, or a URL with the scheme `postgres`
/// or `mysql`, a host and a database. Displayed without its password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecretUrl")]
pub struct DatabaseUrl(Address);

#[derive(Clone, PartialEq, Eq)]
enum Address {
    /// The text after `sqlite:`.
    File(String),
    Server(Url),
}

impl DatabaseUrl {
    /// Whether this is an SQLite file.
    pub fn is_file(&self) -> bool {
        matches!(self.0, Address::File(_))
    }

    /// The path of the SQLite file, if it is one.
    pub fn file(&self) -> Option<&str> {
        match &self.0 {
            Address::File(file) => Some(file),
            Address::Server(_) => None,
        }
    }

    /// Whether both have the same kind of server and the same database name; hosts may differ.
    pub fn is_like(&self, other: &DatabaseUrl) -> bool {
        match (&self.0, &other.0) {
            (Address::Server(one), Address::Server(other)) => {
                one.path() == other.path() && one.scheme()[..5] == other.scheme()[..5]
            }
            _ => false,
        }
    }

    /// Whether the URL has an account.
    pub fn has_user(&self) -> bool {
        matches!(&self.0, Address::Server(url) if !url.username().is_empty())
    }

    /// Whether the URL has a password.
    pub fn has_password(&self) -> bool {
        matches!(&self.0, Address::Server(url) if url.password().is_some())
    }

    /// The URL for the driver, with these credentials added.
    pub fn with_credentials(&self, user: Option<&str>, password: Option<&Secret>) -> Secret {
        let mut url = match &self.0 {
            Address::File(file) => return format!("sqlite:{file}").into(),
            Address::Server(url) => url.clone(),
        };
        // Drivers decode both, and `Url` would not encode a percent sign.
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        // Setting them fails only without a host, and there is one.
        if let Some(user) = user {
            let _ = url.set_username(&encoded(user));
        }
        if let Some(password) = password {
            let _ = url.set_password(Some(&encoded(password.expose())));
        }
        String::from(url).into()
    }
}

impl TryFrom<SecretUrl> for DatabaseUrl {
    type Error = &'static str;

    fn try_from(url: SecretUrl) -> Result<DatabaseUrl, &'static str> {
        url.0.try_into()
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<DatabaseUrl, &'static str> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            return sqlite(rest.strip_prefix("//").unwrap_or(rest));
        }
        // For sea-orm, MariaDB is MySQL.
        let text = match text.strip_prefix("mariadb:") {
            Some(rest) => format!("mysql:{rest}"),
            None => text,
        };
        let url = Url::parse(&text).map_err(|_| {
            "This is not a URL. Special characters in a password must be percent-encoded, or set \
             database.password instead."
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql" | "mysql") {
            return Err("This kind of database is not supported.");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("This has no host. Write postgres://HOST:PORT/DATABASE.");
        }
        if url.path().len() < 2 || url.path()[1..].contains('/') {
            return Err("This has no database name. Write postgres://HOST:PORT/DATABASE.");
        }
        if url
            .query_pairs()
            .any(|(name, _)| name == "user" || name == "password")
        {
            return Err(
                "Credentials do not belong in the query. Set database.user and \
                 database.password instead.",
            );
        }
        Ok(DatabaseUrl(Address::Server(url)))
    }
}

fn sqlite(file: &str) -> Result<DatabaseUrl, &'static str> {
    match file {
        "" => Err("This has no file name. Write sqlite:polls.db."),
        ":memory:" => {
            Err("A database in memory cannot be shared by several connections. Write sqlite:FILE.")
        }
        _ if file.contains('?') => Err("Options after the file name are not supported."),
        _ if file.ends_with('/') => Err("This is a directory. Write sqlite:FILE."),
        _ => Ok(DatabaseUrl(Address::File(file.to_owned()))),
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::File(file) => write!(f, "sqlite:{file}"),
            Address::Server(url) => f.write_str(&mask_url(url.as_str())),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, &'static str> {
        DatabaseUrl::try_from(text.to_owned())
    }

    #[test]
    fn every_scheme_is_translated_to_that_of_the_driver() {
        for (written, driver) in [
            ("sqlite:polls.db", "sqlite:polls.db"),
            ("sqlite://data/polls.db", "sqlite:data/polls.db"),
            ("sqlite:///var/lib/polls.db", "sqlite:/var/lib/polls.db"),
            ("postgres://h/polls", "postgres://h/polls"),
            ("postgresql://h:5433/polls", "postgresql://h:5433/polls"),
            (
                "mysql://h/polls?ssl-mode=required",
                "mysql://h/polls?ssl-mode=required",
            ),
            ("mariadb://h/polls", "mysql://h/polls"),
            (
                "postgres://%2Frun%2Fpostgresql/polls",
                "postgres://%2Frun%2Fpostgresql/polls",
            ),
        ] {
            let url = parse(written).unwrap();
            assert_eq!(url.with_credentials(None, None).expose(), driver);
        }
    }

    #[test]
    fn unusable_urls_are_refused() {
        for text in [
            "",
            "polls.db",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:polls.db?mode=ro",
            "sqlite:data/",
            "oracle://h/polls",
            "postgres:polls",
            "postgres:///polls",
            "postgres://h",
            "postgres://h/",
            "postgres://h/a/b",
            "postgres://h:port/polls",
            "postgres://h/polls?password=x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_arrive_as_they_are() {
        let url = parse("mariadb://h/polls").unwrap();
        let password = Secret::from("p%41/@: ü".to_owned());
        let full = url.with_credentials(Some("me@home"), Some(&password));
        let read = Url::parse(full.expose()).unwrap();
        let decoded = |text| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .unwrap()
        };
        assert_eq!(decoded(read.username()), "me@home");
        assert_eq!(decoded(read.password().unwrap()), "p%41/@: ü");
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = parse("postgres://me:hunter2@h/polls").unwrap();
        assert_eq!(url.to_string(), "postgres://me:********@h/polls");
        assert_eq!(format!("{url:?}"), url.to_string());
    }
}
