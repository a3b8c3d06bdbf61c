//! Tokens and sessions: getting them, using them once, and losing them at once.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Answer, PASSWORD, TestApp, User};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.form(
        "/auth/token",
        &[("grant_type", "refresh_token"), ("refresh_token", token)],
    )
    .await
}

/// Expects a failed grant in the form of RFC 6749, section 5.2.
#[track_caller]
fn expect_grant_error(answer: Answer, error: &str) -> Answer {
    let answer = answer.expect(400);
    assert_eq!(answer.json["error"], error, "{}", answer.json);
    assert!(answer.json["error_description"].is_string());
    assert_eq!(answer.json.as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer
}

#[tokio::test]
async fn one_signs_in_by_email_or_phone_however_they_are_written() {
    let app = TestApp::start().await;
    let account = json!({"name": "露西", "email": "luxi@qq.com", "phone": "16666666661", "password": PASSWORD});
    app.post("/users", account).await.expect(201);
    for login in [
        "luxi@qq.com",
        " LuXi@QQ.com ",
        "16666666661",
        "+8616666666661",
        "+86 166 6666 6661",
    ] {
        let tokens = app.token(login, PASSWORD).await.expect(200);
        assert_eq!(tokens.json["token_type"], "Bearer", "{login}");
        assert_eq!(tokens.json["expires_in"], 900);
        assert_eq!(tokens.header("cache-control"), "no-store");
        assert_eq!(tokens.header("pragma"), "no-cache");
        let me = app
            .request(Method::GET, "/users/me")
            .bearer_auth(tokens.text("access_token"));
        assert_eq!(send(me).await.expect(200).json["name"], "露西");
    }
}

#[tokio::test]
async fn a_failed_sign_in_does_not_tell_what_was_wrong() {
    let (app, user) = TestApp::with_user("nancy").await;
    let disabled = app.user("disabled").await;
    let admin = app.admin("root").await;
    admin
        .patch(
            &format!("/users/{}", disabled.id),
            json!({"disabled": true}),
        )
        .await
        .expect(200);
    let wrong = expect_grant_error(
        app.token(&user.email, "wrong password").await,
        "invalid_grant",
    );
    for (login, password) in [
        ("nobody@example.org", PASSWORD),
        ("16666666669", PASSWORD),
        (&disabled.email, PASSWORD),
    ] {
        let answer = expect_grant_error(app.token(login, password).await, "invalid_grant");
        assert_eq!(answer.bytes, wrong.bytes, "{login}");
    }
}

#[tokio::test]
async fn a_wrong_form_is_answered_as_oauth_prescribes() {
    let app = TestApp::start().await;
    let forms: [(&[(&str, &str)], &str); 8] = [
        (&[], "invalid_request"),
        (&[("grant_type", "")], "invalid_request"),
        (&[("grant_type", "password")], "invalid_request"),
        (
            &[("grant_type", "password"), ("username", "a@example.org")],
            "invalid_request",
        ),
        (&[("grant_type", "refresh_token")], "invalid_request"),
        (
            &[("grant_type", "password"), ("grant_type", "password")],
            "invalid_request",
        ),
        (
            &[("grant_type", "client_credentials")],
            "unsupported_grant_type",
        ),
        (
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", "nonsense"),
            ],
            "invalid_grant",
        ),
    ];
    for (form, error) in forms {
        expect_grant_error(app.form("/auth/token", form).await, error);
    }
    let json = json!({"grant_type": "password"});
    app.post("/auth/token", json)
        .await
        .problem("unsupported_media_type")
        .expect(415);
}

#[tokio::test]
async fn swagger_uis_empty_client_is_tolerated() {
    let (app, user) = TestApp::with_user("nancy").await;
    let form = [
        ("grant_type", "password"),
        ("username", &user.email),
        ("password", PASSWORD),
        ("scope", ""),
    ];
    let request = app
        .request(Method::POST, "/auth/token")
        .header("authorization", "Basic Og==");
    send(request.form(&form)).await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_is_good_for_one_use() {
    let (app, user) = TestApp::with_user("nancy").await;
    let first = refresh(&app, &user.refresh_token).await.expect(200);
    let next = user.with_tokens(&first);
    assert_ne!(next.refresh_token, user.refresh_token);
    next.get("/users/me").await.expect(200);
    refresh(&app, &next.refresh_token).await.expect(200);
    user.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn a_used_refresh_token_gets_the_same_successor_for_a_while() {
    let (app, user) = TestApp::with_user("nancy").await;
    let first = refresh(&app, &user.refresh_token).await.expect(200);
    let successor = first.text("refresh_token");
    app.clock.advance(Duration::from_secs(29));
    let repeats = (0..18).map(|_| refresh(&app, &user.refresh_token));
    for again in futures_util::future::join_all(repeats).await {
        let again = again.expect(200);
        assert_eq!(again.text("refresh_token"), successor);
        let again = user.with_tokens(&again);
        again.get("/users/me").await.expect(200);
    }
    let next = refresh(&app, &successor).await.expect(200);
    refresh(&app, &next.text("refresh_token")).await.expect(200);
}

#[tokio::test]
async fn parallel_uses_of_a_refresh_token_get_one_successor() {
    let (app, user) = TestApp::with_user("nancy").await;
    let beside = app.beside().await;
    let uses = [&app, &beside, &app, &beside].map(|app| refresh(app, &user.refresh_token));
    let answers = futures_util::future::join_all(uses).await;
    let successors = answers
        .into_iter()
        .map(|answer| answer.expect(200).text("refresh_token"));
    let successors: HashSet<String> = successors.collect();
    assert_eq!(successors.len(), 1);
    for successor in successors {
        refresh(&beside, &successor).await.expect(200);
    }
}

#[tokio::test]
async fn a_used_refresh_token_that_comes_back_later_ends_the_session() {
    let (app, user) = TestApp::with_user("nancy").await;
    let elsewhere = app.another_session(&user).await;
    let next = user.with_tokens(&refresh(&app, &user.refresh_token).await.expect(200));
    app.clock.advance(Duration::from_secs(31));
    expect_grant_error(refresh(&app, &user.refresh_token).await, "invalid_grant");
    expect_grant_error(refresh(&app, &next.refresh_token).await, "invalid_grant");
    next.get("/users/me").await.problem("unauthenticated");
    elsewhere.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn tokens_expire() {
    let (app, user) = TestApp::with_user("nancy").await;
    app.clock.advance(14 * MINUTE);
    user.get("/users/me").await.expect(200);
    app.clock.advance(2 * MINUTE);
    let expired = user.get("/users/me").await.problem("unauthenticated");
    assert!(
        expired
            .header("www-authenticate")
            .contains("error=\"invalid_token\"")
    );
    app.get("/questions").await.expect(200);
    user.get("/questions").await.problem("unauthenticated");

    let next = user.with_tokens(&refresh(&app, &user.refresh_token).await.expect(200));
    next.get("/users/me").await.expect(200);
    app.clock.advance(29 * DAY);
    let next = user.with_tokens(&refresh(&app, &next.refresh_token).await.expect(200));
    app.clock.advance(31 * DAY);
    expect_grant_error(refresh(&app, &next.refresh_token).await, "invalid_grant");
}

#[tokio::test]
async fn revoking_either_token_ends_the_session() {
    let (app, user) = TestApp::with_user("nancy").await;
    for pick in [
        |user: &User| user.access_token.clone(),
        |user: &User| user.refresh_token.clone(),
    ] {
        let session = app.another_session(&user).await;
        let answer = app
            .form("/auth/revoke", &[("token", &pick(&session))])
            .await
            .expect(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        session.get("/users/me").await.problem("unauthenticated");
        expect_grant_error(refresh(&app, &session.refresh_token).await, "invalid_grant");
        app.form("/auth/revoke", &[("token", &pick(&session))])
            .await
            .expect(200);
    }
    app.form("/auth/revoke", &[("token", "nonsense")])
        .await
        .expect(200);
    app.form("/auth/revoke", &[])
        .await
        .problem("malformed_request")
        .expect(400);
    app.form("/auth/revoke", &[("token", "a"), ("token", "b")])
        .await
        .problem("malformed_request");
    user.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one() {
    let (app, user) = TestApp::with_user("nancy").await;
    let form = [
        ("grant_type", "password"),
        ("username", &user.email),
        ("password", PASSWORD),
    ];
    let request = app
        .request(Method::POST, "/auth/token")
        .header("user-agent", "Phone/1.0");
    let phone = user.with_tokens(&send(request.form(&form)).await.expect(200));

    let listed = user.get("/auth/sessions").await.expect(200).json;
    let sessions = listed["data"].as_array().expect("a list");
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["client"], "Phone/1.0");
    assert_eq!(
        (&sessions[0]["current"], &sessions[1]["current"]),
        (&json!(false), &json!(true))
    );
    let times = ["created_at", "last_used_at", "expires_at"];
    assert!(
        times.iter().all(|key| sessions[0][key].is_string()),
        "{listed}"
    );

    let path = format!(
        "/auth/sessions/{}",
        sessions[0]["id"].as_str().expect("an id")
    );
    app.user("other")
        .await
        .delete(&path)
        .await
        .problem("not_found");
    phone.get("/users/me").await.expect(200);
    user.delete(&path).await.expect(204);
    phone.get("/users/me").await.problem("unauthenticated");
    user.delete(&path).await.problem("not_found");
    user.delete("/auth/sessions/nonsense")
        .await
        .problem("malformed_request");
    let left = user.get("/auth/sessions").await.expect(200).json;
    assert_eq!(left["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn sessions_are_paged() {
    let (app, user) = TestApp::with_user("nancy").await;
    app.another_session(&user).await;
    app.another_session(&user).await;
    let first = user.get("/auth/sessions?limit=2").await.expect(200).json;
    let cursor = first["meta"]["next_cursor"].as_str().expect("another page");
    let path = format!("/auth/sessions?limit=2&cursor={cursor}");
    let second = user.get(&path).await.expect(200).json;
    assert_eq!(second["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["meta"], json!({}));
    app.user("other")
        .await
        .get(&path)
        .await
        .problem("malformed_request");
}

#[tokio::test]
async fn signing_out_everywhere_means_here_too() {
    let (app, user) = TestApp::with_user("nancy").await;
    let (elsewhere, other) = (app.another_session(&user).await, app.user("other").await);
    user.delete("/auth/sessions").await.expect(204);
    for session in [&user, &elsewhere] {
        session.get("/users/me").await.problem("unauthenticated");
        expect_grant_error(refresh(&app, &session.refresh_token).await, "invalid_grant");
    }
    other.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn disabling_is_felt_at_once() {
    let (app, user) = TestApp::with_user("nancy").await;
    let admin = app.admin("root").await;
    let path = format!("/users/{}", user.id);
    admin
        .patch(&path, json!({"disabled": true}))
        .await
        .expect(200);
    user.get("/users/me").await.problem("unauthenticated");
    expect_grant_error(refresh(&app, &user.refresh_token).await, "invalid_grant");
    admin
        .patch(&path, json!({"disabled": false}))
        .await
        .expect(200);
    user.get("/users/me").await.problem("unauthenticated");
    app.token(&user.email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_role_change_is_felt_at_once() {
    let (app, user) = TestApp::with_user("nancy").await;
    let admin = app.admin("root").await;
    let path = format!("/users/{}", user.id);
    user.get("/users").await.problem("forbidden");
    admin
        .patch(&path, json!({"role": "admin"}))
        .await
        .expect(200);
    user.get("/users").await.problem("unauthenticated");
    let promoted = user.with_tokens(&refresh(&app, &user.refresh_token).await.expect(200));
    promoted.get("/users").await.expect(200);
    admin
        .patch(&path, json!({"role": "user"}))
        .await
        .expect(200);
    promoted.get("/users").await.problem("unauthenticated");
    let demoted = user.with_tokens(&refresh(&app, &promoted.refresh_token).await.expect(200));
    demoted.get("/users").await.problem("forbidden");
}

#[tokio::test]
async fn a_bad_token_is_never_taken_for_none() {
    let (app, user) = TestApp::with_user("nancy").await;
    let (head, rest) = user.access_token.split_once('.').expect("a JWT");
    let (claims, signature) = rest.split_once('.').expect("a JWT");
    let other_letter = if signature.starts_with('A') { "B" } else { "A" };
    let none = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJub25lIn0";
    let foreign = TestApp::with_user("nancy").await.1.access_token;
    for bad in [
        "Bearer nonsense".to_owned(),
        "Bearer ".to_owned(),
        "Basic Og==".to_owned(),
        user.access_token.clone(),
        format!("Bearer {}", user.refresh_token),
        format!("Bearer {none}.{claims}."),
        format!("Bearer {head}.{claims}."),
        format!("Bearer {head}.{claims}.{other_letter}{}", &signature[1..]),
        format!("Bearer {foreign}"),
    ] {
        for path in ["/questions", "/users/me"] {
            let answer = send(app.request(Method::GET, path).header("authorization", &bad)).await;
            let answer = answer.problem("unauthenticated").expect(401);
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with("Bearer"), "{challenge}");
            assert!(
                challenge.contains("error=\"invalid_token\""),
                "{bad}: {challenge}"
            );
        }
    }
    let answer = app.get("/users/me").await.problem("unauthenticated");
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    assert!(!answer.header("www-authenticate").contains("error"));
    let path = format!("/questions?access_token={}", user.access_token);
    app.get(&path).await.problem("malformed_request");
}

#[tokio::test]
async fn the_metadata_leads_to_the_endpoints() {
    let (app, user) = TestApp::with_user("nancy").await;
    let get = |path: &'static str| send(app.outside(Method::GET, path));
    let server = get("/.well-known/oauth-authorization-server")
        .await
        .expect(200)
        .json;
    assert_eq!(server["token_endpoint"], "/api/v1/auth/token");
    let grants = server["grant_types_supported"].as_array().expect("a list");
    for grant in ["password", "refresh_token", "urn:polls:grant:invitation"] {
        assert!(grants.contains(&json!(grant)), "{grants:?}");
    }
    for key in ["token_endpoint", "revocation_endpoint", "jwks_uri"] {
        let path = server[key].as_str().expect("a path of this server");
        let method = if key == "jwks_uri" {
            Method::GET
        } else {
            Method::POST
        };
        let request = app.outside(method, path);
        let form = [
            ("grant_type", "password"),
            ("username", &user.email),
            ("password", PASSWORD),
            ("token", "x"),
        ];
        let request = if key == "jwks_uri" {
            request
        } else {
            request.form(&form)
        };
        send(request).await.expect(200);
    }
    assert_eq!(
        get("/.well-known/jwks.json").await.expect(200).json,
        json!({"keys": []})
    );
}

#[tokio::test]
async fn nothing_repeats_the_host_that_a_client_names() {
    for settings in [
        &[][..],
        &[("server.public_url", "https://polls.example.org")],
    ] {
        let app = TestApp::with(settings).await;
        let user = app.user("nancy").await;
        let question = user.ask(&["a", "b"], json!({})).await;
        let shown = format!("/questions/{}", question.id);
        let api = format!("/api/v1{}", question.path);
        for path in [
            "/",
            "/docs",
            "/docs/",
            "/openapi.json",
            "/openapi.yaml",
            "/.well-known/oauth-authorization-server",
            "/.well-known/jwks.json",
            "/api/v1/questions",
            "/api/v1/users/me",
            "/api/v1/nothing",
            "/nothing/here/",
            "//forged.example.org/",
            &shown,
            &api,
        ] {
            let request = app.outside(Method::GET, path);
            let answer = send(request.header("host", "forged.example:81")).await;
            let headers = format!("{:?}", answer.headers);
            let body = String::from_utf8_lossy(&answer.bytes);
            assert!(!headers.contains("forged.example:81"), "{path}: {headers}");
            assert!(!body.contains("forged.example:81"), "{path}: {body}");
        }
    }
}

#[tokio::test]
async fn asymmetric_keys_are_public_and_name_themselves_in_tokens() {
    for (algorithm, kind) in [("ES256", "EC"), ("EdDSA", "OKP")] {
        let app = TestApp::with(&[("auth.algorithm", algorithm)]).await;
        let user = app.user("nancy").await;
        user.get("/users/me").await.expect(200);
        let set = send(app.outside(Method::GET, "/.well-known/jwks.json"))
            .await
            .expect(200)
            .json;
        let keys = set["keys"].as_array().expect("keys");
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0]["kty"], kind);
        assert_eq!(keys[0].get("d"), None);
        assert_eq!(header(&user.access_token)["kid"], keys[0]["kid"]);
        assert_eq!(header(&user.access_token)["alg"], algorithm);
    }
}

/// The header of a JWT.
fn header(token: &str) -> Value {
    use base64::Engine as _;
    let encoded = token.split('.').next().unwrap_or_default();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded);
    serde_json::from_slice(&bytes.expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn tokens_are_asked_for_in_the_body_alone() {
    let (app, user) = TestApp::with_user("lucy").await;
    let form = [
        ("grant_type", "password"),
        ("username", user.email.as_str()),
        ("password", PASSWORD),
    ];
    for query in ["?grant_type=password", "?scope=", "?x"] {
        let refused = app
            .form(&format!("/auth/token{query}"), &form)
            .await
            .expect(400);
        assert_eq!(refused.json["error"], "invalid_request");
    }
    app.form("/auth/token?", &form).await.expect(200);
}
