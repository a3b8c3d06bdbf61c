//! Email addresses: what is taken for one.

use validator::ValidationError;

/// The most characters an address may have.
pub const MAX_LENGTH: usize = 254;

/// For `#[validate(custom)]`: whether it looks like an address, in any script.
///
/// Only a letter that arrives proves an address, so this catches slips and what would be unsafe
/// to write into a header, not more.
pub fn plausible(address: &str) -> Result<(), ValidationError> {
    let plausible = address
        .rsplit_once('@')
        .is_some_and(|(local, domain)| is_local_part(local) && is_domain(domain));
    if plausible {
        Ok(())
    } else {
        Err(ValidationError::new("email").with_message("must be an email address".into()))
    }
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

fn is_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.chars().count())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c == '-' || !c.is_ascii() && !is_unfit(c) || c.is_ascii_alphanumeric())
    })
}

/// White space and controls beyond ASCII.
fn is_unfit(c: char) -> bool {
    c.is_whitespace() || c.is_control()
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
        ] {
            assert!(plausible(bad).is_err(), "{bad:?}");
        }
    }
}
