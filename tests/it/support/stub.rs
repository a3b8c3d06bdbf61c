//! Stub servers behind a proxy: they record requests, and misbehave on purpose.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A request that reached a stub.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The number of the stub, from 1.
    pub by: usize,
    /// Such as `PUT /slow`.
    pub call: String,
    /// The whole header.
    pub head: String,
}

/// The state that all stubs share.
#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    released: Notify,
}

/// Four servers on `1.sock` to `4.sock` in a folder.
///
/// `/slow` is never answered. `/dies` closes the connection instead of answering. Live results are
/// one event, and a second one after [`Stubs::release`]; the WebSocket is an echo. All other
/// requests are answered with their own header.
pub struct Stubs {
    shared: Arc<Shared>,
    listening: Vec<(PathBuf, JoinHandle<()>)>,
}

impl Stubs {
    pub fn start(folder: &Path) -> Stubs {
        let shared = Arc::<Shared>::default();
        let start = |number: usize| {
            let path = folder.join(format!("{number}.sock"));
            let listener = UnixListener::bind(&path).expect("a socket");
            let shared = shared.clone();
            let accept = async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(converse(number, stream, shared.clone()));
                }
            };
            (path, tokio::spawn(accept))
        };
        let listening = (1..=4).map(start).collect();
        Stubs { shared, listening }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no panic").clone()
    }

    /// How often this call has reached any stub.
    pub fn count(&self, call: &str) -> usize {
        self.seen().iter().filter(|seen| seen.call == call).count()
    }

    /// Sends the second live event.
    pub fn release(&self) {
        self.shared.released.notify_one();
    }

    /// Stops the first stub from accepting connections.
    pub async fn stop_one(&mut self) {
        let (path, listening) = self.listening.remove(0);
        listening.abort();
        let _ = listening.await;
        fs::remove_file(path).expect("its socket");
    }
}

async fn converse(by: usize, stream: UnixStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.parse::<usize>().ok()).flatten()
        });
        stream.read_exact(&mut vec![0; length.unwrap_or(0)]).await?;
        let call = head.split(" HTTP/").next().unwrap_or_default().to_owned();
        let path = call.split(' ').nth(1).unwrap_or_default().to_owned();
        let seen = Seen { by, call, head };
        let echo = seen.head.clone();
        shared.seen.lock().expect("no panic").push(seen);
        match path.rsplit('/').next() {
            Some("slow") => {
                // Until the proxy gives up.
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            Some("dies") => return Ok(()),
            Some("live") => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                            Transfer-Encoding: chunked\r\n\r\n5\r\none\n\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                shared.released.notified().await;
                stream.write_all(b"5\r\ntwo\n\n\r\n0\r\n\r\n").await?;
            }
            Some("ws") => {
                let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                            Connection: upgrade\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                let mut byte = [0];
                while stream.read(&mut byte).await? > 0 {
                    stream.write_all(&byte).await?;
                }
                return Ok(());
            }
            _ => {
                let length = echo.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{echo}");
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
}
