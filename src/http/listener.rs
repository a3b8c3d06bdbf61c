//! Listening sockets: TCP ports and unix sockets.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use poem::Addr;
use poem::web::LocalAddr;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream, unix};

use super::client::TrustedProxies;
use crate::{config, folder};

pub use crate::config::Address;

/// How many connections the system accepts before the server takes them.
const BACKLOG: u32 = 1024;

/// A bound address that does not listen yet: connections are refused. The file of a unix socket is
/// removed when this or the [`Listener`] is dropped.
#[derive(Debug)]
pub struct Bound {
    socket: BoundSocket,
    address: Address,
}

#[derive(Debug)]
enum BoundSocket {
    Tcp(TcpSocket),
    Unix(UnixSocket, SocketFile),
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Bound {
    /// Binds an address. `mode` is the permissions of a unix socket.
    ///
    /// # Errors
    ///
    /// Those of the system; `AddrInUse` where another server listens on the address.
    pub async fn new(address: &Address, mode: u32) -> io::Result<Bound> {
        let address = match address {
            Address::Unix(path) => {
                remove_stale(path).await?;
                let socket = UnixSocket::new_stream()?;
                socket
                    .bind(path)
                    .map_err(|error| folder::named(path, error))?;
                let file = SocketFile::of(path)?;
                fs::set_permissions(path, Permissions::from_mode(mode))?;
                return Ok(Bound {
                    socket: BoundSocket::Unix(socket, file),
                    address: address.clone(),
                });
            }
            Address::Tcp(address) => *address,
        };
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Connections of an earlier process may still be in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Bound {
            address: Address::Tcp(socket.local_addr()?),
            socket: BoundSocket::Tcp(socket),
        })
    }

    /// The bound address, with the port that the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Starts to listen. Until then connections are refused, and a proxy tries another process.
    ///
    /// # Errors
    ///
    /// Those of the system; `AddrInUse` where another server has taken the address meanwhile.
    pub fn listen(self) -> io::Result<Listener> {
        let socket = match self.socket {
            BoundSocket::Tcp(socket) => Socket::Tcp(socket.listen(BACKLOG)?),
            BoundSocket::Unix(_, file) if !file.is_there() => {
                return Err(ErrorKind::AddrInUse.into());
            }
            BoundSocket::Unix(socket, file) => Socket::Unix(socket.listen(BACKLOG)?, file),
        };
        Ok(Listener {
            socket,
            address: self.address,
        })
    }
}

impl Listener {
    /// Binds the configured address and listens.
    ///
    /// # Errors
    ///
    /// Those of [`Bound`].
    pub async fn bind(config: &config::Server) -> io::Result<Listener> {
        let bound = Bound::new(&config.address(), config.path_mode).await?;
        bound.listen()
    }

    /// The bound address, with the port that the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Accepted::tcp(stream, peer)
            }
            Socket::Unix(socket, _) => {
                let (stream, peer) = socket.accept().await?;
                Ok(Accepted::Unix(stream, Addr::from(peer)))
            }
        }
    }

    /// Stops listening, and returns the connections in the backlog. Closing the socket would reset
    /// them, although a request may have been sent on them.
    ///
    /// The file of a unix socket is removed first, so that no client connects in between. For a TCP
    /// port nothing prevents that: a connection that is made between the last accept and the close
    /// is reset.
    pub(super) fn close(self) -> io::Result<Vec<Accepted>> {
        match self.socket {
            Socket::Tcp(socket) => {
                let socket = socket.into_std()?;
                backlog(|| {
                    let (stream, peer) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Accepted::tcp(TcpStream::from_std(stream)?, peer)
                })
            }
            Socket::Unix(socket, file) => {
                drop(file);
                let socket = socket.into_std()?;
                backlog(|| {
                    let (stream, peer) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    let stream = UnixStream::from_std(stream)?;
                    Ok(Accepted::Unix(
                        stream,
                        Addr::from(unix::SocketAddr::from(peer)),
                    ))
                })
            }
        }
    }

    pub(super) fn local_addr(&self) -> LocalAddr {
        LocalAddr(match &self.address {
            Address::Tcp(address) => Addr::SocketAddr(*address),
            Address::Unix(path) => Addr::Custom("unix", path.display().to_string().into()),
        })
    }
}

/// An accepted connection and the address of its other end.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream, Addr),
}

impl Accepted {
    /// The address of the client; none if a proxy connects on behalf of clients.
    pub(super) fn client(&self, proxies: &TrustedProxies) -> Option<IpAddr> {
        match self {
            Accepted::Tcp(_, peer) => Some(peer.ip()).filter(|peer| !proxies.trusts(*peer)),
            Accepted::Unix(..) => None,
        }
    }

    fn tcp(stream: TcpStream, peer: SocketAddr) -> io::Result<Accepted> {
        // Nagle's algorithm would hold small answers until the client's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok(Accepted::Tcp(stream, peer))
    }
}

/// Accepts the connections that are in the backlog.
fn backlog(mut accept: impl FnMut() -> io::Result<Accepted>) -> io::Result<Vec<Accepted>> {
    let mut accepted = Vec::new();
    loop {
        match accept() {
            Ok(connection) => accepted.push(connection),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A unix socket's file, removed when this is dropped.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: path.into(),
            id: file_id(path)?,
        })
    }

    /// Whether the file was neither removed by hand nor replaced by another server.
    fn is_there(&self) -> bool {
        file_id(&self.path).is_ok_and(|id| id == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            // If this fails, the next server removes the file or reports why it cannot.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Removes a socket file that an earlier process left behind. Other files are left alone.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        _ => return Ok(()),
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            format!("another server answers on {}", path.display()),
        )),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// Whether accepting failed for a single connection, so that the next one can be accepted.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::InvalidInput
    )
}
