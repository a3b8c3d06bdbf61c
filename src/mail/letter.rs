//! Messages as they are sent: plain text and HTML with the same paragraphs.

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use uuid::Uuid;

use crate::language::Language;
use crate::markup::escaped;

/// The most characters of a subject that are sent.
const SUBJECT_LENGTH: usize = 120;

/// A message, complete with what only its recipient may know. Whatever it says may come from users.
#[derive(Debug)]
pub struct Letter {
    to: String,
    language: Language,
    subject: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Debug)]
enum Paragraph {
    Text(String),
    Link(String),
    Code(String),
}

impl Letter {
    /// A letter to an email address, without a paragraph yet.
    pub fn new(to: impl Into<String>, language: Language, subject: impl Into<String>) -> Letter {
        Letter {
            to: to.into(),
            language,
            subject: subject.into(),
            paragraphs: Vec::new(),
        }
    }

    /// Adds a paragraph of text.
    pub fn text(self, text: impl Into<String>) -> Letter {
        self.and(Paragraph::Text(text.into()))
    }

    /// Adds a link, which the recipient sees in full. What stands after `#` is a secret of the
    /// recipient.
    pub fn link(self, url: impl Into<String>) -> Letter {
        self.and(Paragraph::Link(url.into()))
    }

    /// Adds a code for people to type, which is a secret of the recipient.
    pub fn code(self, code: impl Into<String>) -> Letter {
        self.and(Paragraph::Code(code.into()))
    }

    fn and(mut self, paragraph: Paragraph) -> Letter {
        self.paragraphs.push(paragraph);
        self
    }

    /// Whether the mail server must take addresses in Unicode (RFC 6531): the part before the `@`
    /// has no other form.
    pub(super) fn needs_unicode(&self) -> bool {
        address(&self.to).is_ok_and(|address| !address.user().is_ascii())
    }

    /// What nobody but the recipient may see.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.paragraphs
            .iter()
            .filter_map(|paragraph| match paragraph {
                Paragraph::Text(_) => None,
                Paragraph::Link(url) => url.split_once('#').map(|(_, secret)| secret),
                Paragraph::Code(code) => Some(code),
            })
    }

    /// The message in the form that mail servers take. The id is the same for each attempt, so that
    /// recipients can recognise a message that was sent twice.
    pub(super) fn message(&self, id: Uuid, from: &Mailbox) -> Result<Message, LetterError> {
        let message = Message::builder()
            .message_id(Some(format!("<{id}@{}>", from.email.domain())))
            .from(from.clone())
            .to(Mailbox::new(None, address(&self.to)?))
            .subject(one_line(&self.subject))
            .header(AutoSubmitted);
        Ok(message.multipart(MultiPart::alternative_plain_html(self.plain(), self.html()))?)
    }

    fn plain(&self) -> String {
        let paragraphs = self.paragraphs.iter().map(|paragraph| match paragraph {
            Paragraph::Text(text) | Paragraph::Link(text) | Paragraph::Code(text) => text.as_str(),
        });
        paragraphs.collect::<Vec<_>>().join("\n\n") + "\n"
    }

    fn html(&self) -> String {
        let paragraphs = self.paragraphs.iter().map(|paragraph| match paragraph {
            Paragraph::Text(text) => format!("<p>{}</p>\n", escaped(text)),
            Paragraph::Link(url) => {
                let url = escaped(url);
                format!("<p><a href=\"{url}\">{url}</a></p>\n")
            }
            Paragraph::Code(code) => format!("<p><strong>{}</strong></p>\n", escaped(code)),
        });
        let tag = match self.language {
            Language::English => "en",
            Language::Chinese => "zh-Hans",
        };
        let body: String = paragraphs.collect();
        format!(
            "<!DOCTYPE html>\n<html lang=\"{tag}\">\n<head><meta charset=\"utf-8\"></head>\n\
             <body>\n{body}</body>\n</html>\n"
        )
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

/// The address with its domain in the form of DNS, which every mail server takes.
pub(super) fn address(text: &str) -> Result<Address, lettre::address::AddressError> {
    let ascii = text.rsplit_once('@').and_then(|(local, domain)| {
        let domain = idna::domain_to_ascii(domain).ok()?;
        Some(format!("{local}@{domain}"))
    });
    ascii.as_deref().unwrap_or(text).parse()
}

/// The text of a header: without line breaks, and no longer than mail clients show.
fn one_line(text: &str) -> String {
    let shown = text.chars().map(|letter| match letter.is_control() {
        true => ' ',
        false => letter,
    });
    // lettre sends words of ASCII as they are, and so an encoded word (RFC 2047) that a user wrote. The
    // word joiner, which is invisible, has it encoded itself.
    let subject: String = shown.take(SUBJECT_LENGTH).collect();
    subject.replace("=?", "=\u{2060}?")
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The message as the mail server gets it.
    fn sent(letter: &Letter) -> String {
        let from = "投票 <polls@example.org>".parse().unwrap();
        let message = letter.message(Uuid::nil(), &from);
        String::from_utf8(message.unwrap().formatted()).unwrap()
    }

    fn head(message: &str) -> &str {
        message.split_once("\r\n\r\n").unwrap().0
    }

    #[test]
    fn a_message_has_both_forms_and_says_that_a_program_wrote_it() {
        let letter = Letter::new("ada@dömäin.org", Language::English, "Choose a password")
            .text("Here:")
            .link("https://polls.example.org/reset#T0KEN");
        let message = sent(&letter);
        for part in [
            "Subject: Choose a password\r\n",
            "To: ada@xn--dmin-moa0i.org\r\n",
            "From: =?utf-8?b?5oqV56Wo?= <polls@example.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Message-ID: <00000000-0000-0000-0000-000000000000@example.org>\r\n",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Type: text/html; charset=utf-8",
            "Here:\r\n\r\nhttps://polls.example.org/reset#T0KEN\r\n",
        ] {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
        let link = "<p>Here:</p>\n<p><a href=\"https://polls.example.org/reset#T0KEN\">";
        assert!(letter.html().contains(link), "{}", letter.html());
        assert!(!letter.needs_unicode());
        assert_eq!(letter.secrets().collect::<Vec<_>>(), ["T0KEN"]);
    }

    #[test]
    fn what_users_wrote_breaks_out_of_neither_header_nor_html() {
        let hostile = "</p><script>\"&'\r\nBcc: eve@example.org\r\n\r\n.\r\n\u{202e}";
        let letter = Letter::new("ada@example.org", Language::English, hostile).text(hostile);
        let message = sent(&letter);
        let head = head(&message);
        let headers = head.replace("\r\n ", " ");
        let names: Vec<&str> = headers
            .lines()
            .filter_map(|line| line.split(':').next())
            .collect();
        assert_eq!(
            names,
            [
                "Message-ID",
                "From",
                "To",
                "Subject",
                "Auto-Submitted",
                "MIME-Version",
                "Date",
                "Content-Type"
            ],
            "{head}"
        );
        assert!(message.is_ascii());
        assert!(
            letter
                .html()
                .contains("<p>&lt;/p&gt;&lt;script&gt;&quot;&amp;&#39;")
        );
        assert_eq!(one_line(hostile).lines().count(), 1);
    }

    #[test]
    fn a_subject_is_encoded_and_short() {
        let long = "最".repeat(500);
        let letter = Letter::new("ada@example.org", Language::Chinese, long);
        let message = sent(&letter);
        assert!(message.is_ascii(), "{message}");
        assert!(message.contains("Subject: =?utf-8?"), "{message}");
        assert!(
            head(&message).lines().all(|line| line.len() <= 78),
            "{message}"
        );
        let encoded = "Vote: =?utf-8?q?Bcc:_all@example.org?=";
        let letter = Letter::new("ada@example.org", Language::English, encoded);
        let message = sent(&letter);
        assert!(!message.contains("Bcc"), "{message}");
        let word = Letter::new("ada@example.org", Language::English, "x".repeat(5000));
        assert!(head(&sent(&word)).lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn an_address_in_unicode_needs_a_server_that_takes_it() {
        for (to, needs) in [("ada@dömäin.org", false), ("ädä@example.org", true)] {
            let letter = Letter::new(to, Language::English, "?");
            assert_eq!(letter.needs_unicode(), needs, "{to}");
        }
    }
}
