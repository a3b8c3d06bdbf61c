//! Entity tags and preconditions (RFC 9110, sections 8.8.3 and 13).
//!
//! A tag is `"<revision>.<hash of the body>"`. `If-None-Match` compares all of it; `If-Match` the
//! revision only, since votes change a question's numbers but never its revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::failure::{Code, Failure};

/// The entity tag of a body at a revision.
pub fn entity_tag(revision: i32, body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    format!("\"{revision}.{}\"", URL_SAFE_NO_PAD.encode(&hash[..12]))
}

/// Whether an `If-None-Match` header names `tag`. The comparison is weak, as it must be.
pub fn names(header: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    header.trim() == "*"
        || header
            .split(',')
            .any(|candidate| opaque(candidate) == opaque(tag))
}

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

    #[test]
    fn if_none_match_compares_the_whole_tag() {
        let tag = entity_tag(7, b"body");
        assert!(names(&tag, &tag) && names("*", &tag) && names(&format!("\"x\", W/{tag}"), &tag));
        assert!(!names(&entity_tag(7, b"other"), &tag));
    }
}
