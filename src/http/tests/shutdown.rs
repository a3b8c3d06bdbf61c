//! The graceful shutdown.

use super::*;

#[tokio::test]
async fn a_graceful_end_finishes_what_was_begun() {
    let server = Served::open(Plan::default()).await;
    let mut idle = server.connect().await;
    let running = tokio::spawn(reqwest::get(server.url("/slow")));
    server.begun.notified().await;
    server.shutdown.cancel();
    // Nothing lingers in this server: an idle connection is closed, and the listener is gone.
    raw(&mut idle, "").await;
    while TcpStream::connect(server.tcp()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.served.is_finished());
    server.release.notify_one();
    let answer = running.await.unwrap().unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(answer.text().await.unwrap(), "slow");
    timeout(LONG, server.served).await.unwrap().unwrap();
}

/// Reads one answer without a body of its own length, and leaves the connection open.
async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with(r#"{"status":"ok"}"#) {
        let byte = timeout(LONG, stream.read_u8()).await.unwrap().unwrap();
        answer.push(byte.into());
    }
    answer
}

#[tokio::test]
async fn a_request_that_meets_the_end_on_its_way_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("polls.sock");
    let mut plan = on_socket(&path);
    plan.http.shutdown_linger = LONG;
    plan.http.max_connections = 1;
    let server = Served::open(plan).await;
    // One connection has been used; the others wait where only the system has accepted them.
    let mut used = UnixStream::connect(&path).await.unwrap();
    assert!(!ask(&mut used, HEALTH).await.contains("connection: close"));
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(UnixStream::connect(&path).await.unwrap());
    }
    server.shutdown.cancel();
    while path.exists() {
        tokio::task::yield_now().await;
    }
    // The next process can take the address at once.
    let next = Listener::bind(&on_socket(&path).server).await.unwrap();
    for stream in others.iter_mut().chain([&mut used]) {
        let answer = raw(stream, HEALTH).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    // Nobody else holds it up, however long idle connections might have stayed.
    timeout(LONG / 2, server.served).await.unwrap().unwrap();
    assert!(path.exists());
    drop(next);
    assert!(!path.exists());
}

#[tokio::test]
async fn for_a_while_all_goes_on_though_the_end_is_announced() {
    let mut plan = Plan::default();
    plan.http.shutdown_delay = Duration::from_secs(1);
    let server = Served::open(plan).await;
    server.shutdown.cancel();
    assert_eq!(server.get("/readyz").await.status(), 503);
    let answer = server.get("/healthz").await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("connection"));
    timeout(LONG, server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_address_lets_nobody_in_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("polls.sock");
    for server in [Plan::default().server, on_socket(&path).server] {
        let bound = Bound::new(&server.address(), server.path_mode)
            .await
            .unwrap();
        let connect = async |address: &Address| match address {
            Address::Tcp(address) => TcpStream::connect(address).await.map(drop),
            Address::Unix(path) => UnixStream::connect(path).await.map(drop),
        };
        let refused = connect(&bound.address().clone()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let listener = bound.listen().unwrap();
        connect(listener.address()).await.unwrap();
    }
    // Two that start at once with one socket: the file is the second one's.
    let server = on_socket(&path).server;
    let first = Bound::new(&server.address(), server.path_mode)
        .await
        .unwrap();
    let second = Bound::new(&server.address(), server.path_mode)
        .await
        .unwrap();
    let refused = first.listen().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    let second = second.listen().unwrap();
    UnixStream::connect(&path).await.unwrap();
    drop(second);
}

#[tokio::test]
async fn the_grace_period_ends() {
    let mut plan = Plan::default();
    plan.http.shutdown_grace = SHORT;
    let server = Served::open(plan).await;
    let running = tokio::spawn(reqwest::get(server.url("/slow")));
    server.begun.notified().await;
    server.shutdown.cancel();
    timeout(LONG, server.served).await.unwrap().unwrap();
    running.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_change_is_finished_though_the_client_hangs_up() {
    for (method, finishes) in [("GET", false), ("PUT", true)] {
        let server = Served::open(Plan::default()).await;
        let mut stream = server.connect().await;
        let request = format!("{method} /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        server.begun.notified().await;
        drop(stream);
        // The connection is gone; what is left is the change.
        while server.tasks.len() != usize::from(finishes) {
            tokio::task::yield_now().await;
        }
        server.release.notify_one();
        while !server.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.finished.load(Ordering::SeqCst), finishes, "{method}");
    }
}
