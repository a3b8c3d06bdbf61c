//! Which passwords an account may have.

use passwords::analyzer::is_common_password;

use super::entity::Model;
use super::{password, phone};
use crate::failure::{FieldError, Rule};
use crate::text;

/// Whose password it is to be: what others know of the account, and would try first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owner<'a> {
    pub name: &'a str,
    pub email: &'a str,
    /// In E.164 form.
    pub phone: &'a str,
}

impl<'a> Owner<'a> {
    pub fn of(account: &'a Model) -> Owner<'a> {
        Owner {
            name: account.name.as_deref().unwrap_or_default(),
            email: account.email.as_deref().unwrap_or_default(),
            phone: account.phone.as_deref().unwrap_or_default(),
        }
    }

    /// What a password must not be made of: the name and its words, the address and its local part,
    /// the number with and without its country. Case-folded, the longest first; what is shorter than three characters
    /// gives nothing away.
    fn texts(&self) -> Vec<String> {
        let local = self.email.rsplit_once('@').map_or("", |(local, _)| local);
        let national = phone::national(self.phone).unwrap_or_default();
        let digits = self.phone.trim_start_matches('+');
        let whole = [self.name, self.email, local, digits, &national];
        let texts = whole.into_iter().chain(self.name.split_whitespace());
        let mut texts: Vec<String> = texts.map(text::fold).collect();
        texts.retain(|text| text.chars().count() >= 3);
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts
    }
}

/// What is wrong with a new password at `pointer`, the first of:
///
/// - `length`: it has not 8 to 128 characters.
/// - `invisible`: it has none that can be seen, such as white space alone.
/// - `common_password`: it is among the 100,000 most common ones, as it is or in lower case.
/// - `contains_account`: without its owner's name, email address and phone number (whatever their
///   case) it has less than 8 characters.
pub fn mistake(pointer: &str, password: &str, owner: Owner<'_>) -> Option<FieldError> {
    let (min, max) = password::LENGTH.into_inner();
    let (rule, message) = if !password::LENGTH.contains(&password.chars().count()) {
        (Rule::Length, format!("must have {min} to {max} characters"))
    } else if text::visible(password).is_err() {
        (
            Rule::Invisible,
            "must have a character that can be seen".into(),
        )
    } else if is_common_password(password) || is_common_password(password.to_lowercase()) {
        let message = "must not be one of the most common passwords";
        (Rule::CommonPassword, message.to_owned())
    } else if without(password, owner).chars().count() < min {
        let message = format!(
            "must have at least {min} characters beside the account's name, email address and \
             phone number"
        );
        (Rule::ContainsAccount, message)
    } else {
        return None;
    };
    Some(FieldError::new(pointer, rule, message))
}

/// The case-folded password without what others know of its owner.
fn without(password: &str, owner: Owner<'_>) -> String {
    let mut rest = text::fold_case(password);
    for text in owner.texts() {
        rest = rest.replace(&text, "");
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Owner<'_> = Owner {
        name: "Ada Lovelace",
        email: "Countess@example.org",
        phone: "+8616666666661",
    };

    fn broken(password: &str) -> Option<Rule> {
        mistake("/password", password, ADA).map(|mistake| mistake.code)
    }

    #[test]
    fn common_passwords_are_refused_in_any_case() {
        for common in [
            "password",
            "Password",
            "PASSWORD1",
            "12345678",
            "11111111",
            "qwertyuiop",
            "iloveyou",
            "P@ssw0rd",
            "letmein123",
            "woaini1314",
            "passwordpassword",
        ] {
            assert_eq!(broken(common), Some(Rule::CommonPassword), "{common}");
        }
        for fine in [
            "correct horse",
            "correct horse battery",
            "correct horse battery staple",
            "correct-horse",
            "Tr0ub4dor&3",
            "  spaces  ",
            "密码是这个句子吧",
        ] {
            assert_eq!(broken(fine), None, "{fine}");
        }
    }

    #[test]
    fn what_others_know_of_an_account_is_no_password() {
        for known in [
            "Ada Lovelace",
            "ada lovelace!",
            "LovelaceAda1815",
            "countess@example.org",
            "COUNTESS12",
            "+8616666666661",
            "8616666666661",
            "16666666661",
            "016666666661",
            "countess-lovelace",
        ] {
            assert_eq!(broken(known), Some(Rule::ContainsAccount), "{known}");
        }
        for fine in ["ada and her engine", "countess of the engine"] {
            assert_eq!(broken(fine), None, "{fine}");
        }
        // The letters of a short name are in every password.
        let owner = Owner { name: "e", ..ADA };
        assert_eq!(mistake("", "long enough", owner), None);
    }

    #[test]
    fn a_password_shows_something() {
        for blank in ["        ", "\u{3000}\u{2800}\u{200b}\t\n\u{a0}  "] {
            assert_eq!(broken(blank), Some(Rule::Invisible), "{blank:?}");
        }
        assert_eq!(broken("short"), Some(Rule::Length));
        assert_eq!(broken(&"x y".repeat(43)), Some(Rule::Length));
        let named = mistake("/new_password", "password", ADA).unwrap();
        assert_eq!(named.pointer, "/new_password");
        assert!(!named.message.contains("Ada"));
    }
}
