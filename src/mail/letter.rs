//! Messages as they are sent: plain text and HTML, in English or Chinese.

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use uuid::Uuid;

use crate::language::Language;
use crate::markup::escaped;

/// A message, complete with what only its recipient may know.
pub struct Letter {
    /// The address that it is sent to.
    pub to: String,
    pub content: Content,
}

/// What a message says.
pub enum Content {
    PasswordReset { token: String },
    EmailVerification { code: String },
    AddressChanged,
}

impl Content {
    /// What must not be seen by anybody but the recipient.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Content::PasswordReset { token: secret }
            | Content::EmailVerification { code: secret } => Some(secret),
            Content::AddressChanged => None,
        }
    }
}

/// The message cannot be sent to this address.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    #[error("the address cannot be written into a message")]
    Address(#[from] lettre::address::AddressError),
    #[error("the message cannot be written")]
    Message(#[from] lettre::error::Error),
}

impl Letter {
    /// The message in the form that mail servers take. The id is the same for each attempt, so that
    /// recipients can recognise a message that was sent twice.
    pub fn message(
        &self,
        id: Uuid,
        language: Language,
        from: &Mailbox,
        public_url: &str,
    ) -> Result<Message, LetterError> {
        let (subject, lines) = texts(&self.content, language, public_url);
        let domain = from.email.domain();
        let message = Message::builder()
            .message_id(Some(format!("<{id}@{domain}>")))
            .from(from.clone())
            .to(Mailbox::new(None, address(&self.to)?))
            .subject(subject)
            .header(AutoSubmitted);
        let bodies = MultiPart::alternative_plain_html(plain(&lines), html(&lines, language));
        Ok(message.multipart(bodies)?)
    }
}

/// The address with its domain in the form of DNS, which every mail server takes.
fn address(text: &str) -> Result<Address, lettre::address::AddressError> {
    let ascii = text.rsplit_once('@').and_then(|(local, domain)| {
        let domain = idna::domain_to_ascii(domain).ok()?;
        Some(format!("{local}@{domain}"))
    });
    ascii.as_deref().unwrap_or(text).parse()
}

/// Says that no person has written the message, so that no program answers it (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(AutoSubmitted::name(), "auto-generated".to_owned())
    }
}

/// A paragraph.
enum Line {
    Text(String),
    Link(String),
    Code(String),
}

/// The subject and the paragraphs. Nothing in them was written by a user.
fn texts(content: &Content, language: Language, public_url: &str) -> (&'static str, Vec<Line>) {
    let text = |text: &str| Line::Text(text.replace("{site}", public_url));
    match (content, language) {
        (Content::PasswordReset { token }, Language::English) => (
            "Choose a new password",
            vec![
                text("You asked for a new password for your account at {site}. Choose it here:"),
                Line::Link(format!("{public_url}/reset#{token}")),
                text("The link works once, for 30 minutes, and only if it is the newest one."),
                text(
                    "If you did not ask for it, ignore this message. Your password stays as it is.",
                ),
            ],
        ),
        (Content::PasswordReset { token }, Language::Chinese) => (
            "重设密码",
            vec![
                text("您请求为 {site} 的账号重设密码。请打开以下链接设置新密码："),
                Line::Link(format!("{public_url}/reset#{token}")),
                text("该链接 30 分钟内有效，只能使用一次，且仅最新的链接有效。"),
                text("如果不是您本人操作，请忽略此邮件，您的密码不会改变。"),
            ],
        ),
        (Content::EmailVerification { code }, Language::English) => (
            "Verify your email address",
            vec![
                text(
                    "To verify that this is the email address of your account at {site}, enter this code there:",
                ),
                Line::Code(code.clone()),
                text("The code works for one hour, and only if it is the newest one."),
                text("If you did not ask for it, ignore this message."),
            ],
        ),
        (Content::EmailVerification { code }, Language::Chinese) => (
            "验证您的邮箱地址",
            vec![
                text("请在 {site} 输入以下验证码，以确认这是您账号的邮箱地址："),
                Line::Code(code.clone()),
                text("验证码一小时内有效，且仅最新的验证码有效。"),
                text("如果不是您本人操作，请忽略此邮件。"),
            ],
        ),
        (Content::AddressChanged, Language::English) => (
            "Your email address was changed",
            vec![
                text("The account at {site} that had this email address has another one now."),
                text(
                    "If you did not change it, somebody else knows your password. Tell the operator of {site}.",
                ),
            ],
        ),
        (Content::AddressChanged, Language::Chinese) => (
            "您的邮箱地址已更改",
            vec![
                text("{site} 上使用此邮箱地址的账号已更换为其他邮箱地址。"),
                text("如果不是您本人操作，说明他人知道您的密码。请联系 {site} 的管理员。"),
            ],
        ),
    }
}

fn plain(lines: &[Line]) -> String {
    let lines = lines.iter().map(|line| match line {
        Line::Text(text) | Line::Link(text) | Line::Code(text) => text.as_str(),
    });
    lines.collect::<Vec<_>>().join("\n\n") + "\n"
}

fn html(lines: &[Line], language: Language) -> String {
    let lines = lines.iter().map(|line| match line {
        Line::Text(text) => format!("<p>{}</p>\n", escaped(text)),
        Line::Link(url) => {
            let url = escaped(url);
            format!("<p><a href=\"{url}\">{url}</a></p>\n")
        }
        Line::Code(code) => format!("<p><strong>{}</strong></p>\n", escaped(code)),
    });
    let tag = match language {
        Language::English => "en",
        Language::Chinese => "zh-Hans",
    };
    let body: String = lines.collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"{tag}\">\n<head><meta charset=\"utf-8\"></head>\n\
         <body>\n{body}</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(to: &str, language: Language) -> String {
        let letter = Letter {
            to: to.to_owned(),
            content: Content::PasswordReset {
                token: "T0KEN".to_owned(),
            },
        };
        let from = "Polls <polls@example.org>".parse().unwrap();
        let message = letter.message(Uuid::nil(), language, &from, "https://polls.example.org");
        String::from_utf8(message.unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_message_has_both_forms_and_says_that_a_program_wrote_it() {
        let message = message("ada@dömäin.org", Language::English);
        for part in [
            "Subject: Choose a new password\r\n",
            "To: ada@xn--dmin-moa0i.org\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Message-ID: <00000000-0000-0000-0000-000000000000@example.org>\r\n",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Type: text/html; charset=utf-8",
            "https://polls.example.org/reset#T0KEN",
        ] {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
    }

    #[test]
    fn a_chinese_subject_is_encoded() {
        let message = message("ada@example.org", Language::Chinese);
        assert!(message.is_ascii(), "{message}");
        assert!(message.contains("Subject: =?utf-8?"), "{message}");
    }
}
