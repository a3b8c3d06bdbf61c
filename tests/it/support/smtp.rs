//! A mail server for tests: it speaks SMTP, over TLS where it is told to, records what it gets, and
//! misbehaves on purpose.

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::Certificate;
use super::eventually;

/// How the server treats the messages that come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Accepts,
    /// Asks to try again later.
    Postpones,
    /// Refuses for good, and repeats what it refuses.
    Refuses,
    /// Accepts connections and never says a word.
    Hangs,
    /// Reads the whole message and never answers.
    HangsAtTheEnd,
    /// Reads the whole message and closes the connection.
    HangsUp,
}

/// How clients must speak to the server.
#[derive(Clone, Default)]
pub struct Terms {
    pub tls: Option<(Tls, TlsAcceptor)>,
    /// The name and the password that are asked for.
    pub account: Option<(&'static str, &'static str)>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    WithTheConnection,
    /// With STARTTLS, which the server offers.
    WhenAskedFor,
}

impl Terms {
    pub fn tls(when: Tls, certificate: &Certificate) -> Terms {
        let chain = CertificateDer::pem_file_iter(&certificate.certificate).expect("a file");
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocols")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate with its key");
        Terms {
            tls: Some((when, TlsAcceptor::from(Arc::new(config)))),
            account: None,
        }
    }

    pub fn and_account(self, name: &'static str, password: &'static str) -> Terms {
        Terms {
            account: Some((name, password)),
            ..self
        }
    }
}

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub to: String,
    /// The headers as they were sent.
    pub head: String,
    pub text: String,
    pub html: String,
    /// Whether it came over TLS.
    pub encrypted: bool,
    /// The account that sent it.
    pub account: Option<String>,
}

impl Received {
    /// The token of the link in the message.
    pub fn token(&self) -> String {
        let (_, token) = self.text.split_once("/reset#").expect("a link");
        token.lines().next().expect("a token").to_owned()
    }

    /// The code in the message.
    pub fn code(&self) -> String {
        let is_code = |line: &&str| line.len() == 11 && line.as_bytes()[5] == b'-';
        self.text.lines().find(is_code).expect("a code").to_owned()
    }
}

struct Shared {
    terms: Terms,
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
    offered: Mutex<Vec<Received>>,
}

/// The server.
pub struct Smtp {
    pub port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Smtp {
    pub async fn start() -> Smtp {
        Smtp::on(0).await
    }

    /// A server on this port, such as one that was stopped.
    pub async fn on(port: u16) -> Smtp {
        Smtp::open(port, Terms::default()).await
    }

    /// A server that does not talk to everybody.
    pub async fn with(terms: Terms) -> Smtp {
        Smtp::open(0, terms).await
    }

    async fn open(port: u16, terms: Terms) -> Smtp {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            terms,
            behaviour: Mutex::new(Behaviour::Accepts),
            received: Mutex::default(),
            offered: Mutex::default(),
        });
        let of_all = shared.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Box::new(stream), of_all.clone()));
            }
        });
        Smtp {
            port,
            shared,
            serving,
        }
    }

    /// The settings of a server that sends its mail here.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("mail.url", format!("smtp://127.0.0.1:{}", self.port)),
            ("mail.from", "Polls <polls@example.org>".to_owned()),
            ("server.public_url", "https://polls.example.org".to_owned()),
        ]
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().expect("no panic") = behaviour;
    }

    /// The messages that were accepted.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic").clone()
    }

    /// The messages that were sent to the end, accepted or not.
    pub fn offered(&self) -> Vec<Received> {
        self.shared.offered.lock().expect("no panic").clone()
    }

    /// The accepted message with this number, from 1. Waits until it arrives.
    pub async fn message(&self, number: usize) -> Received {
        eventually(async || self.received().len() >= number).await;
        self.received().swap_remove(number - 1)
    }

    /// The accepted message with this number, from 1, of those whose text has these words.
    pub async fn message_with(&self, words: &str, number: usize) -> Received {
        let with_words = || {
            let mut messages = self.received();
            messages.retain(|message| message.text.contains(words));
            messages
        };
        eventually(async || with_words().len() >= number).await;
        with_words().swap_remove(number - 1)
    }

    /// The offered message with this number, from 1. Waits until it arrives.
    pub async fn offer(&self, number: usize) -> Received {
        eventually(async || self.offered().len() >= number).await;
        self.offered().swap_remove(number - 1)
    }

    /// Stops the server. Its port is free then.
    pub async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn serve(stream: Box<dyn Stream>, shared: Arc<Shared>) -> io::Result<()> {
    if *shared.behaviour.lock().expect("no panic") == Behaviour::Hangs {
        return std::future::pending().await;
    }
    match &shared.terms.tls {
        Some((Tls::WithTheConnection, acceptor)) => {
            let stream = acceptor.accept(stream).await?;
            converse(Box::new(stream), &shared, true, "220 test ESMTP\r\n").await
        }
        _ => converse(stream, &shared, false, "220 test ESMTP\r\n").await,
    }
}

async fn converse(
    stream: Box<dyn Stream>,
    shared: &Shared,
    encrypted: bool,
    greeting: &str,
) -> io::Result<()> {
    let behaviour = || *shared.behaviour.lock().expect("no panic");
    let mut stream = BufReader::new(stream);
    stream.write_all(greeting.as_bytes()).await?;
    let offered = match &shared.terms.tls {
        Some((Tls::WhenAskedFor, acceptor)) if !encrypted => Some(acceptor),
        _ => None,
    };
    let mut account = None;
    let mut to = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let refusal;
        let mut words = line.trim_end().split([' ', ':']);
        let answer = match words.next().unwrap_or_default() {
            "EHLO" if offered.is_some() => "250-test\r\n250-STARTTLS\r\n250 AUTH PLAIN",
            "EHLO" => "250-test\r\n250 AUTH PLAIN",
            "STARTTLS" => {
                let acceptor = offered.expect("it was offered");
                stream.write_all(b"220 go on\r\n").await?;
                let stream = acceptor.accept(stream.into_inner()).await?;
                return Box::pin(converse(Box::new(stream), shared, true, "")).await;
            }
            "AUTH" => {
                let sent = STANDARD.decode(words.nth(1).unwrap_or_default());
                let sent = String::from_utf8(sent.unwrap_or_default()).unwrap_or_default();
                let expected = shared.terms.account;
                let right =
                    expected.filter(|(name, password)| sent == format!("\0{name}\0{password}"));
                account = right.map(|(name, _)| name.to_owned());
                match account {
                    Some(_) => "235 ok",
                    None => "535 5.7.8 wrong name or password",
                }
            }
            "MAIL" if shared.terms.account.is_some() && account.is_none() => {
                "530 5.7.0 sign in first"
            }
            "RCPT" => {
                to = line.trim_end()["RCPT TO:".len()..]
                    .trim_matches(['<', '>'])
                    .to_owned();
                "250 ok"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let data = read_data(&mut stream).await?;
                let message = Received {
                    encrypted,
                    account: account.clone(),
                    ..Received::of(&to, &data)
                };
                let of = |messages: &Mutex<Vec<Received>>| {
                    messages.lock().expect("no panic").push(message.clone());
                };
                // What happens to the message is decided before a test sees that it was offered.
                let behaviour = behaviour();
                of(&shared.offered);
                match behaviour {
                    Behaviour::Postpones => "451 4.3.0 later",
                    Behaviour::Refuses => {
                        let text = message.text.replace('\n', " ");
                        refusal = format!("550 5.7.1 spam: {text}");
                        &refusal
                    }
                    Behaviour::HangsAtTheEnd => return std::future::pending().await,
                    Behaviour::HangsUp => return Ok(()),
                    Behaviour::Accepts | Behaviour::Hangs => {
                        of(&shared.received);
                        "250 ok"
                    }
                }
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

/// The message up to the line with a single dot.
async fn read_data(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

impl Received {
    /// Reads a message with two forms (RFC 2046).
    fn of(to: &str, data: &str) -> Received {
        let (head, body) = data.split_once("\r\n\r\n").expect("a head");
        let boundary = head.split_once("boundary=\"").expect("a boundary").1;
        let boundary = format!("--{}", boundary.split('"').next().unwrap_or_default());
        let parts = body.split(&boundary).map(|part| {
            let (head, body) = part.split_once("\r\n\r\n").unwrap_or_default();
            let encoding = head.split_once("Content-Transfer-Encoding: ");
            let encoding = encoding.map_or("7bit", |(_, rest)| rest.lines().next().unwrap_or(""));
            decoded(body, encoding.trim())
        });
        let parts: Vec<String> = parts.collect();
        Received {
            to: to.to_owned(),
            head: head.to_owned(),
            text: parts[1].replace("\r\n", "\n"),
            html: parts[2].replace("\r\n", "\n"),
            encrypted: false,
            account: None,
        }
    }
}

fn decoded(body: &str, encoding: &str) -> String {
    let bytes = match encoding {
        "base64" => {
            let text: String = body.split_whitespace().collect();
            STANDARD.decode(text).expect("base64")
        }
        "quoted-printable" => {
            let mut bytes = Vec::new();
            let mut rest = body.replace("=\r\n", "");
            while let Some((before, after)) = rest.split_once('=') {
                bytes.extend(before.bytes());
                bytes.push(u8::from_str_radix(&after[..2], 16).expect("two digits"));
                rest = after[2..].to_owned();
            }
            bytes.extend(rest.bytes());
            bytes
        }
        _ => body.as_bytes().to_vec(),
    };
    String::from_utf8(bytes).expect("UTF-8")
}
