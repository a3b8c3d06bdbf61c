//! The mail server that takes the messages.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{AsyncTransport as _, Tokio1Executor};
use uuid::Uuid;

use super::letter::Letter;
use crate::config::Config;
use crate::language::Language;

/// How long the server may take to answer one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long one message may take, from connecting to its acceptance.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The most characters of an error that are kept.
const ERROR_LENGTH: usize = 300;

/// `mail.url` cannot be used. (A mail server that cannot be reached is no error.)
#[derive(Debug, thiserror::Error)]
#[error("mail.url cannot be used")]
pub struct OpenError(#[from] smtp::Error);

/// A mail server, and what all messages have in common.
pub struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    public_url: String,
}

/// What has come of an attempt to send a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    Accepted,
    /// Another attempt may succeed.
    Failed(String),
    /// No attempt will ever succeed.
    Refused(String),
}

impl Server {
    /// None where no mail is configured.
    pub fn open(config: &Config) -> Result<Option<Server>, OpenError> {
        let (mail, public_url) = (&config.mail, &config.server.public_url);
        let (Some(url), Some(from), Some(public_url)) = (&mail.url, &mail.from, public_url) else {
            return Ok(None);
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())?
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .timeout(Some(COMMAND_TIMEOUT));
        if let (Some(user), Some(password)) = (&mail.user, &mail.password) {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            transport = transport.credentials(credentials);
        }
        Ok(Some(Server {
            transport: transport.build(),
            from: from.clone(),
            public_url: public_url.as_str().to_owned(),
        }))
    }

    /// Sends a message once. What its error says has no secret of the message.
    pub async fn send(&self, id: Uuid, letter: &Letter, language: Language) -> Attempt {
        let attempt = match letter.message(id, language, &self.from, &self.public_url) {
            Ok(message) => {
                // In a box: the future is large.
                let sending = Box::pin(self.transport.send(message));
                match tokio::time::timeout(MESSAGE_TIMEOUT, sending).await {
                    Ok(Ok(_)) => Attempt::Accepted,
                    Ok(Err(error)) => failed(&error, letter),
                    Err(_) => Attempt::Failed("the mail server took too long".to_owned()),
                }
            }
            Err(error) => Attempt::Refused(chain(&error)),
        };
        let shown = |error: String| shown(&error, letter.content.secret());
        match attempt {
            Attempt::Accepted => Attempt::Accepted,
            Attempt::Failed(error) => Attempt::Failed(shown(error)),
            Attempt::Refused(error) => Attempt::Refused(shown(error)),
        }
    }
}

/// Whether another attempt may succeed after this error.
fn failed(error: &smtp::Error, letter: &Letter) -> Attempt {
    let code = error.status().map(u16::from);
    // The server does not accept us (RFC 4954, section 6), which the operator can mend.
    let concerns_account = code.is_some_and(|code| (530..540).contains(&code));
    // The server does not take addresses in Unicode, which lettre checks before it sends.
    let unfit_address = error.is_client() && !letter.to.is_ascii();
    if error.is_permanent() && !concerns_account || unfit_address {
        Attempt::Refused(chain(error))
    } else {
        Attempt::Failed(chain(error))
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

/// The error as admins may see it: mail servers may repeat what they refuse.
fn shown(error: &str, secret: Option<&str>) -> String {
    let error = match secret {
        Some(secret) => error.replace(secret, "…"),
        None => error.to_owned(),
    };
    let printable = error.chars().filter(|letter| !letter.is_control());
    printable.take(ERROR_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::letter::LetterError;

    #[test]
    fn an_error_is_short_and_has_no_secret() {
        let error = format!("550 spam: /reset#T0KEN\r\n{}", "x".repeat(1000));
        let shown = shown(&error, Some("T0KEN"));
        assert!(shown.starts_with("550 spam: /reset#…xxx"), "{shown}");
        assert_eq!(shown.chars().count(), ERROR_LENGTH);
    }

    #[test]
    fn the_letter_error_names_its_cause() {
        let cause = "no address".parse::<lettre::Address>().unwrap_err();
        let text = chain(&LetterError::from(cause));
        assert!(
            text.starts_with("the address cannot be written into a message: "),
            "{text}"
        );
    }
}
