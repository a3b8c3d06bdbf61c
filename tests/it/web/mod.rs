//! How the web page is served: paths, headers, frames, pictures.

mod folder;

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::app::send;
use crate::support::{Answer, Question, TestApp};

/// Opens an address as a browser does.
fn navigate(app: &TestApp, path: &str) -> RequestBuilder {
    let html = "text/html,application/xhtml+xml,*/*;q=0.8";
    app.outside(Method::GET, path).header("accept", html)
}

async fn open(app: &TestApp, path: &str) -> Answer {
    send(navigate(app, path)).await
}

/// Sends a path as it is; HTTP clients would normalise it.
async fn raw(app: &TestApp, path: &str) -> Answer {
    let socket = TcpStream::connect(app.socket_address()).await;
    let mut socket = socket.expect("a connection");
    let head = "Host: polls\r\nAccept: text/html\r\nConnection: close";
    let request = format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n");
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("an answer");
    Answer::parse(Method::GET, path, &answer)
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.to_vec()).expect("text")
}

fn is_html(answer: &Answer) -> bool {
    answer.header("content-type") == "text/html; charset=utf-8"
}

/// The text between two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).expect(before);
    rest.split_once(after).expect(after).0
}

#[tokio::test]
async fn a_page_with_a_slash_behind_it_is_elsewhere() {
    let app = TestApp::start().await;
    for (path, target) in [
        ("/questions/", "/questions"),
        ("/login/?next=/account", "/login?next=/account"),
        ("//questions/", "/questions"),
    ] {
        let moved = send(app.outside(Method::GET, path)).await.expect(308);
        assert_eq!(moved.header("location"), target);
    }
}

#[tokio::test]
async fn every_page_has_its_address_and_unknown_ones_say_so() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    for path in [
        "/",
        "/questions",
        "/questions?q=x",
        "/questions/new",
        &question.path,
        &format!("{}/edit", question.path),
        "/register",
        "/login",
        "/account",
        "/admin",
    ] {
        let page = open(&app, path).await.expect(200);
        assert!(is_html(&page), "{path}");
        // Clients without an `Accept` header get the page, too.
        let plain = send(app.outside(Method::GET, path)).await.expect(200);
        assert_eq!(plain.bytes, page.bytes, "{path}");
    }
    for path in [
        "/nowhere",
        "/questions/nonsense",
        "/questions/01963b1c-7a21-7d4e-9c1f-5a6b7c8d9e0f",
        "/a/b/c",
        "/web/old/main.js",
    ] {
        let page = open(&app, path).await.expect(404);
        assert!(is_html(&page) && text(&page).contains("main.js"), "{path}");
        let program = send(app.outside(Method::GET, path)).await.expect(404);
        program.problem("not_found");
    }
    for path in ["/api", "/api/", "/api/v1/nowhere", "/api/v2/questions"] {
        open(&app, path).await.expect(404).problem("not_found");
    }
    let post = app.outside(Method::POST, "/nowhere");
    send(post.header("accept", "text/html"))
        .await
        .expect(404)
        .problem("not_found");
    let post = app.outside(Method::POST, "/login");
    send(post).await.expect(405).problem("method_not_allowed");
}

#[tokio::test]
async fn pages_are_asked_for_again_and_what_they_load_is_kept() {
    let app = TestApp::start().await;
    let page = open(&app, "/").await.expect(200);
    assert_eq!(page.header("cache-control"), "no-cache");
    let again = navigate(&app, "/").header("if-none-match", page.header("etag"));
    send(again).await.expect(304);
    let html = text(&page);
    let links: Vec<&str> = html
        .split('"')
        .filter(|part| part.starts_with("/web/"))
        .collect();
    assert!(links.len() > 10, "{html}");
    for link in links {
        let get = |method| send(app.outside(method, link));
        let file = get(Method::GET).await.expect(200);
        let media = match link.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(file.header("content-type"), media, "{link}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        let kept = "public, max-age=31536000, immutable";
        assert_eq!(file.header("cache-control"), kept, "{link}");
        let head = get(Method::HEAD).await.expect(200);
        assert!(head.bytes.is_empty());
        assert_eq!(head.lasting_headers(), file.lasting_headers(), "{link}");
        let known = app.outside(Method::GET, link);
        let known = known.header("if-none-match", file.header("etag"));
        let known = send(known).await.expect(304);
        assert!(known.bytes.is_empty() && known.header("cache-control") == kept);
        for coding in ["gzip", "br"] {
            let small = app.outside(Method::GET, link);
            let small = send(small.header("accept-encoding", coding))
                .await
                .expect(200);
            if file.bytes.len() >= 1024 {
                assert_eq!(small.header("content-encoding"), coding, "{link}");
                assert!(small.bytes.len() < file.bytes.len(), "{link}");
                assert!(small.header("vary").contains("Accept-Encoding"));
            }
        }
    }
}

#[tokio::test]
async fn pages_may_do_little_and_nobody_may_frame_them() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    for path in [
        "/",
        "/login",
        "/nowhere",
        "/problems",
        "/docs",
        &question.path,
    ] {
        let page = open(&app, path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(
            policy.ends_with("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
    }
    let page = open(&app, &question.path).await;
    let policy = page.header("content-security-policy");
    assert!(!policy.contains("unsafe") && policy.contains("script-src 'self'"));
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    let html = text(&page);
    let handler = |word: &str| word.starts_with("on") && word.contains('=');
    assert!(!html.contains("<script>") && !html.contains("<style"));
    assert!(!html.split_whitespace().any(handler));
}

#[tokio::test]
async fn frames_are_for_whom_the_operator_names() {
    let ancestors = async |settings: &[(&str, &str)]| {
        let app = TestApp::with(settings).await;
        let frame = open(&app, "/embed/01963b1c-7a21-7d4e-9c1f-5a6b7c8d9e0f").await;
        let frame = frame.expect(200);
        assert_eq!(frame.header("x-frame-options"), "");
        let policy = frame.header("content-security-policy").to_owned();
        policy.split("frame-ancestors ").nth(1).map(str::to_owned)
    };
    assert_eq!(ancestors(&[]).await.as_deref(), Some("*"));
    let none = ancestors(&[("web.embed_origins", "[]")]).await;
    assert_eq!(none.as_deref(), Some("'none'"));
    let two = "https://a.example, http://b.example:8080";
    let two = ancestors(&[("web.embed_origins", two)]).await;
    assert_eq!(
        two.as_deref(),
        Some("https://a.example http://b.example:8080")
    );
}

#[tokio::test]
async fn the_page_of_a_question_tells_previews_what_it_is() {
    let app = TestApp::with(&[("server.public_url", "https://polls.example.org")]).await;
    let user = app.user("lucy").await;
    let evil = json!({"question_text": "\"><script>alert(1)</script>&amp;"});
    let question = user.ask(&["python", "\" onload=\"x"], evil).await;
    let html = text(&open(&app, &question.path).await.expect(200));
    assert!(!html.contains("<script>") && !html.contains("\" onload"));
    let escaped = "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;";
    assert_eq!(
        between(&html, "<title>", "</title>"),
        format!("{escaped} · polls")
    );
    let title = "<meta property=\"og:title\" content=\"";
    assert_eq!(between(&html, title, "\">"), escaped);
    let description = "<meta property=\"og:description\" content=\"";
    assert_eq!(
        between(&html, description, "\">"),
        "Open · 0 voters · python · &quot; onload=&quot;x"
    );
    let url = "<meta property=\"og:url\" content=\"";
    let address = format!("https://polls.example.org{}", question.path);
    assert_eq!(between(&html, url, "\">"), address);
    let canonical = "<link rel=\"canonical\" href=\"";
    assert_eq!(between(&html, canonical, "\">"), address);

    user.delete(&question.path).await.expect(204);
    let gone = text(&open(&app, &question.path).await.expect(404));
    assert!(!gone.contains("alert(1)"));
}

#[tokio::test]
async fn a_question_can_be_read_without_javascript_by_whom_it_is_for() {
    let (app, user) = TestApp::with_user("lucy").await;
    let more = |visibility: &str| json!({"question_text": "Which <one>?", "description": "a & b", "results_visibility": visibility});
    let open_one = user.ask(&["python", "<i>java"], more("always")).await;
    let hidden = user.ask(&["python", "<i>java"], more("after_close")).await;
    for question in [&open_one, &hidden] {
        user.vote(question, &[1]).await.expect(201);
    }
    let page = async |question: &Question| text(&open(&app, &question.path).await.expect(200));
    let html = page(&open_one).await;
    let content = between(&html, "<noscript>", "</noscript>");
    for part in [
        "<h1 dir=\"auto\">Which &lt;one&gt;?</h1>",
        "<p>Open · 1 voter · &lt;i&gt;java leads</p>",
        ">a &amp; b</p>",
        "<li><bdi>python</bdi>: 0 (0%)</li>",
        "<li><bdi>&lt;i&gt;java</bdi>: 1 (100%)</li>",
    ] {
        assert!(content.contains(part), "no {part} in {content}");
    }
    let html = page(&hidden).await;
    let content = between(&html, "<noscript>", "</noscript>");
    for part in [
        "<p>Open</p>",
        "<li><bdi>python</bdi></li>",
        "<p>The results are shown once voting has closed.</p>",
    ] {
        assert!(content.contains(part), "no {part} in {content}");
    }
    assert!(!html.contains("voter") && !html.contains("leads"));
    // A forged host is repeated nowhere.
    let forged = navigate(&app, &open_one.path).header("host", "evil.example");
    let forged = send(forged).await;
    assert!(!text(&forged).contains("evil.example"));

    let long = (0..100).map(|n| format!("{n}{}", "&".repeat(190)));
    let long: Vec<String> = long.collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let html = page(&user.ask(&long, json!({})).await).await;
    assert!(
        html.len() < 30_000 && html.contains("more choices</p>"),
        "{}",
        html.len()
    );
}

#[tokio::test]
async fn what_browsers_and_crawlers_look_for_is_there() {
    let app = TestApp::start().await;
    let robots = open(&app, "/robots.txt").await.expect(200);
    assert!(text(&robots).starts_with("User-agent: *\nDisallow: /account\n"));
    let icon = open(&app, "/favicon.ico").await.expect(200);
    assert_eq!(icon.header("content-type"), "image/vnd.microsoft.icon");
    assert!(icon.bytes.starts_with(&[0, 0, 1, 0, 1, 0]));
    let password = open(&app, "/.well-known/change-password").await.expect(302);
    assert_eq!(password.header("location"), "/account");
    let script = open(&app, "/embed.js").await.expect(200);
    assert_eq!(
        script.header("cross-origin-resource-policy"),
        "cross-origin"
    );
}

#[tokio::test]
async fn whoever_finds_a_weakness_learns_whom_to_tell() {
    let path = "/.well-known/security.txt";
    let none = TestApp::start().await;
    send(none.outside(Method::GET, path)).await.expect(404);
    let app = TestApp::with(&[
        ("server.contact", "security@example.org"),
        ("server.public_url", "https://polls.example.org"),
    ])
    .await;
    let file = send(app.outside(Method::GET, path)).await.expect(200);
    assert_eq!(file.header("content-type"), "text/plain; charset=utf-8");
    let day = app
        .clock
        .now()
        .after(Duration::from_secs(30 * 24 * 60 * 60))
        .to_string();
    let expected = format!(
        "Contact: mailto:security@example.org\n\
         Canonical: https://polls.example.org{path}\n\
         Expires: {}T00:00:00Z\n",
        &day[..10]
    );
    assert_eq!(text(&file), expected);
}

#[tokio::test]
async fn the_page_can_be_turned_off() {
    let app = TestApp::with(&[("web.enabled", "false")]).await;
    let front = open(&app, "/").await.expect(200);
    assert!(text(&front).contains("/docs"));
    for path in ["/questions", "/login", "/embed/x", "/nowhere"] {
        open(&app, path).await.expect(404).problem("not_found");
    }
    app.get("/questions").await.expect(200);
}

#[tokio::test]
async fn results_come_as_a_picture_to_whom_they_are_shown() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(
            &["python", "java"],
            json!({"question_text": "最受欢迎的语言?"}),
        )
        .await;
    author.vote(&question, &[0]).await.expect(201);
    let path = question.under("results.svg");
    let picture = app.get(&path).await.expect(200);
    assert_eq!(picture.header("content-type"), "image/svg+xml");
    assert_eq!(picture.header("cache-control"), "private, no-cache");
    assert!(
        picture
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    let svg = text(&picture);
    assert!(
        svg.contains("最受欢迎的语言?") && svg.contains(">1 人参与<") && svg.contains(">100%<")
    );
    assert!(svg.contains("prefers-color-scheme:dark"));

    let known = app.request(Method::GET, &path);
    let tag = picture.header("etag").to_owned();
    send(known.header("if-none-match", &tag)).await.expect(304);
    author.vote(&question, &[1]).await.expect(200);
    let known = app.request(Method::GET, &path);
    let changed = send(known.header("if-none-match", &tag)).await.expect(200);
    assert_ne!(changed.bytes, picture.bytes);
    let image = app.request(Method::GET, &path);
    let image = image.header(
        "accept",
        "image/avif,image/webp,image/svg+xml,image/*,*/*;q=0.8",
    );
    send(image).await.expect(200);
    let get = |accept: &str| app.request(Method::GET, &path).header("accept", accept);
    for json in ["application/json", "application/problem+json"] {
        let picture = send(get(json)).await.expect(200);
        assert_eq!(picture.header("content-type"), "image/svg+xml");
    }
    let html = send(get("text/html")).await.expect(406);
    html.problem("not_acceptable");

    let hidden = author
        .ask(&["a", "b"], json!({"results_visibility": "author"}))
        .await;
    let path = hidden.under("results.svg");
    let card = app.get(&path).await.expect(200);
    let says = "Only the author can see the results.";
    assert!(text(&card).contains(says) && text(&card).contains(">Open<"));
    author.vote(&hidden, &[0]).await.expect(201);
    let later = app.get(&path).await.expect(200);
    assert_eq!(later.bytes, card.bytes);
    assert_eq!(later.header("etag"), card.header("etag"));
    let own = author.get(&path).await.expect(200);
    assert!(text(&own).contains(">1 voter<") && !text(&own).contains(says));
    author
        .post(&hidden.under("close"), json!(null))
        .await
        .expect(200);
    assert!(text(&app.get(&path).await.expect(200)).contains(">Closed<"));
    author.delete(&hidden.path).await.expect(204);
    app.get(&path).await.expect(404).problem("not_found");
}
