//! What every answer has.

use super::*;

#[tokio::test]
async fn head_has_the_headers_of_get_over_both_protocols() {
    let server = Served::open(Plan::default()).await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build();
    for client in [reqwest::Client::new(), http2.unwrap()] {
        for path in ["/api/v1/things", "/api/v1/large", "/healthz"] {
            let get = client.get(server.url(path)).send().await.unwrap();
            let head = client.head(server.url(path)).send().await.unwrap();
            assert_eq!(head.status(), 200);
            assert_eq!(head.version(), get.version());
            for (name, value) in get.headers() {
                if !["x-request-id", "date"].contains(&name.as_str()) {
                    assert_eq!(head.headers().get(name), Some(value), "{name}");
                }
            }
            assert!(head.headers().contains_key(CONTENT_LENGTH));
            assert_eq!(head.bytes().await.unwrap().len(), 0);
        }
    }
}

#[tokio::test]
async fn methods_are_told() {
    let server = Served::open(Plan::default()).await;
    let options = server.send(Method::OPTIONS, "/api/v1/things", &[]).await;
    assert_eq!(options.status(), 204);
    assert_eq!(options.headers()[ALLOW], "GET, HEAD, POST, OPTIONS");
    let wrong = server.send(Method::DELETE, "/api/v1/things", &[]).await;
    assert_eq!(wrong.headers()[ALLOW], "GET, HEAD, POST, OPTIONS");
    assert_eq!(problem(wrong).await["code"], "method_not_allowed");
    let head = server.send(Method::HEAD, "/api/v1/ids/7", &[]).await;
    assert_eq!(head.status(), 405);
    let nowhere = server.send(Method::OPTIONS, "/nowhere", &[]).await;
    assert_eq!(problem(nowhere).await["code"], "not_found");
}

#[tokio::test]
async fn what_the_table_and_headers_refuse_is_a_problem() {
    let server = Served::open(Plan::default()).await;
    let code = async |method, path, headers| {
        let answer = server.send(method, path, headers).await;
        problem(answer).await["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code(Method::GET, "/nowhere", &[]).await, "not_found");
    let query = "/api/v1/things?lmit=3";
    assert_eq!(code(Method::GET, query, &[]).await, "malformed_request");
    let html = [("accept", "text/html")];
    assert_eq!(
        code(Method::GET, "/api/v1/things", &html).await,
        "not_acceptable"
    );
    let gzip = [("content-encoding", "gzip")];
    assert_eq!(
        code(Method::POST, "/api/v1/things", &gzip).await,
        "unsupported_media_type"
    );
    assert_eq!(
        code(Method::POST, "/api/v1/plain", &[]).await,
        "unsupported_media_type"
    );
    assert_eq!(code(Method::GET, "/api/v1/broken", &[]).await, "internal");
    assert_eq!(server.get("/healthz?anything=goes").await.status(), 200);
}

#[tokio::test]
async fn a_trailing_slash_changes_nothing() {
    let server = Served::open(Plan::default()).await;
    assert_eq!(server.get("/api/v1/things/?limit=1").await.status(), 200);
    let put = server.send(Method::PUT, "/api/v1/ids/7/", &[]).await;
    assert_eq!(put.status(), 200);
    assert_eq!(
        problem(server.get("/nothing/").await).await["code"],
        "not_found"
    );
}

#[tokio::test]
async fn a_challenge_tells_a_bad_token_from_none() {
    let server = Served::open(Plan::default()).await;
    let none = server.get("/api/v1/secret").await;
    assert_eq!(
        none.headers()["www-authenticate"],
        r#"Bearer realm="polls""#
    );
    assert_eq!(problem(none).await["code"], "unauthenticated");
    let token = [("authorization", "Bearer nonsense")];
    let bad = server.send(Method::GET, "/api/v1/secret", &token).await;
    assert_eq!(
        bad.headers()["www-authenticate"],
        r#"Bearer realm="polls", error="invalid_token""#
    );
}

#[tokio::test]
async fn request_ids_are_echoed_or_made() {
    let server = Served::open(Plan::default()).await;
    let own = server
        .send(Method::GET, "/nowhere", &[("x-request-id", "mine")])
        .await;
    assert_eq!(problem(own).await["request_id"], "mine");
    let one = server.get("/healthz").await.headers()["x-request-id"].clone();
    let other = server.get("/healthz").await.headers()["x-request-id"].clone();
    assert_ne!(one, other);
}

#[tokio::test]
async fn a_request_is_logged_without_its_query_and_a_failure_once_with_its_cause() {
    // Test runtimes have one thread, so that the sink sees the server's lines, too.
    let (sink, _guard) = Sink::json();
    let server = Served::open(Plan::default()).await;
    let id = [("x-request-id", "r-1")];
    server
        .send(Method::GET, "/healthz?token=hunter2", &id)
        .await;
    server.send(Method::GET, "/api/v1/broken", &id).await;
    let lines = sink.lines();
    let access = &lines
        .iter()
        .find(|line| line["target"] == "access")
        .unwrap();
    assert_eq!(access["path"], "/healthz");
    assert_eq!(access["status"], 200);
    assert_eq!(access["request_id"], "r-1");
    assert!(!format!("{lines:?}").contains("hunter2"));
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["cause"], "disk on fire");
    assert_eq!(failed[0]["request_id"], "r-1");
}

#[tokio::test]
async fn a_request_is_logged_though_its_client_hangs_up() {
    let (sink, _guard) = Sink::json();
    let server = Served::open(Plan::default()).await;
    let mut stream = server.connect().await;
    let request = "GET /slow HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-2\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    server.begun.notified().await;
    drop(stream);
    while !server.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    let lines = sink.lines();
    let access: Vec<_> = lines
        .iter()
        .filter(|line| line["target"] == "access")
        .collect();
    assert_eq!(access.len(), 1);
    assert_eq!(
        (&access[0]["path"], &access[0]["status"]),
        (&"/slow".into(), &499.into())
    );
    assert_eq!(access[0]["request_id"], "r-2");
}

#[tokio::test]
async fn reads_of_the_api_are_private_and_answers_are_not_sniffed() {
    let server = Served::open(Plan::default()).await;
    let answer = server.get("/api/v1/things").await;
    assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache");
    assert_eq!(answer.headers()[VARY], "Authorization");
    let health = server.get("/healthz").await;
    assert_eq!(health.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(health.headers()["x-content-type-options"], "nosniff");
    assert!(!health.headers().contains_key(VARY));
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let server = Served::open(Plan::default()).await;
    let get = async |path, coding| {
        server
            .send(Method::GET, path, &[("accept-encoding", coding)])
            .await
    };
    let large = get("/api/v1/large", "gzip").await;
    assert_eq!(large.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(large.headers()[VARY], "Authorization, Accept-Encoding");
    assert_eq!(large.headers()[ETAG], "\"1.a\"");
    let length: usize = large.headers()[CONTENT_LENGTH]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(large.bytes().await.unwrap().len(), length);
    assert!(length < 1000);
    for (path, coding) in [("/api/v1/large", "gzip;q=0"), ("/api/v1/things", "gzip")] {
        let plain = get(path, coding).await;
        assert!(!plain.headers().contains_key(CONTENT_ENCODING), "{path}");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_read_and_ask_first() {
    let plan = Plan {
        origins: vec!["https://app.example".into()],
        ..Plan::default()
    };
    let server = Served::open(plan).await;
    let asks = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let preflight = server.send(Method::OPTIONS, "/api/v1/things", &asks).await;
    assert_eq!(preflight.status(), 204);
    let header = |name: &str| preflight.headers()[name].to_str().unwrap();
    assert_eq!(header("access-control-allow-origin"), "https://app.example");
    assert_eq!(
        header("access-control-allow-methods"),
        "GET, HEAD, POST, OPTIONS"
    );
    assert!(header("access-control-allow-headers").contains("Authorization"));
    assert_eq!(header("access-control-max-age"), "600");

    // A page of our own sends its origin too, and needs no permission.
    let own = server
        .send(
            Method::POST,
            "/api/v1/things",
            &[("origin", "http://127.0.0.1")],
        )
        .await;
    assert_eq!(own.status(), 200);
    assert!(!own.headers().contains_key("access-control-allow-origin"));
    // A cache must not keep what was said to nobody in particular for a page.
    assert_eq!(own.headers()[VARY], "Origin");
    assert_eq!(server.get("/healthz").await.headers()[VARY], "Origin");

    let refused = server.send(Method::GET, "/nowhere", &asks[..1]).await;
    assert_eq!(
        refused.headers()["access-control-allow-origin"],
        "https://app.example"
    );
}

#[tokio::test]
async fn trusted_proxies_tell_the_client() {
    let forwarded = [("x-forwarded-for", "203.0.113.5")];
    for (trusted, client) in [("127.0.0.0/8", "203.0.113.5"), ("10.0.0.0/8", "127.0.0.1")] {
        let plan = Plan {
            trusted: vec![trusted.parse().unwrap()],
            ..Plan::default()
        };
        let server = Served::open(plan).await;
        let answer = server.send(Method::GET, "/client", &forwarded).await;
        assert_eq!(answer.text().await.unwrap(), client);
    }
}
