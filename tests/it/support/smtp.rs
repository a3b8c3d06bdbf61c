//! A mail server for tests: it speaks SMTP over plain TCP, records what it accepts, and misbehaves
//! on purpose.

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

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
}

/// A message that was accepted.
#[derive(Debug, Clone)]
pub struct Received {
    pub to: String,
    /// The headers as they were sent.
    pub head: String,
    pub text: String,
    pub html: String,
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
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
    /// How often a message was sent to the end.
    ends: Mutex<usize>,
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
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Accepts),
            received: Mutex::default(),
            ends: Mutex::default(),
        });
        let of_all = shared.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, of_all.clone()));
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

    /// All messages so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic").clone()
    }

    /// How many messages were sent to the end, accepted or not.
    pub fn ends(&self) -> usize {
        *self.shared.ends.lock().expect("no panic")
    }

    /// The message with this number, from 1. Waits until it arrives.
    pub async fn message(&self, number: usize) -> Received {
        eventually(async || self.received().len() >= number).await;
        self.received().swap_remove(number - 1)
    }

    /// Stops the server. Its port is free then.
    pub async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let behaviour = || *shared.behaviour.lock().expect("no panic");
    let mut stream = BufReader::new(stream);
    if behaviour() == Behaviour::Hangs {
        return std::future::pending().await;
    }
    stream.write_all(b"220 test ESMTP\r\n").await?;
    let mut to = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_ascii_uppercase();
        let answer = match command.split([' ', ':']).next() {
            Some("EHLO") => "250 test",
            Some("RCPT") => {
                to = line.trim_end()["RCPT TO:".len()..]
                    .trim_matches(['<', '>'])
                    .to_owned();
                "250 ok"
            }
            Some("DATA") => {
                stream.write_all(b"354 go on\r\n").await?;
                let data = read_data(&mut stream).await?;
                let message = Received::of(&to, &data);
                *shared.ends.lock().expect("no panic") += 1;
                match behaviour() {
                    Behaviour::Postpones => "451 4.3.0 later",
                    Behaviour::Refuses => {
                        let answer =
                            format!("550 5.7.1 spam: {}\r\n", message.text.replace('\n', " "));
                        stream.write_all(answer.as_bytes()).await?;
                        continue;
                    }
                    Behaviour::HangsAtTheEnd => return std::future::pending().await,
                    Behaviour::Accepts | Behaviour::Hangs => {
                        shared.received.lock().expect("no panic").push(message);
                        "250 ok"
                    }
                }
            }
            Some("QUIT") => "221 bye",
            _ => "250 ok",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

/// The message up to the line with a single dot.
async fn read_data(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
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
            (head.contains("text/html"), decoded(body, encoding.trim()))
        });
        let parts: Vec<(bool, String)> = parts.collect();
        Received {
            to: to.to_owned(),
            head: head.to_owned(),
            text: parts[1].1.replace("\r\n", "\n"),
            html: parts[2].1.replace("\r\n", "\n"),
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
