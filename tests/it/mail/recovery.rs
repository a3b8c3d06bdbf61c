//! Password resets, verified addresses, and notices.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::*;
use crate::support::PASSWORD;

#[tokio::test]
async fn a_forgotten_password_is_replaced_once_and_all_sessions_end() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    // However the address is written.
    forget(&app, &user.email.to_uppercase()).await;
    let message = smtp.message(1).await;
    assert_eq!(message.to, user.email);
    let token = message.token();
    let link = format!("https://polls.example.org/reset#{token}");
    assert!(message.text.contains(&link), "{message:?}");
    assert!(
        message.html.contains(&format!("href=\"{link}\"")),
        "{message:?}"
    );

    // What is no password for the account does not use the token up.
    for (bad, code) in [("short", "length"), ("password1", "common_password")] {
        let body = json!({"token": token, "new_password": bad});
        let request = app.request(Method::PUT, "/auth/password-reset");
        send(request.json(&body))
            .await
            .fields(&[("/new_password", code)]);
    }
    reset(&app, &token).await.expect(204);
    user.get("/users/me").await.problem("unauthenticated");
    app.token(&user.email, PASSWORD).await.expect(400);
    app.token(&user.email, NEW).await.expect(200);
    void(reset(&app, &token).await, "/token");
    void(reset(&app, "nonsense").await, "/token");
    let notice = smtp.message(2).await;
    assert_eq!(notice.to, user.email);
    assert!(
        notice.text.contains("was changed") && !notice.text.contains('#'),
        "{notice:?}"
    );
}

#[tokio::test]
async fn the_owner_is_told_of_a_new_password() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    let change = json!({"current_password": "not this one", "new_password": NEW});
    user.put("/users/me/password", change).await.expect(422);
    let change = json!({"current_password": PASSWORD, "new_password": NEW});
    let request = user
        .request(Method::PUT, "/users/me/password")
        .json(&change);
    send(request.header("accept-language", "zh"))
        .await
        .expect(204);
    let notice = smtp.message(1).await;
    assert_eq!(notice.to, user.email);
    assert!(notice.text.contains("密码已更改"), "{notice:?}");
    // The wrong attempt, which came first, was no reason for a message.
    assert_eq!(smtp.offered().len(), 1);
}

#[tokio::test]
async fn only_the_newest_token_works_and_only_for_half_an_hour() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    forget(&app, &user.email).await;
    let first = smtp.message(1).await.token();
    forget(&app, &user.email).await;
    let second = smtp.message(2).await.token();
    assert_ne!(first, second);
    void(reset(&app, &first).await, "/token");
    app.clock.advance(Duration::from_secs(29 * 60));
    forget(&app, &user.email).await;
    let third = smtp.message(3).await.token();
    void(reset(&app, &second).await, "/token");
    app.clock.advance(Duration::from_secs(30 * 60 + 1));
    void(reset(&app, &third).await, "/token");
    forget(&app, &user.email).await;
    let fourth = smtp.message(4).await.token();
    app.clock.advance(Duration::from_secs(29 * 60));
    reset(&app, &fourth).await.expect(204);
}

#[tokio::test]
async fn another_password_or_address_makes_a_token_void() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    forget(&app, &user.email).await;
    let token = smtp.message_with("/reset#", 1).await.token();
    let change = json!({"current_password": PASSWORD, "new_password": "battery staple"});
    user.put("/users/me/password", change).await.expect(204);
    void(reset(&app, &token).await, "/token");

    forget(&app, &user.email).await;
    let token = smtp.message_with("/reset#", 2).await.token();
    let change = json!({"email": "new@example.org", "current_password": "battery staple"});
    user.patch("/users/me", change).await.expect(200);
    void(reset(&app, &token).await, "/token");
    // The notice to the address before has no link.
    let notice = smtp.message_with("has another one now", 1).await;
    assert_eq!(notice.to, user.email);
    assert!(
        !notice.text.contains('#') && !notice.text.contains("new@"),
        "{notice:?}"
    );

    // A name or a new form of the hash makes nothing void.
    forget(&app, "new@example.org").await;
    let token = smtp.message_with("/reset#", 3).await.token();
    user.patch("/users/me", json!({"name": "Nan"}))
        .await
        .expect(200);
    app.token("new@example.org", "battery staple")
        .await
        .expect(200);
    reset(&app, &token).await.expect(204);
}

#[tokio::test]
async fn nobody_learns_which_addresses_have_an_account() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    let disabled = app.user("lucy").await;
    let path = format!("/users/{}", disabled.id);
    admin
        .patch(&path, json!({"disabled": true}))
        .await
        .expect(200);
    for email in ["nobody@example.org", &disabled.email, &user.email] {
        forget(&app, email).await;
    }
    let message = smtp.message(1).await;
    assert_eq!(message.to, user.email);
    // Nothing came of the others, and nothing is left of them.
    eventually(async || messages(&admin, "?status=queued").await.is_empty()).await;
    assert_eq!(messages(&admin, "").await.len(), 1);
    assert_eq!(smtp.offered().len(), 1);
}

#[tokio::test]
async fn a_request_for_an_unknown_address_is_answered_and_counted_the_same() {
    let smtp = Smtp::start().await;
    let limits = [
        ("limits.enabled", "true"),
        ("limits.mails_per_recipient", "1"),
    ];
    let app = app_with_mail(&smtp, &limits).await;
    let user = app.user("nancy").await;
    let mut answers = Vec::new();
    for email in [user.email.as_str(), "nobody@example.org"] {
        for _ in 0..2 {
            let asked = app.post("/auth/password-reset", json!({"email": email}));
            let asked = asked.await;
            let mut problem = asked.json.clone();
            if let Some(problem) = problem.as_object_mut() {
                problem.remove("request_id");
            }
            answers.push((asked.status, problem));
        }
    }
    assert_eq!(answers[..2], answers[2..]);
}

#[tokio::test]
async fn links_name_the_public_address_whatever_host_a_request_names() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    let request = app.request(Method::POST, "/auth/password-reset");
    let request = request.header("host", "evil.example");
    let request = request.header("x-forwarded-host", "evil.example");
    send(request.json(&json!({"email": user.email})))
        .await
        .expect(202);
    let message = smtp.message(1).await;
    assert!(
        !format!("{message:?}").contains("evil.example"),
        "{message:?}"
    );
    assert!(message.text.contains("https://polls.example.org/reset#"));
}

#[tokio::test]
async fn a_disabled_account_gets_no_link_and_its_old_one_stays_void() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    forget(&app, &user.email).await;
    let token = smtp.message(1).await.token();
    let path = format!("/users/{}", user.id);
    let disable = async |disabled| {
        let body = json!({"disabled": disabled});
        admin.patch(&path, body).await.expect(200);
    };
    disable(true).await;
    void(reset(&app, &token).await, "/token");
    disable(false).await;
    void(reset(&app, &token).await, "/token");
}

#[tokio::test]
async fn whoever_has_the_link_gets_in_while_strangers_guess() {
    let smtp = Smtp::start().await;
    let limits = [
        ("limits.enabled", "true"),
        ("limits.sign_in_failures_per_account_in_sum", "1"),
        ("limits.sign_in_failures_per_account", "100"),
        ("server.trusted_proxies", "[127.0.0.1]"),
    ];
    let app = app_with_mail(&smtp, &limits).await;
    let user = app.user("nancy").await;
    let from = |address: &str, request: reqwest::RequestBuilder| {
        send(request.header("x-forwarded-for", address))
    };
    let sign_in = |address: &str, password: &str| {
        let form = [
            ("grant_type", "password"),
            ("username", user.email.as_str()),
            ("password", password),
        ];
        from(
            address,
            app.request(Method::POST, "/auth/token").form(&form),
        )
    };
    sign_in("192.0.2.1", "a guess").await.expect(400);
    // Another device of the owner, which the server does not know.
    sign_in("198.51.100.1", PASSWORD)
        .await
        .problem("rate_limited");
    forget(&app, &user.email).await;
    let body = json!({"token": smtp.message(1).await.token(), "new_password": NEW});
    let request = app.request(Method::PUT, "/auth/password-reset").json(&body);
    from("198.51.100.1", request).await.expect(204);
    sign_in("198.51.100.1", NEW).await.expect(200);
    sign_in("203.0.113.1", NEW).await.problem("rate_limited");
}

#[tokio::test]
async fn without_mail_the_calls_say_so() {
    let (app, user) = TestApp::with_user("nancy").await;
    let features = async |app: &TestApp| {
        let path = "/.well-known/oauth-authorization-server";
        let metadata = send(app.outside(Method::GET, path)).await.expect(200);
        metadata.json["features"].clone()
    };
    let asked = app.post("/auth/password-reset", json!({"email": user.email}));
    for answer in [
        asked.await,
        reset(&app, "nonsense").await,
        user.post("/users/me/email-verification", json!(null)).await,
        verify(&user, "nonsense").await,
    ] {
        answer.problem("mail_not_configured").expect(409);
    }
    assert_eq!(features(&app).await, json!(["registration"]));
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[("accounts.registration", "false")]).await;
    assert_eq!(features(&app).await, json!(["mail"]));
}

#[tokio::test]
async fn an_address_is_verified_by_the_newest_code_that_was_sent_there() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (user, other) = (app.user("nancy").await, app.user("lucy").await);
    let me = user.get("/users/me").await.expect(200);
    assert_eq!(me.json["email_verified"], false);
    ask_for_code(&user).await;
    let first = smtp.message(1).await;
    assert_eq!(first.to, user.email);
    ask_for_code(&user).await;
    let second = smtp.message(2).await.code();
    void(verify(&user, &first.code()).await, "/code");
    // It is one account's.
    void(verify(&other, &second).await, "/code");
    let verified = verify(&user, &second.to_lowercase().replace('-', " ")).await;
    assert_eq!(verified.expect(200).json["email_verified"], true);
    void(verify(&user, &second).await, "/code");
    // No message where the address is verified; the next one is for another address.
    ask_for_code(&user).await;

    // A new address is not verified, and the one before is told, in its language.
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    let request = user.request(Method::PATCH, "/users/me").json(&change);
    let changed = send(request.header("accept-language", "zh-CN,zh;q=0.9")).await;
    assert_eq!(changed.expect(200).json["email_verified"], false);
    let notice = smtp.message(3).await;
    assert_eq!(notice.to, user.email);
    assert!(notice.text.contains("邮箱地址"), "{notice:?}");
    assert!(notice.html.contains("lang=\"zh-Hans\""), "{notice:?}");
    assert!(notice.head.contains("Subject: =?utf-8?"), "{notice:?}");

    ask_for_code(&user).await;
    let message = smtp.message(4).await;
    assert_eq!(message.to, "new@example.org");
    let back = json!({"email": user.email, "current_password": PASSWORD});
    let changed = user.patch("/users/me", back).await.expect(200);
    assert_eq!(changed.json["email_verified"], false);
    void(verify(&user, &message.code()).await, "/code");

    smtp.message(5).await;
    ask_for_code(&user).await;
    let late = smtp.message(6).await.code();
    app.clock.advance(Duration::from_secs(60 * 60 + 1));
    let user = app.another_session(&user).await;
    void(verify(&user, &late).await, "/code");
}

#[tokio::test]
async fn a_reset_by_mail_verifies_the_address() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    forget(&app, &user.email).await;
    reset(&app, &smtp.message(1).await.token())
        .await
        .expect(204);
    let tokens = app.token(&user.email, NEW).await.expect(200);
    let me = user.with_tokens(&tokens).get("/users/me").await.expect(200);
    assert_eq!(me.json["email_verified"], true);
}

#[tokio::test]
async fn messages_and_attempts_are_limited() {
    let smtp = Smtp::start().await;
    let limits = [
        ("limits.enabled", "true"),
        ("limits.mails_per_recipient", "2"),
        ("limits.mails_per_address", "5"),
        ("limits.code_attempts", "3"),
    ];
    let app = app_with_mail(&smtp, &limits).await;
    let user = app.user("nancy").await;
    let asked = async |email: &str| {
        let asked = app.post("/auth/password-reset", json!({"email": email}));
        asked.await
    };
    // The same for an address that has no account.
    for email in [user.email.as_str(), "nobody@example.org"] {
        asked(email).await.expect(202);
        asked(email).await.expect(202);
    }
    let refused = asked(&user.email.to_uppercase()).await;
    refused.problem("rate_limited").expect(429);
    // That was the fifth of the address.
    asked("another@example.org").await.problem("rate_limited");
    let code = user.post("/users/me/email-verification", json!(null)).await;
    code.problem("rate_limited").expect(429);
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    user.patch("/users/me", change)
        .await
        .problem("rate_limited");
    // What causes no message counts for none.
    let same = json!({"email": user.email, "current_password": PASSWORD});
    user.patch("/users/me", same).await.expect(200);

    smtp.message(2).await;
    for _ in 0..3 {
        void(reset(&app, "nonsense").await, "/token");
        void(verify(&user, "nonsense").await, "/code");
    }
    let token = smtp.message(2).await.token();
    reset(&app, &token)
        .await
        .problem("rate_limited")
        .expect(429);
    verify(&user, "nonsense")
        .await
        .problem("rate_limited")
        .expect(429);
}

#[tokio::test]
async fn strangers_who_ask_for_links_do_not_keep_other_messages_from_their_recipient() {
    let smtp = Smtp::start().await;
    let limits = [
        ("limits.enabled", "true"),
        ("limits.mails_per_recipient", "1"),
    ];
    let app = app_with_mail(&smtp, &limits).await;
    let user = app.user("nancy").await;
    forget(&app, &user.email).await;
    let again = app.post("/auth/password-reset", json!({"email": user.email}));
    again.await.problem("rate_limited");
    ask_for_code(&user).await;
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    user.patch("/users/me", change).await.expect(200);
    // Their address goes round among accounts, and gets no further notice for that.
    let back = json!({"email": user.email, "current_password": PASSWORD});
    user.patch("/users/me", back).await.expect(200);
    let change = json!({"email": "newer@example.org", "current_password": PASSWORD});
    user.patch("/users/me", change)
        .await
        .problem("rate_limited");
}
