//! The mail server that takes the messages, and one conversation with it for each message.

use std::time::Duration;

use lettre::Message;
use lettre::message::Mailbox;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Tls, TlsParameters};
use lettre::transport::smtp::extension::{ClientId, Extension};
use tokio::time::timeout;
use uuid::Uuid;

use super::letter::{self, Letter};
use crate::config::{Config, SmtpEncryption};

/// How long the parts of an attempt may take.
#[derive(Clone, Copy)]
struct Timeouts {
    /// Until the server is ready for a message: connection, TLS, account.
    connecting: Duration,
    /// Until the server has accepted the message. Many look for spam first. RFC 5321 (section
    /// 4.5.3.2) allows more, but a person waits.
    sending: Duration,
    /// Until the server answers the last word, when everything is decided.
    parting: Duration,
}

const TIMEOUTS: Timeouts = Timeouts {
    connecting: Duration::from_secs(30),
    sending: Duration::from_secs(120),
    parting: Duration::from_secs(5),
};

/// The longest that [`Server::send`] takes.
pub(super) const LONGEST_ATTEMPT: Duration = Duration::from_secs(
    TIMEOUTS.connecting.as_secs() + TIMEOUTS.sending.as_secs() + TIMEOUTS.parting.as_secs(),
);

/// The most characters of an error that are kept.
const ERROR_LENGTH: usize = 300;

/// As many characters of a secret as are not shown in an error.
const FRAGMENT: usize = 5;

/// `mail.url` or `mail.from` cannot be used. (A mail server that cannot be reached is no error.)
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the certificates for mail.url cannot be read")]
    Certificates(#[from] smtp::Error),
    #[error("mail.from cannot be used")]
    From(#[from] lettre::address::AddressError),
}

/// A mail server, and what all messages have in common.
pub struct Server {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    hello: ClientId,
    from: Mailbox,
    /// The address of the page, without a slash at its end.
    site: String,
    timeouts: Timeouts,
}

/// What has come of an attempt to send a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    Accepted,
    /// The server cannot be reached, or does not accept us. It has not seen the message.
    Unconnected(String),
    /// The server has not accepted the message; another attempt may succeed.
    Postponed(String),
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
        let host = url.host();
        // The certificates are those of the system, or of the file that SSL_CERT_FILE names.
        let tls = || TlsParameters::new(host.clone());
        let tls = match url.encryption() {
            SmtpEncryption::None => Tls::None,
            SmtpEncryption::Opportunistic => Tls::Opportunistic(tls()?),
            SmtpEncryption::Required => Tls::Required(tls()?),
            SmtpEncryption::Implicit => Tls::Wrapper(tls()?),
        };
        let credentials = mail.user.as_ref().zip(mail.password.as_ref());
        let credentials = credentials
            .map(|(user, password)| Credentials::new(user.clone(), password.expose().to_owned()));
        let email = letter::address(from.email.as_ref())?;
        Ok(Some(Server {
            port: url.port(),
            tls,
            credentials,
            hello: ClientId::Domain(email.domain().to_owned()),
            from: Mailbox::new(from.name.clone(), email),
            site: public_url.as_str().to_owned(),
            host,
            timeouts: TIMEOUTS,
        }))
    }

    /// The address of the page, without a slash at its end.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Sends a message once. What an error says has no secret of the message.
    pub async fn send(&self, id: Uuid, letter: &Letter) -> Attempt {
        let message = match letter.message(id, &self.from) {
            Ok(message) => message,
            Err(error) => return Attempt::Refused(shown(&error, letter)),
        };
        let Timeouts {
            connecting,
            sending,
            parting,
        } = self.timeouts;
        // In a box: the future is large.
        let mut connection = match timeout(connecting, Box::pin(self.connect())).await {
            Ok(Ok(connection)) => connection,
            // Even where the server says that this is for good: it has not seen the message, and
            // the operator can mend it.
            Ok(Err(error)) => return Attempt::Unconnected(shown(&error, letter)),
            Err(_) => return Attempt::Unconnected(took_too_long(connecting)),
        };
        let transfer = transfer(&mut connection, letter, &message);
        let Ok(attempt) = timeout(sending, Box::pin(transfer)).await else {
            return Attempt::Postponed(took_too_long(sending));
        };
        // Whatever becomes of this: the server has decided.
        let _ = timeout(parting, connection.abort()).await;
        attempt
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let address = (self.host.as_str(), self.port);
        let implicit = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, implicit, None);
        let mut connection = connecting.await?;
        match &self.tls {
            Tls::Opportunistic(_) if !connection.can_starttls() => {}
            Tls::Opportunistic(parameters) | Tls::Required(parameters) => {
                connection.starttls(parameters.clone(), &self.hello).await?;
            }
            Tls::Wrapper(_) | Tls::None => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

/// Hands a message over.
async fn transfer(
    connection: &mut AsyncSmtpConnection,
    letter: &Letter,
    message: &Message,
) -> Attempt {
    let takes_unicode = connection
        .server_info()
        .supports_feature(Extension::SmtpUtfEight);
    if letter.needs_unicode() && !takes_unicode {
        let error = "the mail server does not take addresses in Unicode (SMTPUTF8)";
        return Attempt::Refused(error.to_owned());
    }
    let bytes = message.formatted();
    match connection.send(message.envelope(), &bytes).await {
        Ok(_) => Attempt::Accepted,
        Err(error) if is_for_good(&error) => Attempt::Refused(shown(&error, letter)),
        Err(error) => Attempt::Postponed(shown(&error, letter)),
    }
}

/// Whether no further attempt can succeed after this error.
fn is_for_good(error: &smtp::Error) -> bool {
    // These mean that the server wants another account or encryption (RFC 4954, section 6), which
    // the operator can mend.
    let concerns_account =
        (error.status()).is_some_and(|code| (530..540).contains(&u16::from(code)));
    error.is_permanent() && !concerns_account
}

fn took_too_long(limit: Duration) -> String {
    format!("the mail server took more than {} seconds", limit.as_secs())
}

/// An error and its causes in one line, as admins may see it. Mail servers may repeat what they
/// refuse, hence without the letter's secrets.
fn shown(error: &dyn std::error::Error, letter: &Letter) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    for secret in letter.secrets() {
        text = without(&text, secret);
    }
    let printable = text.chars().filter(|letter| !letter.is_control());
    printable.take(ERROR_LENGTH).collect()
}

/// The text without a secret and without fragments of it, into which line breaks may have split it.
fn without(text: &str, secret: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let secret: Vec<char> = secret.chars().collect();
    let fragments: Vec<&[char]> = secret.windows(FRAGMENT).collect();
    let mut hidden = vec![false; letters.len()];
    for (at, part) in letters.windows(FRAGMENT).enumerate() {
        if fragments.contains(&part) {
            hidden[at..at + FRAGMENT].fill(true);
        }
    }
    let mut shown = String::new();
    for (letter, hidden) in letters.into_iter().zip(hidden) {
        match hidden {
            false => shown.push(letter),
            true if shown.ends_with('…') => {}
            true => shown.push('…'),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::{self, Flag, Sources};
    use crate::language::Language;
    use crate::mail::letter::LetterError;

    const TOKEN: &str = "8xLOxBtZp8-0Qn2bM3v5Cw1dE6fG7hJ9kL4mN0pR2sT";

    fn letter() -> Letter {
        Letter::new("ada@example.org", Language::English, "?")
            .link(format!("https://polls.example.org/reset#{TOKEN}"))
    }

    fn server(settings: &[(&str, &str)]) -> Server {
        let common = [
            ("mail.from", "Polls <polls@dömäin.org>"),
            ("server.public_url", "https://polls.example.org"),
        ];
        let flag = |(key, value): &(&str, &str)| Flag {
            name: format!("--set {key}"),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let sources = Sources {
            flags: common.iter().chain(settings).map(flag).collect(),
            ..Sources::default()
        };
        let config = config::load(&sources).unwrap().config;
        Server::open(&config).unwrap().unwrap()
    }

    #[test]
    fn the_name_of_the_sender_is_that_of_dns() {
        let server = server(&[("mail.url", "smtp://localhost")]);
        assert_eq!(server.from.to_string(), "Polls <polls@xn--dmin-moa0i.org>");
        assert_eq!(server.hello.to_string(), "xn--dmin-moa0i.org");
        assert_eq!(server.site(), "https://polls.example.org");
    }

    #[test]
    fn an_error_is_short_and_has_no_secret() {
        let broken = format!("{}=\r\n{}", &TOKEN[..20], &TOKEN[20..]);
        for repeated in [TOKEN, &broken] {
            let text = format!("550 spam: /reset#{repeated} {}", "x".repeat(1000));
            let error = shown(&std::io::Error::other(text), &letter());
            assert!(error.starts_with("550 spam: /reset#…"), "{error}");
            assert_eq!(error.chars().count(), ERROR_LENGTH);
            let mut fragments = TOKEN.as_bytes().windows(FRAGMENT);
            assert!(!fragments.any(|part| error.as_bytes().windows(FRAGMENT).any(|it| it == part)));
        }
        let harmless = "550 no such mailbox";
        assert_eq!(shown(&std::io::Error::other(harmless), &letter()), harmless);
    }

    #[test]
    fn an_error_names_its_cause() {
        let cause = "no address".parse::<lettre::Address>().unwrap_err();
        let text = shown(&LetterError::from(cause), &letter());
        assert!(
            text.starts_with("the address cannot be written into a message: "),
            "{text}"
        );
    }

    /// The mail server's side of a conversation: says the first of these lines, then one for each
    /// line that it hears, and a message counts as one. `-` says nothing; at the end the connection
    /// is closed.
    async fn saying(lines: &[&str]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let lines: Vec<String> = lines.iter().map(|line| format!("{line}\r\n")).collect();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut heard = String::new();
            let mut in_message = false;
            for line in lines {
                if line == "-\r\n" {
                    return std::future::pending().await;
                }
                stream.write_all(line.as_bytes()).await.unwrap();
                loop {
                    heard.clear();
                    if stream.read_line(&mut heard).await.unwrap() == 0 {
                        return;
                    }
                    if !in_message || heard == ".\r\n" {
                        break;
                    }
                }
                in_message = heard == "DATA\r\n";
            }
        });
        server(&[("mail.url", &url)])
    }

    #[tokio::test]
    async fn what_the_server_says_decides_whether_to_try_again() {
        const READY: [&str; 2] = ["220 test", "250 test"];
        let asked_for = |more: &[&'static str]| [&READY, more].concat();
        let cases: [(&[&str], &str); 14] = [
            (&["554 your network is blocked"], "unconnected 554"),
            (&["421 too busy"], "unconnected 421"),
            (&["220 test", "550 not like this"], "unconnected 550"),
            (&["HTTP/1.1 400 Bad Request"], "unconnected response error"),
            (&[], "unconnected incomplete"),
            (&asked_for(&["451 later"]), "postponed 451"),
            (&asked_for(&["550 not from you"]), "refused 550"),
            (&asked_for(&["250 ok", "450 greylisted"]), "postponed 450"),
            (
                &asked_for(&["250 ok", "550 no such mailbox"]),
                "refused 550",
            ),
            (
                &asked_for(&["250 ok", "530 sign in first"]),
                "postponed 530",
            ),
            (
                &asked_for(&["250 ok", "250 ok", "354 go on", "452 full"]),
                "postponed 452",
            ),
            (
                &asked_for(&["250 ok", "250 ok", "354 go on", "554 spam"]),
                "refused 554",
            ),
            (
                &asked_for(&["250 ok", "250 ok", "354 go on"]),
                "postponed incomplete",
            ),
            (
                &asked_for(&["250 ok", "250 ok", "354 go on", "250 ok", "-"]),
                "accepted",
            ),
        ];
        for (lines, expected) in cases {
            let mut server = saying(lines).await;
            server.timeouts.parting = Duration::ZERO;
            let (outcome, text) = match server.send(Uuid::nil(), &letter()).await {
                Attempt::Accepted => ("accepted", String::new()),
                Attempt::Unconnected(error) => ("unconnected", error),
                Attempt::Postponed(error) => ("postponed", error),
                Attempt::Refused(error) => ("refused", error),
            };
            let (expected_outcome, words) = expected.split_once(' ').unwrap_or((expected, ""));
            assert_eq!(outcome, expected_outcome, "{lines:?}: {text}");
            assert!(text.contains(words), "{lines:?}: {text}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let mut server = saying(&["-"]).await;
        server.timeouts.connecting = Duration::ZERO;
        let attempt = server.send(Uuid::nil(), &letter()).await;
        assert_eq!(attempt, Attempt::Unconnected(took_too_long(Duration::ZERO)));
        let mut server = saying(&["220 test", "250 test", "-"]).await;
        server.timeouts.sending = Duration::ZERO;
        let attempt = server.send(Uuid::nil(), &letter()).await;
        assert_eq!(attempt, Attempt::Postponed(took_too_long(Duration::ZERO)));
    }

    #[tokio::test]
    async fn an_address_in_unicode_is_refused_where_the_server_does_not_take_it() {
        let letter = Letter::new("ädä@example.org", Language::English, "?");
        let server = saying(&["220 test", "250 test"]).await;
        let attempt = server.send(Uuid::nil(), &letter).await;
        let refused = matches!(&attempt, Attempt::Refused(error) if error.contains("SMTPUTF8"));
        assert!(refused, "{attempt:?}");
        let answers = [
            "220 test",
            "250-test\r\n250-8BITMIME\r\n250 SMTPUTF8",
            "250 ok",
            "250 ok",
            "354 go on",
            "250 ok",
        ];
        let attempt = saying(&answers).await.send(Uuid::nil(), &letter).await;
        assert_eq!(attempt, Attempt::Accepted);
    }
}
