//! How many connections a client may have, and for how long.

use super::*;

#[tokio::test]
async fn a_half_sent_header_is_not_waited_for() {
    let mut plan = Plan::default();
    plan.http.header_timeout = SHORT;
    let server = Served::open(plan).await;
    raw(
        &mut server.connect().await,
        "GET /healthz HTTP/1.1\r\nHost: ",
    )
    .await;
    raw(&mut server.connect().await, "").await;
    raw(
        &mut server.connect().await,
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    )
    .await;
    let idle = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = raw(&mut server.connect().await, idle).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_trickling_header_is_not_waited_for() {
    let mut plan = Plan::default();
    plan.http.header_timeout = SHORT;
    let server = Served::open(plan).await;
    let http1 = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
    // No settings, and the beginning of a frame with 16,383 bytes of headers for stream 1.
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
        \0\0\0\x04\0\0\0\0\0\
        \0\x3f\xff\x01\x04\0\0\0\x01";
    for head in [&http1[..], http2] {
        let (mut incoming, mut outgoing) = server.connect().await.into_split();
        let trickle = async {
            let mut sent = outgoing.write_all(head).await;
            while sent.is_ok() {
                tokio::time::sleep(SHORT / 20).await;
                sent = outgoing.write_all(b"a").await;
            }
        };
        let mut answer = Vec::new();
        let closed = async {
            tokio::select! {
                _ = incoming.read_to_end(&mut answer) => {}
                () = trickle => {}
            }
        };
        timeout(LONG, closed)
            .await
            .expect("the server closes the connection");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left() {
    let mut plan = Plan::default();
    plan.http.send_timeout = SHORT;
    let server = Served::open(plan).await;
    let gone = async |stream: TcpStream| {
        // The server's end is closed once nothing can be written to it any more.
        let (_incoming, mut outgoing) = stream.into_split();
        while outgoing.write_all(b"\r\n").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    // HTTP/1: a large answer that fills what the system has room for.
    let mut one = server.connect().await;
    let get = "GET /api/v1/huge HTTP/1.1\r\nHost: a\r\n\r\n";
    one.write_all(get.as_bytes()).await.unwrap();
    timeout(LONG, gone(one)).await.expect("it is closed");

    // HTTP/2: a small one, for which the client opens no window, though it sends a ping now and
    // then. (Settings with a window of 0, then GET /api/v1/large as HPACK has it.)
    let mut two = server.connect().await;
    let mut request =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0".to_vec();
    let path = b"/api/v1/large";
    let block = [
        &[0x82, 0x86, 0x04, path.len() as u8][..],
        path,
        &[0x01, 1, b'a'],
    ]
    .concat();
    request.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]);
    request.extend(&block);
    two.write_all(&request).await.unwrap();
    // The head of the answer comes.
    loop {
        let mut frame = [0; 9];
        two.read_exact(&mut frame).await.unwrap();
        let mut payload = vec![0; usize::from(frame[1]) << 8 | usize::from(frame[2])];
        two.read_exact(&mut payload).await.unwrap();
        if frame[3] == 1 {
            break;
        }
    }
    let pings = async {
        let ping = b"\0\0\x08\x06\0\0\0\0\0........";
        while two.write_all(ping).await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(LONG, pings).await.expect("it is closed");
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let mut plan = Plan::default();
    plan.http.max_connections_per_address = 3;
    let server = Served::open(plan).await;
    let from = async |last: u8| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::from(([127, 0, 0, last], 0)))
            .unwrap();
        socket.connect(server.tcp()).await.unwrap()
    };
    let get = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(from(2).await);
    }
    let mut refused = from(2).await;
    let mut answer = Vec::new();
    // Reset or closed, whichever the system tells first.
    let _ = refused.write_all(get.as_bytes()).await;
    let _ = timeout(LONG, refused.read_to_end(&mut answer))
        .await
        .expect("it is closed");
    assert!(answer.is_empty());
    assert!(
        raw(&mut from(3).await, get)
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        raw(&mut open.remove(0), get)
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        raw(&mut from(2).await, get)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let mut plan = Plan::default();
    plan.http.max_connections = 1;
    let server = Served::open(plan).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    let request = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = raw(&mut second, request);
    let mut answer = std::pin::pin!(answer);
    assert!(timeout(SHORT, answer.as_mut()).await.is_err());
    drop(first);
    assert!(answer.await.starts_with("HTTP/1.1 200"));
}
