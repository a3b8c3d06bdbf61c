use std::fmt;

use serde::Deserialize;
use url::Url;

/// An origin exactly as browsers send it: scheme, host, and the port unless it is the default of
/// the scheme.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the scheme is `http` or `https`.
    pub fn is_web(&self) -> bool {
        self.0.starts_with("http://") || self.0.starts_with("https://")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Origin, String> {
        let url = Url::parse(&text).ok();
        let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
            return Err(format!(
                "{text:?} is not an origin. Write scheme and host, such as https://app.example.org."
            ));
        };
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let origin = format!("{}://{host}{port}", url.scheme());
        if host.is_empty() || host.contains('*') {
            Err(format!("{text:?} is not an origin: name one host."))
        } else if origin == text {
            Ok(Origin(origin))
        } else {
            Err(format!(
                "{text:?} is not in the form that browsers send. Write {origin}."
            ))
        }
    }
}

/// A set of allowed origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    Only(Vec<Origin>),
}

impl TryFrom<Vec<String>> for Origins {
    type Error = String;

    fn try_from(list: Vec<String>) -> Result<Origins, String> {
        match list.as_slice() {
            [any] if any == "*" => Ok(Origins::Any),
            list if list.iter().any(|item| item == "*") => {
                Err("\"*\" allows any origin, so it must be the only item.".to_owned())
            }
            _ => {
                let origins: Result<_, _> = list.into_iter().map(Origin::try_from).collect();
                Ok(Origins::Only(origins?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Result<Origins, String> {
        Origins::try_from(
            items
                .iter()
                .map(|&item| item.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn origins_are_taken_as_browsers_send_them() {
        let origins = [
            "https://app.example.org",
            "http://localhost:5173",
            "http://[::1]:8080",
            "capacitor://localhost",
        ];
        let Ok(Origins::Only(found)) = list(&origins) else {
            panic!("refused");
        };
        assert_eq!(
            found.iter().map(Origin::as_str).collect::<Vec<_>>(),
            origins
        );
        assert_eq!(list(&["*"]), Ok(Origins::Any));
        assert_eq!(list(&[]), Ok(Origins::Only(Vec::new())));
    }

    #[test]
    fn other_forms_are_refused_and_the_right_one_is_named() {
        for text in [
            "https://App.example.org",
            "https://app.example.org/",
            "https://app.example.org:443",
            "https://me@app.example.org",
            "https://app.example.org/path?query",
        ] {
            let refusal = list(&[text]).unwrap_err();
            assert!(
                refusal.ends_with("Write https://app.example.org."),
                "{refusal}"
            );
        }
        for text in [
            "",
            "null",
            "app.example.org",
            "https://*.example.org",
            "file:///",
        ] {
            assert!(list(&[text]).is_err(), "{text}");
        }
        assert!(list(&["*", "https://app.example.org"]).is_err());
    }
}
