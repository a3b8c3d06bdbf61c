use std::fmt;

/// One mistake in the configuration. Contains no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was set: a file, an environment variable, a flag, or `default`.
    pub layer: String,
    /// The path of the key, such as `server.port`; empty if a whole file cannot be read.
    pub key: String,
    /// The value with secrets masked; None if there is no such key.
    pub found: Option<String>,
    /// What is wrong, what is allowed and how to fix it, in whole sentences.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem {
            layer,
            key,
            found,
            message,
        } = self;
        match (key.as_str(), found) {
            ("", _) => write!(f, "{layer}\n  {message}"),
            (key, None) => write!(f, "{key} (from {layer})\n  {message}"),
            (key, Some(found)) => write!(f, "{key}: {found} (from {layer})\n  {message}"),
        }
    }
}

/// All mistakes in the configuration; never empty.
#[derive(Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "The configuration has a problem:")?,
            count => write!(f, "The configuration has {count} problems:")?,
        }
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n\n{problem}"))
    }
}
