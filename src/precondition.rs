//! `If-Match`: a change is made only to the revision that the client has seen (RFC 9110, section
//! 13.1.1).

use crate::failure::{Code, Failure};

/// An `If-Match` header, or none.
#[derive(Debug, Clone, Default)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    pub fn new(header: Option<String>) -> Self {
        IfMatch(header)
    }

    /// Refuses with [`Code::Stale`] where the header is given and names another revision.
    pub fn check(&self, revision: i32) -> Result<(), Failure> {
        let Some(header) = &self.0 else {
            return Ok(());
        };
        let current = revision.to_string();
        let names_it = |tag: &str| {
            let tag = tag.trim();
            let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            opaque.and_then(|tag| tag.split('.').next()) == Some(current.as_str())
        };
        if header.trim() == "*" || header.split(',').any(names_it) {
            return Ok(());
        }
        Err(Failure::new(
            Code::Stale,
            format!("The current revision is {current}; If-Match names another."),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_compares_the_revision_alone() {
        let at = |header: &str| IfMatch::new(Some(header.to_owned())).check(7).is_ok();
        assert!(at(r#""7.abc""#) && at("*") && at(r#""6.x", "7.y""#));
        assert!(!at(r#""6.abc""#) && !at(r#"W/"7.abc""#) && !at("7") && !at(r#""77.abc""#));
        assert!(IfMatch::default().check(7).is_ok());
    }
}
