//! Accounts: registering, one's own account, what others and admins see of it, and its end.

use polls::clock::Time;
use polls::db::Db;
use polls::users::entity;
use reqwest::Method;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{PASSWORD, TestApp, engine};

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
async fn limits_count_characters_and_end_where_they_say() {
    let app = TestApp::start().await;
    let register = async |name: usize, local: usize, password: usize| {
        let label = "d".repeat(63);
        let domain = format!("{label}.{label}.{}.org", "d".repeat(57));
        let body = json!({
            "name": "名".repeat(name),
            "email": format!("{}@{domain}", "é".repeat(local)),
            "password": "密".repeat(password),
        });
        app.post("/users", body).await
    };
    register(40, 64, 128).await.expect(201);
    register(1, 1, 8).await.expect(201);
    for (name, local, password) in [(41, 64, 129), (0, 2, 7)] {
        let refused = register(name, local, password).await;
        refused.fields(&[("/name", "length"), ("/password", "length")]);
    }
    let long = format!("a@{}", "d.".repeat(127));
    app.post("/users", luxi_but(json!({"email": long})))
        .await
        .fields(&[("/email", "length"), ("/email", "email")]);
    // Every character of a password counts, NUL too.
    let password = luxi_but(json!({"password": "  \u{0}💥 spaces count  "}));
    app.post("/users", password).await.expect(201);
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
    app.post("/users", luxi_but(json!({"phone": null})))
        .await
        .fields(&[("/phone", "type")]);
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
    raw(r#"{"name": "a", "name": "b"}"#).await.fields(&[
        ("/name", "duplicate_field"),
        ("/email", "required"),
        ("/password", "required"),
    ]);
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
    let phone = json!({"phone": "16666666662", "current_password": PASSWORD});
    let changed = user.patch("/users/me", phone.clone()).await.expect(200);
    assert_eq!(changed.json["phone"], "+8616666666662");
    assert_eq!(changed.json["name"], "南希");
    let changed = user
        .patch(
            "/users/me",
            json!({"name": "Nancy", "phone": null, "current_password": PASSWORD}),
        )
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
    let both = json!({"email": "x", "phone": "x"});
    user.patch("/users/me", both)
        .await
        .fields(&[("/email", "email"), ("/phone", "phone")]);
    let other = app.user("雪灵").await;
    user.patch(
        "/users/me",
        json!({"email": other.email, "current_password": PASSWORD}),
    )
    .await
    .problem("account_taken");
}

#[tokio::test]
async fn a_new_email_signs_in_and_the_old_one_does_not() {
    let (app, user) = TestApp::with_user("nancy").await;
    user.patch(
        "/users/me",
        json!({"email": "new@example.org", "current_password": PASSWORD}),
    )
    .await
    .expect(200);
    app.token("new@example.org", PASSWORD).await.expect(200);
    app.token(&user.email, PASSWORD).await.expect(400);
}

#[tokio::test]
async fn another_login_and_the_end_of_an_account_need_the_password() {
    let (_app, user) = TestApp::with_user("nancy").await;
    let missing = [("/current_password", "required")];
    let wrong = [("/current_password", "wrong")];
    for change in [
        json!({"email": "new@example.org"}),
        json!({"phone": "16666666662"}),
    ] {
        user.patch("/users/me", change.clone())
            .await
            .fields(&missing);
        let mut with_wrong = change;
        with_wrong["current_password"] = json!("not this one");
        user.patch("/users/me", with_wrong).await.fields(&wrong);
    }
    // What does not change needs none.
    let same = json!({"email": user.email, "phone": null, "name": "Nan"});
    let same = user.patch("/users/me", same).await.expect(200);
    assert_eq!(same.json["name"], "Nan");

    user.post("/users/me/deletion", json!({}))
        .await
        .fields(&missing);
    user.post(
        "/users/me/deletion",
        json!({"current_password": "not this one"}),
    )
    .await
    .fields(&wrong);
    let gone = user.delete("/users/me").await;
    gone.problem("forbidden").expect(403);
    user.get("/users/me").await.expect(200);
    user.delete_account().await.expect(204);
    user.get("/users/me").await.problem("unauthenticated");
}

#[tokio::test]
async fn confirmations_of_a_password_are_limited() {
    let app = TestApp::with(&[
        ("limits.enabled", "true"),
        ("limits.password_changes_per_account", "3"),
    ])
    .await;
    let user = app.user("nancy").await;
    let wrong = json!({"current_password": "not this one"});
    for _ in 0..2 {
        user.post("/users/me/deletion", wrong.clone())
            .await
            .expect(422);
    }
    user.patch("/users/me", wrong).await.expect(422);
    user.delete_account()
        .await
        .problem("rate_limited")
        .expect(429);
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    user.patch("/users/me", change)
        .await
        .problem("rate_limited");
    // Without a password nothing is counted.
    user.patch("/users/me", json!({"name": "Nan"}))
        .await
        .expect(200);
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
    let path = format!("/users/{}", user.id);
    let body = json!({"disabled": true});
    stale(admin.request(Method::PATCH, &path).json(&body))
        .await
        .problem("stale");
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
        assert!(pages < 10, "the list has no end");
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
    let phone = json!({"phone": "16666666662", "current_password": PASSWORD});
    user.patch("/users/me", phone.clone()).await.expect(200);
    let question = user.ask(&["a", "b"], json!({})).await;
    user.vote(&question, &[0]).await.expect(201);

    user.delete_account().await.expect(204);
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
        .delete_account()
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
    admin.delete_account().await.problem("last_admin");
    admin
        .patch(&disabled, json!({"disabled": false}))
        .await
        .expect(200);
    admin.delete_account().await.expect(204);
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

#[tokio::test]
async fn a_password_that_others_would_try_first_is_refused() {
    let (app, user) = TestApp::with_user("Lovelace").await;
    for (password, code) in [
        ("Password1", "common_password"),
        ("12345678", "common_password"),
        ("Lovelace1", "contains_account"),
        ("countess@qq.com", "contains_account"),
        ("countess", "contains_account"),
        ("16666666661", "contains_account"),
        ("         ", "invisible"),
        ("\u{200b}\u{2800}\u{3164}      ", "invisible"),
    ] {
        let body = luxi_but(json!({
            "name": "Ada Lovelace", "email": "countess@qq.com", "password": password,
        }));
        let refused = app.post("/users", body).await;
        let refused = refused.fields(&[("/password", code)]).expect(422);
        let text = String::from_utf8_lossy(&refused.bytes);
        assert!(
            !text.contains(password.trim()) || password.trim().is_empty(),
            "{text}"
        );
    }
    // All mistakes at once.
    let body = json!({"name": "\u{200b}", "email": "x", "password": "password"});
    app.post("/users", body).await.fields(&[
        ("/name", "invisible"),
        ("/email", "email"),
        ("/password", "common_password"),
    ]);

    let change = |new: &str| json!({"current_password": PASSWORD, "new_password": new});
    for (password, code) in [
        ("iloveyou", "common_password"),
        ("lovelace-1", "contains_account"),
        (&user.email, "contains_account"),
        ("          ", "invisible"),
    ] {
        user.put("/users/me/password", change(password))
            .await
            .fields(&[("/new_password", code)]);
    }
    user.put("/users/me/password", change("an engine of numbers"))
        .await
        .expect(204);
}

#[tokio::test]
async fn names_show_something_and_end_their_writing_direction() {
    let (app, user) = TestApp::with_user("nancy").await;
    for (name, code) in [
        ("\u{2800}", "invisible"),
        ("\u{3164}\u{200b}", "invisible"),
        ("a\u{202e}b", "open_direction"),
        ("a\u{2028}b", "control_character"),
    ] {
        app.post("/users", luxi_but(json!({"name": name})))
            .await
            .fields(&[("/name", code)]);
        user.patch("/users/me", json!({"name": name}))
            .await
            .fields(&[("/name", code)]);
    }
    let isolated = "a \u{2067}b\u{2069}";
    let changed = user.patch("/users/me", json!({"name": isolated})).await;
    assert_eq!(changed.expect(200).json["name"], isolated);
}

#[tokio::test]
async fn an_internationalised_address_is_one_however_it_is_written() {
    let app = TestApp::start().await;
    // As browsers send what is typed into a field for addresses.
    let body = luxi_but(json!({"email": "Info@xn--dmin-moa0i.com"}));
    let account = app.post("/users", body).await.expect(201);
    assert_eq!(account.json["email"], "Info@dömäin.com");
    let mut taken = json!({"name": "n", "email": "info@DÖMÄIN.com", "password": PASSWORD});
    app.post("/users", taken.clone())
        .await
        .problem("account_taken");
    for login in [
        "info@dömäin.com",
        "INFO@DO\u{308}MÄIN.COM",
        "info@xn--dmin-moa0i.com",
    ] {
        app.token(login, PASSWORD).await.expect(200);
    }

    taken["email"] = json!("other@example.org");
    app.post("/users", taken).await.expect(201);
    let tokens = app.token("other@example.org", PASSWORD).await.expect(200);
    let patch = |email: &str| {
        let request = app.request(Method::PATCH, "/users/me");
        let request = request.bearer_auth(tokens.text("access_token"));
        send(request.json(&json!({"email": email, "current_password": PASSWORD})))
    };
    patch("info@dömäin.com").await.problem("account_taken");
    patch("info@xn--dmin-moa0i.com")
        .await
        .problem("account_taken");
    let changed = patch("other@xn--dmin-moa0i.com").await.expect(200);
    assert_eq!(changed.json["email"], "other@dömäin.com");
    // A page that sends back what it was shown changes nothing.
    let same = patch("other@xn--dmin-moa0i.com").await.expect(200);
    assert_eq!(same.header("etag"), changed.header("etag"));
    app.token("other@dömäin.com", PASSWORD).await.expect(200);
    for bad in ["a@xn--a", "a@-b.org", "a@b\u{fffd}.org"] {
        patch(bad).await.fields(&[("/email", "email")]);
    }
}

/// An account as the version before migration `m0015_email_keys` has stored it, that many
/// microseconds after 1970. Deleted where it has no address.
fn stored(created_at: i64, email: Option<&str>) -> entity::ActiveModel {
    let email = email.map(str::to_owned);
    let account = entity::Model {
        id: Time(created_at).new_id(),
        name: Some("n".to_owned()),
        email_key: email.as_deref().map(polls::text::fold),
        email,
        verified_email_key: None,
        phone: None,
        password_hash: None,
        standing: polls::users::Standing::User,
        guest_expires_at: None,
        disabled_at: None,
        deleted_at: None,
        revision: 1,
        created_at: Time(created_at),
        updated_at: Time(created_at),
    };
    let mut account = account.into_active_model();
    // Later migrations add these columns.
    account.verified_email_key = ActiveValue::NotSet;
    account.guest_expires_at = ActiveValue::NotSet;
    account
}

/// The keys of all accounts but the many in between, the oldest first.
async fn keys(db: &Db) -> Vec<Option<String>> {
    let accounts: Vec<(Option<String>, Option<String>)> = entity::Entity::find()
        .select_only()
        .columns([entity::Column::Email, entity::Column::EmailKey])
        .order_by_asc(entity::Column::CreatedAt)
        .into_tuple()
        .all(db.read())
        .await
        .expect("the accounts");
    let is_own = |email: &str| !email.starts_with("many");
    let own = accounts
        .into_iter()
        .filter(|(email, _)| email.as_deref().is_none_or(is_own));
    own.map(|(_, key)| key).collect()
}

#[tokio::test]
async fn addresses_that_are_stored_get_their_keys_and_the_older_account_keeps_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = engine::connect(&engine::database_url(folder.path())).await;
    db.migrate_up(None).await.expect("the schema");
    engine::migrate_down_with(&db, "m0015_email_keys").await;

    let first = [
        (1, Some("info@dömäin.com")),
        (2, Some("bob@xn--dmin-moa0i.com")),
        (3, Some("Ada@XN--DMIN-MOA0I.com")),
        (4, Some("Luxi@QQ.com")),
        (5, Some("a@straße.de")),
        (6, None),
        (7, Some("odd@-a.com")),
    ];
    let last = [
        (5000, Some("info@xn--dmin-moa0i.com")),
        (5001, Some("bob@dömäin.com")),
    ];
    // More than are read at once.
    let many: Vec<String> = (0..1100).map(|at| format!("many{at}@qq.com")).collect();
    let many = (100..).zip(many.iter().map(|email| Some(email.as_str())));
    let rows: Vec<_> = first.into_iter().chain(many).chain(last).collect();
    for rows in rows.chunks(500) {
        db.write(|transaction| async move {
            let rows = rows.iter().map(|(at, email)| stored(*at, *email));
            entity::Entity::insert_many(rows)
                .exec_without_returning(&transaction)
                .await?;
            Ok(())
        })
        .await
        .expect("the accounts are stored");
    }
    let before = keys(&db).await;
    let expected = [
        Some("info@dömäin.com"),
        Some("bob@dömäin.com"),
        Some("ada@dömäin.com"),
        Some("luxi@qq.com"),
        Some("a@straße.de"),
        None,
        Some("odd@-a.com"),
        None,
        None,
    ];
    db.migrate_up(None).await.expect("this version");
    let keyed = keys(&db).await;
    assert_eq!(
        keyed.iter().map(Option::as_deref).collect::<Vec<_>>(),
        expected
    );
    engine::migrate_down_with(&db, "m0015_email_keys").await;
    assert_eq!(keys(&db).await, before);

    // Interrupted when the newer account had given its key away, and the older one not got it.
    db.write(|transaction| async move {
        entity::Entity::update_many()
            .col_expr(entity::Column::EmailKey, Expr::value(None::<String>))
            .filter(entity::Column::CreatedAt.eq(Time(5001)))
            .exec(&transaction)
            .await?;
        Ok(())
    })
    .await
    .expect("the key is taken away");
    db.migrate_up(None).await.expect("this version");
    assert_eq!(keys(&db).await, keyed);
    db.close().await;
}
