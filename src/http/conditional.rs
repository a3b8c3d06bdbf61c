//! Entity tags and preconditions (RFC 9110, sections 8.8.3 and 13).
//!
//! A tag is `"<revision>.<hash of the body>"`. `If-None-Match` compares all of it; `If-Match` the
//! revision only, since votes change a question's numbers but never its revision.

/// Whether an `If-None-Match` header names `tag`. The comparison is weak, as it must be.
pub fn names(header: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    header.trim() == "*"
        || header
            .split(',')
            .any(|candidate| opaque(candidate) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendered::entity_tag;

    #[test]
    fn if_none_match_compares_the_whole_tag() {
        let tag = entity_tag(7, b"body");
        assert!(names(&tag, &tag) && names("*", &tag) && names(&format!("\"x\", W/{tag}"), &tag));
        assert!(!names(&entity_tag(7, b"other"), &tag));
    }
}
