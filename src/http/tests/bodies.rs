//! Request bodies, whether the handler reads them or not.

use super::*;

#[tokio::test]
async fn half_sent_bodies_of_one_address_are_bounded_and_keep_nobody_out() {
    let mut plan = Plan::default();
    // One request at a time, and five bodies that have begun.
    plan.http.max_requests_per_address = 1;
    plan.http.max_received_per_address = 5 * (usage::WAITING_BODY as u64 + 3);
    let server = Served::open(plan).await;
    let mut open = Vec::new();
    let post = "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    for _ in 0..5 {
        let mut stream = server.connect().await;
        stream.write_all(post.as_bytes()).await.unwrap();
        open.push(stream);
    }
    let refused = async || {
        let mut one_more = server.connect().await;
        raw(&mut one_more, post).await.contains("503")
    };
    // The five are counted as soon as the server has read their heads.
    timeout(LONG, async { while !refused().await {} })
        .await
        .unwrap();
    // Whole bodies come through, of the same address and of others.
    let whole = "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Content-Length: 3\r\n\r\nabc";
    let mut same = server.connect().await;
    assert!(raw(&mut same, whole).await.contains("HTTP/1.1 200"));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut other = socket.connect(server.tcp()).await.unwrap();
    assert!(raw(&mut other, whole).await.contains("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_trickling_body_is_a_408() {
    let mut plan = Plan::default();
    plan.http.body_timeout = SHORT;
    let server = Served::open(plan).await;
    let head = "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    let answer = raw(&mut server.connect().await, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn a_body_is_measured_not_believed() {
    let server = Served::open(Plan::default()).await;
    let send = |body: reqwest::Body| {
        let request = reqwest::Client::new().post(server.url("/api/v1/things"));
        request.body(body).send()
    };
    assert_eq!(
        send("x".repeat(1000).into())
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "1000"
    );
    let refused = problem(send("x".repeat(1001).into()).await.unwrap()).await;
    assert_eq!(refused["code"], "payload_too_large");

    let chunks = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let head = "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let request = format!("{head}{}0\r\n\r\n", chunks.repeat(3));
    let answer = raw(&mut server.connect().await, &request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    let bare = "GET /api/v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(
        raw(&mut server.connect().await, bare)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn an_early_answer_keeps_the_connection_or_says_that_it_is_the_last() {
    let server = Served::open(Plan::default()).await;
    let get = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for head in [
        "PUT /healthz HTTP/1.1\r\nHost: a",
        "POST /api/v1/things?unknown=1 HTTP/1.1\r\nHost: a",
        "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip",
        "POST /api/v1/plain HTTP/1.1\r\nHost: a",
        "GET /api/v1/secret HTTP/1.1\r\nHost: a",
    ] {
        // What came along is read, and the connection goes on.
        let whole = format!("{head}\r\nContent-Length: 3\r\n\r\nabc{get}");
        let answers = raw(&mut server.connect().await, &whole).await;
        assert!(answers.contains("HTTP/1.1 4"), "{head}: {answers}");
        assert!(answers.contains("HTTP/1.1 200"), "{head}: {answers}");
        // What does not come is not waited for.
        for rest in [
            "\r\nContent-Length: 3\r\n\r\na",
            "\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
        ] {
            if head.contains("/plain") {
                continue;
            }
            let answer = raw(&mut server.connect().await, &format!("{head}{rest}")).await;
            assert!(answer.contains("connection: close"), "{head}: {answer}");
        }
    }
}

#[tokio::test]
async fn an_answer_arrives_though_nobody_read_the_body() {
    let server = Served::open(Plan::default()).await;
    for path in ["/api/v1/plain", "/api/v1/things?lmit=3"] {
        for _ in 0..20 {
            let request = reqwest::Client::new().post(server.url(path));
            let answer = request.body("x".repeat(200_000)).send().await.unwrap();
            assert!(problem(answer).await["code"].is_string());
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_only_after_it_has_sent_everything_gets_its_answer() {
    let server = Served::open(Plan::default()).await;
    for head in [
        "POST /api/v1/plain HTTP/1.1",
        "POST /api/v1/things?lmit=3 HTTP/1.1",
        "POST /api/v1/things HTTP/1.1\r\nContent-Encoding: gzip",
        "POST /api/v1/things HTTP/1.1",
    ] {
        let size = 3_000_000;
        let head = format!("{head}\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
            .write_all(&vec![b'x'; size])
            .await
            .expect("the server reads on");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("the connection is not reset");
        assert!(answer.starts_with("HTTP/1.1 4"), "{head}: {answer}");
        assert!(answer.contains(r#""code":"#), "{head}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_sends_for_ever_is_left() {
    let server = Served::open(Plan::default()).await;
    let head =
        "POST /api/v1/things?lmit=3 HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n";
    let mut stream = server.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let sending = async {
        let piece = vec![b'x'; 64 * 1024];
        while stream.write_all(&piece).await.is_ok() {}
    };
    timeout(LONG, sending)
        .await
        .expect("the connection is closed");
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_lives_on() {
    let server = Served::open(Plan::default()).await;
    let client = reqwest::Client::new();
    for method in [Method::GET, Method::PUT] {
        let answer = client.request(method, server.url("/panic")).send();
        let problem = problem(answer.await.unwrap()).await;
        assert_eq!(problem["code"], "internal");
        assert!(!problem.to_string().contains("on purpose"));
        let next = client.get(server.url("/healthz")).send().await.unwrap();
        assert_eq!(next.status(), 200);
    }
}
