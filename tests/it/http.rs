//! Rules for all routes: methods, origins, media types, sizes and names.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::app::send;
use crate::support::{Answer, TestApp, User};

/// The paths of all GET routes, inside the API and outside, with ids that exist.
async fn get_routes(user: &User) -> Vec<String> {
    let public = json!({"ballot_secrecy": "public"});
    let question = user.ask(&["a", "b"], public).await;
    user.vote(&question, &[0]).await.expect(201);
    // The live results of a closed question end.
    let close = user.post(&question.under("close"), json!(null)).await;
    close.expect(200);
    let document = polls::app::document();
    let paths = document["paths"].as_object().expect("paths");
    // Routes that switch to another protocol have no answer to read.
    let gets = paths.iter().filter(|(_, methods)| {
        let responses = methods.get("get").map(|get| &get["responses"]);
        responses.is_some_and(|responses| responses.get("101").is_none())
    });
    let filled = gets.map(|(path, methods)| {
        let parameters = methods["get"]["parameters"].as_array();
        let required = parameters
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
        // Each is filled like a parameter of a path.
        let query = required.filter_map(|parameter| parameter["name"].as_str());
        let query: Vec<_> = query.map(|name| format!("{name}={{{name}}}")).collect();
        let path = match query.is_empty() {
            true => path.clone(),
            false => format!("{path}?{}", query.join("&")),
        };
        let path = path
            .replace("{question_id}", &question.id)
            .replace("{user_id}", &user.id)
            .replace("{format}", "csv");
        format!(
            "/api/v1{}",
            path.replace("{choice_id}", &question.choices[0])
        )
    });
    let outside = [
        "/healthz",
        "/readyz",
        "/problems",
        "/problems/stale",
        "/openapi.json",
        "/openapi.yaml",
        "/docs",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
    ];
    filled.chain(outside.map(str::to_owned)).collect()
}

#[tokio::test]
async fn head_is_get_without_the_body_on_every_route() {
    // QR codes are there where the server knows its own address.
    let app = TestApp::without_mail_server().await;
    let admin = app.admin("root").await;
    for path in get_routes(&admin).await {
        let ask = |method: Method| {
            send(
                app.outside(method, &path)
                    .bearer_auth(&admin.access_token)
                    .header("x-request-id", "same-length"),
            )
        };
        let (get, head) = (
            ask(Method::GET).await.expect(200),
            ask(Method::HEAD).await.expect(200),
        );
        assert!(!get.bytes.is_empty() && head.bytes.is_empty(), "{path}");
        // The length may differ, because fractions of a second in results vary in length. Streams
        // have no length.
        let varies = ["/results", "/ballot", "/live", "/export"];
        let resource = path.split('?').next().unwrap_or_default();
        if !varies.iter().any(|end| resource.ends_with(end)) {
            assert_eq!(get.lasting_headers(), head.lasting_headers(), "{path}");
        }
    }
    let missing = send(app.request(Method::HEAD, "/nowhere"))
        .await
        .expect(404);
    assert_eq!(missing.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn every_route_names_its_methods_and_has_no_others() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    let document = polls::app::document();
    let inside = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            let mut allowed: Vec<String> = methods.map(|method| method.to_uppercase()).collect();
            if allowed.contains(&"GET".to_owned()) {
                allowed.push("HEAD".to_owned());
            }
            (format!("/api/v1{}", path.replace(['{', '}'], "")), allowed)
        });
    let outside = [
        "/healthz",
        "/problems/stale",
        "/openapi.json",
        "/.well-known/jwks.json",
    ];
    let outside = outside.map(|path| (path.to_owned(), vec!["GET".to_owned(), "HEAD".to_owned()]));
    for (path, mut allowed) in inside.chain(outside) {
        allowed.push("OPTIONS".to_owned());
        allowed.sort();
        let options = send(app.outside(Method::OPTIONS, &path)).await.expect(204);
        assert_eq!(named(&options), allowed, "{path}");
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::TRACE,
        ] {
            if !allowed.contains(&method.to_string()) {
                let request = app.outside(method, &path).bearer_auth(&admin.access_token);
                let refused = send(request)
                    .await
                    .problem("method_not_allowed")
                    .expect(405);
                assert_eq!(named(&refused), allowed, "{path}");
            }
        }
    }
}

/// The methods of an `Allow` header.
fn named(answer: &Answer) -> Vec<String> {
    let mut methods: Vec<String> = answer
        .header("allow")
        .split(", ")
        .map(str::to_owned)
        .collect();
    methods.sort();
    methods
}

#[tokio::test]
async fn any_origin_may_call_and_none_gets_credentials() {
    let (app, user) = TestApp::with_user("lucy").await;
    let from =
        |request: RequestBuilder| send(request.header("origin", "https://elsewhere.example"));
    for answer in [
        from(app.request(Method::GET, "/questions"))
            .await
            .expect(200),
        from(app.request(Method::GET, "/nowhere")).await.expect(404),
        from(user.request(Method::POST, "/questions").json(&json!({})))
            .await
            .expect(422),
    ] {
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        let exposed = answer
            .header("access-control-expose-headers")
            .to_lowercase();
        for name in [
            "etag",
            "location",
            "retry-after",
            "x-request-id",
            "ratelimit",
            "ratelimit-policy",
        ] {
            assert!(
                exposed.split(", ").any(|exposed| exposed == name),
                "{exposed}"
            );
        }
    }
}

#[tokio::test]
async fn a_preflight_allows_what_the_api_needs() {
    let app = TestApp::start().await;
    let preflight = app
        .request(Method::OPTIONS, "/users/me/password")
        .header("origin", "https://elsewhere.example")
        .header("access-control-request-method", "PUT")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let answer = send(preflight).await.expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("PUT")
    );
    let headers = answer.header("access-control-allow-headers").to_lowercase();
    for name in ["authorization", "content-type", "if-match", "if-none-match"] {
        assert!(headers.contains(name), "{headers}");
    }
    assert_eq!(answer.header("access-control-max-age"), "3600");
}

#[tokio::test]
async fn listed_origins_may_read_and_the_same_origin_is_never_refused() {
    let listed = "https://app.example.org";
    let app = TestApp::with(&[("cors.origins", listed)]).await;
    let from = |origin: &str| {
        send(
            app.request(Method::GET, "/questions")
                .header("origin", origin),
        )
    };
    let friend = from(listed).await.expect(200);
    assert_eq!(friend.header("access-control-allow-origin"), listed);
    let stranger = from("https://elsewhere.example").await.expect(200);
    assert_eq!(stranger.header("access-control-allow-origin"), "");
    from(&app.address).await.expect(200);
    for answer in [&friend, &stranger, &app.get("/questions").await] {
        let vary = answer.headers.get_all("vary").iter();
        assert!(
            vary.filter_map(|value| value.to_str().ok())
                .any(|value| value.contains("Origin"))
        );
    }
}

#[tokio::test]
async fn a_trailing_slash_is_not_another_resource() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    let plain = app.get(&question.path).await.expect(200);
    let slashed = app.get(&format!("{}/", question.path)).await.expect(200);
    assert_eq!(plain.bytes, slashed.bytes);
    let body =
        json!({"question_text": "?", "choices": [{"choice_text": "a"}, {"choice_text": "b"}]});
    user.post("/questions/", body).await.expect(201);
    app.get("/questions/?limit=1").await.expect(200);
    app.get("/nowhere/").await.problem("not_found");
}

#[tokio::test]
async fn request_ids_are_echoed_or_made() {
    let app = TestApp::start().await;
    let with = |id: &str| {
        send(
            app.request(Method::GET, "/nowhere")
                .header("x-request-id", id),
        )
    };
    let echoed = with("client-7.a_b").await.problem("not_found");
    assert_eq!(echoed.header("x-request-id"), "client-7.a_b");
    let (one, other) = (app.get("/questions").await, app.get("/questions").await);
    assert!(!one.header("x-request-id").is_empty());
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    for odd in ["", "a b", &"x".repeat(300)] {
        assert_ne!(
            with(odd).await.problem("not_found").header("x-request-id"),
            odd
        );
    }
}

#[tokio::test]
async fn answers_are_json_or_refused() {
    let (app, user) = TestApp::with_user("lucy").await;
    let accept = |value: &str| {
        send(
            app.request(Method::GET, "/questions")
                .header("accept", value),
        )
    };
    for fine in [
        "*/*",
        "application/json",
        "application/*",
        "text/html, */*;q=0.1",
    ] {
        assert_eq!(
            accept(fine).await.expect(200).header("content-type"),
            "application/json"
        );
    }
    accept("application/problem+json").await.expect(200);
    for other in ["text/html", "application/xml, application/json;q=0"] {
        accept(other).await.problem("not_acceptable").expect(406);
    }
    // A media type does not matter if there is no body.
    let path = user.ask(&["a", "b"], json!({})).await.path;
    send(
        user.request(Method::DELETE, &path)
            .header("accept", "text/html"),
    )
    .await
    .expect(204);
}

#[tokio::test]
async fn bodies_are_json_in_utf8() {
    let (app, user) = TestApp::with_user("lucy").await;
    let body = r#"{"question_text":"?","choices":[{"choice_text":"a"},{"choice_text":"b"}]}"#;
    let ask = || user.request(Method::POST, "/questions").body(body);
    for fine in [
        "application/json",
        "application/json; charset=UTF-8",
        r#"application/json; charset="utf-8""#,
        "Application/JSON",
    ] {
        send(ask().header("content-type", fine)).await.expect(201);
    }
    for other in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=gbk",
        "nonsense",
    ] {
        send(ask().header("content-type", other))
            .await
            .problem("unsupported_media_type")
            .expect(415);
    }
    send(ask()).await.problem("unsupported_media_type");
    let encoded = ask()
        .header("content-type", "application/json")
        .header("content-encoding", "gzip");
    send(encoded).await.problem("unsupported_media_type");
    let latin = user
        .request(Method::POST, "/questions")
        .header("content-type", "application/json");
    send(latin.body(b"{\"question_text\":\"\xe9\"}".to_vec()))
        .await
        .problem("malformed_request");
    app.get("/questions").await.expect(200);
}

#[tokio::test]
async fn a_body_has_at_most_64_kib() {
    let app = TestApp::start().await;
    let post = |size: usize| {
        let body = format!("{}{{}}", " ".repeat(size - 2));
        send(
            app.request(Method::POST, "/users")
                .header("content-type", "application/json")
                .body(body),
        )
    };
    post(64 * 1024).await.problem("invalid_fields");
    for size in [64 * 1024 + 1, 1024 * 1024] {
        post(size).await.problem("payload_too_large").expect(413);
    }
    app.get("/questions").await.expect(200);
}

#[tokio::test]
async fn a_body_that_a_call_does_not_take_changes_nothing() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    let large = vec![b' '; 1024 * 1024];
    for (method, path) in [
        (Method::GET, "/questions"),
        (Method::POST, question.under("close").as_str()),
    ] {
        for (coding, body) in [("identity", large.clone()), ("gzip", b"{}".to_vec())] {
            let request = user
                .request(method.clone(), path)
                .header("content-type", "text/plain")
                .header("content-encoding", coding);
            send(request.body(body)).await.expect(200);
        }
    }
    app.get("/questions").await.expect(200);
}

#[tokio::test]
async fn a_question_of_the_largest_size_fits_however_it_is_written() {
    let (_app, user) = TestApp::with_user("lucy").await;
    for character in ["x", "字", "😀", r"\ud83d\ude00"] {
        let choices = (0..100).map(|number| {
            format!(
                r#"{{"choice_text":"{number:03}{}"}}"#,
                character.repeat(197)
            )
        });
        let choices = choices.collect::<Vec<_>>().join(",");
        let (text, more) = (character.repeat(200), character.repeat(2000));
        let body =
            format!(r#"{{"question_text":"{text}","description":"{more}","choices":[{choices}]}}"#);
        let request = user
            .request(Method::POST, "/questions")
            .header("content-type", "application/json");
        send(request.body(body)).await.expect(201);
    }
}

#[tokio::test]
async fn a_long_list_is_compressed_for_those_who_ask() {
    let (app, user) = TestApp::with_user("lucy").await;
    for _ in 0..20 {
        user.ask(&["python", "java", "go"], json!({})).await;
    }
    let plain = app.get("/questions").await.expect(200);
    assert_eq!(plain.header("content-encoding"), "");
    for coding in ["gzip", "br"] {
        let request = app
            .request(Method::GET, "/questions")
            .header("accept-encoding", coding);
        let small = send(request).await.expect(200);
        assert_eq!(small.header("content-encoding"), coding);
        assert!(small.bytes.len() * 3 < plain.bytes.len());
        let vary = small
            .headers
            .get_all("vary")
            .iter()
            .filter_map(|value| value.to_str().ok());
        assert!(
            vary.into_iter()
                .any(|value| value.contains("Accept-Encoding"))
        );
    }
    let refused = app
        .request(Method::GET, "/questions")
        .header("accept-encoding", "gzip;q=0");
    assert_eq!(send(refused).await.expect(200).bytes, plain.bytes);
    let short = app
        .request(Method::GET, "/questions?q=nothing")
        .header("accept-encoding", "gzip");
    assert_eq!(send(short).await.expect(200).header("content-encoding"), "");
}

#[tokio::test]
async fn reads_are_private_and_nothing_is_sniffed() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    for answer in [
        app.get("/questions").await.expect(200),
        app.get(&question.path).await.expect(200),
        user.get("/users/me").await.expect(200),
        app.get("/nowhere").await,
    ] {
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        if answer.status == 200 {
            assert_eq!(answer.header("cache-control"), "private, no-cache");
            assert!(answer.header("vary").contains("Authorization"));
        }
    }
}

#[tokio::test]
async fn only_a_patch_may_be_a_merge_patch() {
    let (_app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    let with = |method: Method, path: &str, content_type: &str, body: &str| {
        let request = user.request(method, path);
        send(
            request
                .header("content-type", content_type)
                .body(body.to_owned()),
        )
    };
    let choice = question.under(&format!("choices/{}", question.choices[0]));
    for (path, body) in [
        ("/users/me", r#"{"name": "Lucia"}"#),
        (question.path.as_str(), r#"{"description": null}"#),
        (choice.as_str(), r#"{"position": 1}"#),
    ] {
        for fine in [
            "application/merge-patch+json",
            r#"application/merge-patch+json; charset="utf-8""#,
            "application/json",
        ] {
            with(Method::PATCH, path, fine, body).await.expect(200);
        }
        with(Method::PATCH, path, "application/json-patch+json", body)
            .await
            .problem("unsupported_media_type");
    }
    let body = r#"{"question_text":"?","choices":[{"choice_text":"a"},{"choice_text":"b"}]}"#;
    let merge = "application/merge-patch+json";
    with(Method::POST, "/questions", merge, body)
        .await
        .problem("unsupported_media_type");
    let vote = json!({"choice_ids": [question.choices[0]]}).to_string();
    with(Method::PUT, &question.under("ballot"), merge, &vote)
        .await
        .problem("unsupported_media_type");
}

#[tokio::test]
async fn an_empty_body_is_none_whatever_its_content_type() {
    let (_app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    let reopen = || user.request(Method::POST, &question.under("reopen"));
    send(reopen()).await.expect(200);
    for content_type in ["application/json", "application/json; charset=utf-8"] {
        let empty = reopen().header("content-type", content_type);
        send(empty.body("")).await.expect(200);
    }
    send(reopen().body("{}"))
        .await
        .problem("unsupported_media_type");
    send(reopen().header("content-type", "text/plain").body("{}"))
        .await
        .problem("unsupported_media_type");
    let spaces = reopen().header("content-type", "application/json");
    send(spaces.body(" ")).await.problem("malformed_request");
}

#[tokio::test]
async fn a_preflight_allows_the_headers_that_are_configured() {
    let allowed = async |app: &TestApp| {
        let preflight = app
            .request(Method::OPTIONS, "/questions")
            .header("origin", "https://elsewhere.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "traceparent");
        let answer = send(preflight).await.expect(204);
        let headers = answer.header("access-control-allow-headers").to_lowercase();
        headers.split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let built_in = [
        "authorization",
        "content-type",
        "if-match",
        "if-none-match",
        "last-event-id",
        "x-request-id",
    ];
    let by_default = ["traceparent", "tracestate", "baggage", "x-requested-with"];
    let all = built_in.iter().chain(&by_default).copied();
    let app = TestApp::start().await;
    assert_eq!(allowed(&app).await, all.collect::<Vec<_>>());
    let app = TestApp::with(&[("cors.headers", "X-Of-Ours")]).await;
    let own = built_in.iter().copied().chain(["x-of-ours"]);
    assert_eq!(allowed(&app).await, own.collect::<Vec<_>>());
}

/// Which of these calls a page of `origin` may read.
async fn readable(app: &TestApp, origin: &str) -> Vec<&'static str> {
    let mut readable = Vec::new();
    for (method, path) in [
        (Method::GET, "/questions"),
        (Method::POST, "/auth/token"),
        (Method::OPTIONS, "/auth/token"),
        (Method::GET, "/auth/sessions"),
    ] {
        let request = app.request(method, path).header("origin", origin);
        let answer = send(request.header("access-control-request-method", "POST")).await;
        if !answer.header("access-control-allow-origin").is_empty() {
            readable.push(path);
        }
    }
    readable
}

#[tokio::test]
async fn only_named_origins_may_sign_in_unless_any_may() {
    let all = ["/questions", "/auth/token", "/auth/token", "/auth/sessions"];
    let elsewhere = "https://elsewhere.example";
    let app = TestApp::start().await;
    assert_eq!(readable(&app, elsewhere).await, ["/questions"]);
    // Anybody may read the discovery documents, which are not calls under /auth.
    let metadata = "/.well-known/oauth-authorization-server";
    let request = app
        .outside(Method::GET, metadata)
        .header("origin", elsewhere);
    let answer = send(request).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");

    let app = TestApp::with(&[("cors.auth", "true")]).await;
    assert_eq!(readable(&app, elsewhere).await, all);
    let app = TestApp::with(&[("cors.origins", elsewhere)]).await;
    assert_eq!(readable(&app, elsewhere).await, all);
    assert!(readable(&app, "https://evil.example").await.is_empty());
}

/// Sends this raw request head, and returns the status of the answer.
async fn status_of(app: &TestApp, head: &str) -> String {
    let socket = TcpStream::connect(app.socket_address()).await;
    let mut socket = socket.expect("a connection");
    let request = format!("{head}Connection: close\r\n\r\n");
    let sent = socket.write_all(request.as_bytes()).await;
    sent.expect("it is sent");
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(30), socket.read_to_end(&mut answer)).await;
    read.expect("the connection ends").expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    if status == "400" {
        assert!(answer.contains("malformed_request"), "{answer}");
        assert!(answer.contains("Host"), "{answer}");
    }
    status
}

#[tokio::test]
async fn a_request_says_whom_it_is_for() {
    let app = TestApp::start().await;
    for path in ["/api/v1/questions", "/healthz", "/"] {
        for (rest, status) in [
            (" HTTP/1.1\r\nHost: polls.example\r\n", "200"),
            (" HTTP/1.1\r\nHost: [::1]:8080\r\n", "200"),
            (" HTTP/1.0\r\n", "200"),
            (" HTTP/1.0\r\nHost: polls.example\r\n", "200"),
            (" HTTP/1.1\r\n", "400"),
            (" HTTP/1.1\r\nHost: a\r\nHost: a\r\n", "400"),
            (" HTTP/1.1\r\nHost: a\r\nhost: b\r\n", "400"),
            (" HTTP/1.0\r\nHost: a\r\nHost: b\r\n", "400"),
            (" HTTP/1.1\r\nHost:\r\n", "400"),
            (" HTTP/1.1\r\nHost: a b\r\n", "400"),
            (" HTTP/1.1\r\nHost: a/b\r\n", "400"),
            (" HTTP/1.1\r\nHost: me@a\r\n", "400"),
            (" HTTP/1.1\r\nHost: a:b\r\n", "400"),
        ] {
            let head = format!("GET {path}{rest}");
            assert_eq!(status_of(&app, &head).await, status, "{head}");
        }
    }
}
