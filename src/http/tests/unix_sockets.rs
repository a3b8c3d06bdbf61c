//! Unix sockets.

use super::*;

#[tokio::test]
async fn a_unix_socket_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("polls.sock");
    // What a killed server leaves behind.
    drop(UnixListener::bind(&path).unwrap());
    let server = Served::open(on_socket(&path)).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = Listener::bind(&on_socket(&path).server).await;
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);

    let request = "GET /client HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.5\r\nConnection: close\r\n\r\n";
    let mut stream = UnixStream::connect(&path).await.unwrap();
    assert!(raw(&mut stream, request).await.ends_with("203.0.113.5"));

    server.shutdown.cancel();
    timeout(LONG, server.served).await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "precious").unwrap();
    let refused = Listener::bind(&on_socket(&path).server).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
