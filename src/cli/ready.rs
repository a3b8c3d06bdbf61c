//! Whether a server may take traffic, asked from outside: for health checks and for whoever
//! restarts one process after another.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use crate::config::Server;

/// How long the answer to one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(50);

/// More than any answer has, in bytes.
const LONGEST: u64 = 16 * 1024;

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: polls\r\nConnection: close\r\n\r\n";

/// Why a server may not take traffic.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("no answer from the server")]
    Unreachable(#[source] io::Error),
    #[error("the server took too long to answer")]
    Slow,
    #[error("the server is not ready: {0}")]
    Refused(String),
}

/// Asks the server that listens as configured, for at most `wait` until it is ready, but at least
/// once.
pub async fn ready(server: &Server, wait: Duration) -> Result<(), NotReady> {
    let end = Instant::now() + wait;
    loop {
        let outcome = timeout(PATIENCE, ask(server)).await;
        match outcome.unwrap_or(Err(NotReady::Slow)) {
            Err(_) if Instant::now() < end => sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

async fn ask(server: &Server) -> Result<(), NotReady> {
    let answer = match &server.path {
        Some(path) => converse(UnixStream::connect(path).await).await,
        None => {
            let host = match server.host {
                IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                host => host,
            };
            converse(TcpStream::connect(SocketAddr::new(host, server.port)).await).await
        }
    };
    let answer = answer.map_err(NotReady::Unreachable)?;
    let status = answer.split(' ').nth(1);
    if status == Some("200") {
        return Ok(());
    }
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or(("", &answer));
    Err(NotReady::Refused(body.to_owned()))
}

async fn converse<S>(stream: io::Result<S>) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = stream?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer).await?;
    Ok(answer)
}
