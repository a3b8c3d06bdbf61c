//! Accounts: registering, one's own account, what others and admins see of it, and its end.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{PASSWORD, TestApp};

fn luxi() -> Value {
    json!({"name": "露西", "email": "luxi@qq.com", "phone": "16666666661", "password": PASSWORD})
}

/// A registration with other fields.
fn luxi_but(more: Value) -> Value {
    let mut body = luxi();
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    body
}

#[tokio::test]
async fn registering_answers_with_the_account_and_where_it_is() {
    let app = TestApp::start().await;
    let account = app.post("/users", luxi()).await.expect(201);
    assert_eq!(account.json["name"], "露西");
    assert_eq!(account.json["email"], "luxi@qq.com");
    assert_eq!(account.json["phone"], "+8616666666661");
    assert_eq!(account.json["role"], "user");
    assert_eq!(account.json["disabled"], false);
    let text = String::from_utf8_lossy(&account.bytes);
    assert!(
        !text.contains("password") && !text.contains("argon2"),
        "{text}"
    );

    let location = account.header("location");
    assert_eq!(location, format!("/api/v1/users/{}", account.text("id")));
    send(app.outside(Method::GET, location)).await.expect(200);
}

#[tokio::test]
async fn texts_are_normalised_but_never_the_password() {
    let app = TestApp::start().await;
    let body = luxi_but(
        json!({"name": "  Ame\u{301}lie ", "email": " Luxi@QQ.com\n", "password": "  spaces  "}),
    );
    let account = app.post("/users", body).await.expect(201);
    assert_eq!(account.json["name"], "Am\u{e9}lie");
    assert_eq!(account.json["email"], "Luxi@QQ.com");
    app.token("luxi@qq.com", "spaces").await.expect(400);
    app.token("luxi@qq.com", "  spaces  ").await.expect(200);
}

#[tokio::test]
async fn email_and_phone_belong_to_one_account_however_they_are_written() {
    let app = TestApp::start().await;
    app.post("/users", luxi()).await.expect(201);
    for body in [
        luxi(),
        luxi_but(json!({"email": "LUXI@qq.COM", "phone": "16666666669"})),
        luxi_but(json!({"email": "other@qq.com", "phone": "+86 166-6666-6661"})),
    ] {
        app.post("/users", body)
            .await
            .problem("account_taken")
            .expect(409);
    }
    let namesake = luxi_but(json!({"email": "other@qq.com", "phone": "16666666662"}));
    app.post("/users", namesake).await.expect(201);

    let accented = |email: &str| json!({"name": "é", "email": email, "password": PASSWORD});
    app.post("/users", accented("e\u{301}@example.org"))
        .await
        .expect(201);
    app.post("/users", accented("\u{c9}@example.org"))
        .await
        .problem("account_taken");
    app.post("/users", accented("e@example.org"))
        .await
        .expect(201);
}

#[tokio::test]
async fn every_mistake_of_a_registration_is_named_at_once() {
    let app = TestApp::start().await;
    let body = json!({"name": " ", "email": "luxi", "phone": "12345", "password": "hunter2"});
    let answer = app.post("/users", body).await.fields(&[
        ("/name", "length"),
        ("/email", "email"),
        ("/phone", "phone"),
        ("/password", "length"),
    ]);
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("hunter2"));
    app.post("/users", luxi_but(json!({"name": "a\u{0}b"})))
        .await
        .fields(&[("/name", "control_character")]);
}

#[tokio::test]
async fn nothing_in_a_body_is_coerced_ignored_or_guessed() {
    let app = TestApp::start().await;
    app.post("/users", luxi_but(json!({"name": 12345})))
        .await
        .fields(&[("/name", "type")]);
    app.post("/users", luxi_but(json!({"email": null})))
        .await
        .fields(&[("/email", "type")]);
    app.post("/users", luxi_but(json!({"role": "admin"})))
        .await
        .fields(&[("/role", "unknown_field")]);
    app.post("/users", json!({"name": "露西", "email": "luxi@qq.com"}))
        .await
        .fields(&[("/password", "required")]);
    app.post("/users", json!([])).await.fields(&[("", "type")]);

    let raw = |body: &'static str| {
        let request = app
            .request(Method::POST, "/users")
            .header("content-type", "application/json");
        send(request.body(body))
    };
    raw(r#"{"name": "a", "name": "b"}"#)
        .await
        .fields(&[("/name", "duplicate_field")]);
    for body in ["", "{", "{'name': 1}", "{}{}", "nonsense", "{\"name\": 1"] {
        raw(body).await.problem("malformed_request").expect(400);
    }
}

#[tokio::test]
async fn registration_can_be_closed() {
    let app = TestApp::with(&[("accounts.registration", "false")]).await;
    app.post("/users", luxi())
        .await
        .problem("forbidden")
        .expect(403);
}

#[tokio::test]
async fn my_account_is_patched_field_by_field() {
    let (app, user) = TestApp::with_user("南希").await;
    let changed = user
        .patch("/users/me", json!({"phone": "16666666662"}))
        .await
        .expect(200);
    assert_eq!(changed.json["phone"], "+8616666666662");
    assert_eq!(changed.json["name"], "南希");
    let changed = user
        .patch("/users/me", json!({"name": "Nancy", "phone": null}))
        .await
        .expect(200);
    assert_eq!(changed.json["name"], "Nancy");
    assert_eq!(changed.json.get("phone"), None);
    let same = user.patch("/users/me", json!({})).await.expect(200);
    assert_eq!(same.header("etag"), changed.header("etag"));

    user.patch("/users/me", json!({"name": null}))
        .await
        .fields(&[("/name", "type")]);
    user.patch("/users/me", json!({"role": "admin"}))
        .await
        .fields(&[("/role", "unknown_field")]);
    let both = json!({"name": "", "phone": "1"});
    user.patch("/users/me", both)
        .await
        .fields(&[("/name", "length"), ("/phone", "phone")]);
    let other = app.user("雪灵").await;
    user.patch("/users/me", json!({"email": other.email}))
        .await
        .problem("account_taken");
}

#[tokio::test]
async fn a_new_email_signs_in_and_the_old_one_does_not() {
    let (app, user) = TestApp::with_user("nancy").await;
    user.patch("/users/me", json!({"email": "new@example.org"}))
        .await
        .expect(200);
    app.token("new@example.org", PASSWORD).await.expect(200);
    app.token(&user.email, PASSWORD).await.expect(400);
}

#[tokio::test]
async fn an_account_has_tags_that_guard_it() {
    let (app, user) = TestApp::with_user("nancy").await;
    let admin = app.admin("root").await;
    let tag = user
        .get("/users/me")
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    let read = user
        .request(Method::GET, "/users/me")
        .header("if-none-match", &tag);
    let unchanged = send(read).await.expect(304);
    assert_eq!(unchanged.header("etag"), tag);
    assert!(unchanged.bytes.is_empty());

    user.patch("/users/me", json!({"name": "Nan"}))
        .await
        .expect(200);
    let stale = |request: reqwest::RequestBuilder| send(request.header("if-match", &tag));
    let body = json!({"name": "N"});
    stale(user.request(Method::PATCH, "/users/me").json(&body))
        .await
        .problem("stale")
        .expect(412);
    stale(user.request(Method::DELETE, "/users/me"))
        .await
        .problem("stale");
    let path = format!("/users/{}", user.id);
    let body = json!({"disabled": true});
    stale(admin.request(Method::PATCH, &path).json(&body))
        .await
        .problem("stale");

    let tag = user
        .get("/users/me")
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    let fresh = user
        .request(Method::DELETE, "/users/me")
        .header("if-match", &tag);
    send(fresh).await.expect(204);
}

#[tokio::test]
async fn others_see_id_and_name_and_admins_see_all() {
    let (app, user) = TestApp::with_user("nancy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let path = format!("/users/{}", user.id);
    let public = json!({"id": user.id, "name": "nancy"});
    assert_eq!(app.get(&path).await.expect(200).json, public);
    assert_eq!(other.get(&path).await.expect(200).json, public);
    let all = admin.get(&path).await.expect(200).json;
    assert_eq!(all["email"], user.email);
    assert_eq!(all["role"], "user");
    assert_eq!(all["disabled"], false);

    app.get("/users/00000000-0000-7000-8000-000000000000")
        .await
        .problem("not_found");
    app.get("/users/nobody")
        .await
        .problem("malformed_request")
        .expect(400);
}

#[tokio::test]
async fn admins_page_through_the_accounts() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    let mut expected = vec![admin.id.clone()];
    for name in ["a", "b", "c", "d"] {
        expected.push(app.user(name).await.id);
    }
    expected.reverse();
    let mut found = Vec::new();
    let mut next = "/users?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = admin.get(&next).await.expect(200).json;
        let rows = page["data"].as_array().expect("a page");
        found.extend(
            rows.iter()
                .map(|row| row["id"].as_str().unwrap_or_default().to_owned()),
        );
        pages += 1;
        match page["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("/users?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!((found, pages), (expected, 3));
    app.user("e")
        .await
        .get("/users")
        .await
        .problem("forbidden")
        .expect(403);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_only() {
    let (app, user) = TestApp::with_user("nancy").await;
    let other = app.another_session(&user).await;
    let change =
        |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let refused = user
        .put(
            "/users/me/password",
            change("not this one", "battery staple"),
        )
        .await;
    refused.fields(&[("/current_password", "wrong")]);
    other.get("/users/me").await.expect(200);

    user.put("/users/me/password", change(PASSWORD, "battery staple"))
        .await
        .expect(204);
    user.get("/users/me").await.expect(200);
    other.get("/users/me").await.problem("unauthenticated");
    app.token(&user.email, PASSWORD).await.expect(400);
    app.token(&user.email, "battery staple").await.expect(200);
}

#[tokio::test]
async fn a_deleted_account_is_erased_and_its_questions_and_ballots_stay() {
    let (app, user) = TestApp::with_user("nancy").await;
    user.patch("/users/me", json!({"phone": "16666666662"}))
        .await
        .expect(200);
    let question = user.ask(&["a", "b"], json!({})).await;
    user.vote(&question, &[0]).await.expect(201);

    user.delete("/users/me").await.expect(204);
    user.get("/users/me").await.problem("unauthenticated");
    user.vote(&question, &[1]).await.problem("unauthenticated");
    app.get(&format!("/users/{}", user.id))
        .await
        .problem("not_found");
    app.token(&user.email, PASSWORD).await.expect(400);
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &user.refresh_token),
    ];
    app.form("/auth/token", &form).await.expect(400);

    let shown = app.get(&question.path).await.expect(200).json;
    assert_eq!(shown["author"], json!({"id": user.id}));
    assert_eq!(shown["ballot_count"], 1);
    let mine = app
        .get(&format!("/questions?author={}", user.id))
        .await
        .expect(200)
        .json;
    assert_eq!(mine["data"].as_array().map(Vec::len), Some(1));

    let body =
        json!({"name": "n", "email": user.email, "phone": "16666666662", "password": PASSWORD});
    let again = app.post("/users", body).await.expect(201).text("id");
    assert_ne!(again, user.id);
}

#[tokio::test]
async fn the_last_admin_must_stay() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    let path = format!("/users/{}", admin.id);
    admin
        .delete("/users/me")
        .await
        .problem("last_admin")
        .expect(409);
    admin
        .patch(&path, json!({"role": "user"}))
        .await
        .problem("last_admin");
    admin
        .patch(&path, json!({"disabled": true}))
        .await
        .problem("last_admin");

    let second = app.admin("second").await;
    let disabled = format!("/users/{}", second.id);
    admin
        .patch(&disabled, json!({"disabled": true}))
        .await
        .expect(200);
    admin.delete("/users/me").await.problem("last_admin");
    admin
        .patch(&disabled, json!({"disabled": false}))
        .await
        .expect(200);
    admin.delete("/users/me").await.expect(204);
}

#[tokio::test]
async fn admins_change_roles_and_standing_and_nothing_else() {
    let (app, user) = TestApp::with_user("nancy").await;
    let admin = app.admin("root").await;
    let path = format!("/users/{}", user.id);
    let changed = admin
        .patch(&path, json!({"role": "admin"}))
        .await
        .expect(200)
        .json;
    assert_eq!(changed["role"], "admin");
    admin
        .patch(&path, json!({"name": "N"}))
        .await
        .fields(&[("/name", "unknown_field")]);
    admin
        .patch(&path, json!({"role": "king"}))
        .await
        .problem("invalid_fields");
    admin
        .patch(&path, json!({"disabled": null}))
        .await
        .fields(&[("/disabled", "type")]);
    let nobody = "/users/00000000-0000-7000-8000-000000000000";
    admin
        .patch(nobody, json!({"disabled": true}))
        .await
        .problem("not_found");
}
