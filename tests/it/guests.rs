//! Guests: who votes without an account.

use std::time::Duration;

use futures_util::future::join_all;
use polls::ballots::idle_guests;
use polls::users::entity as users;
use reqwest::Method;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _};
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Answer, PASSWORD, Question, TestApp, User};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A guest's request to become an account.
async fn register(guest: &User, email: &str) -> Answer {
    let body = json!({"name": "Ada", "email": email, "password": PASSWORD});
    guest.post("/users", body).await
}

async fn refresh(app: &TestApp, user: &User) -> Answer {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", user.refresh_token.as_str()),
    ];
    app.form("/auth/token", &form).await
}

/// Whether all that identified the user is gone from the table.
async fn is_erased(app: &TestApp, user: &User) -> bool {
    let row = users::Entity::find_by_id(user.id.parse::<uuid::Uuid>().expect("an id"));
    let row = row.one(app.db.read()).await.expect("it is read");
    let row = row.expect("the row stays");
    row.deleted_at.is_some() && row.name.is_none()
}

#[tokio::test]
async fn a_guest_has_tokens_and_nothing_else() {
    let app = TestApp::start().await;
    for body in [None, Some(json!({})), Some(json!(null))] {
        let request = app.request(Method::POST, "/auth/guest");
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let tokens = send(request).await.expect(201);
        assert_eq!(tokens.header("cache-control"), "no-store");
        assert_eq!(tokens.json["token_type"], "Bearer");
    }
    let named = app.post("/auth/guest", json!({"name": " Ada "})).await;
    let guest = app.guest().await.with_tokens(&named.expect(201));
    let me = guest.get("/users/me").await.expect(200).json;
    let expected = json!({"name": "Ada", "guest": true, "email_verified": false, "role": "user", "disabled": false});
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&me[field], value, "{field}");
    }
    assert!(me["email"].is_null() && me["phone"].is_null(), "{me}");
    // A random id does not tell when the guest was made.
    let id: uuid::Uuid = me["id"].as_str().expect("an id").parse().expect("a UUID");
    assert_eq!(id.get_version_num(), 4);
    let nameless = app.guest().await;
    assert_eq!(nameless.get("/users/me").await.expect(200).json["name"], "");
    let bad = app.post("/auth/guest", json!({"name": ""})).await;
    bad.fields(&[("/name", "length")]);
}

#[tokio::test]
async fn a_guest_is_told_that_it_needs_an_account() {
    let app = TestApp::start().await;
    let guest = app.guest().await;
    let body =
        json!({"question_text": "?", "choices": [{"choice_text": "a"}, {"choice_text": "b"}]});
    let refused = guest.post("/questions", body).await.problem("forbidden");
    let detail = refused.expect(403).text("detail");
    assert!(detail.contains("POST /users"), "{detail}");
    guest.get("/users").await.problem("forbidden").expect(403);
}

#[tokio::test]
async fn a_guest_becomes_an_account_and_keeps_its_ballots() {
    let app = TestApp::start().await;
    let (author, guest) = (app.user("author").await, app.guest().await);
    let question = author
        .ask(&["a", "b"], json!({"electorate": "anyone"}))
        .await;
    guest.vote(&question, &[1]).await.expect(201);
    let account = register(&guest, "ada@example.org").await.expect(201).json;
    assert_eq!(account["id"], guest.id.as_str());
    assert_eq!(
        (&account["guest"], &account["name"]),
        (&json!(false), &json!("Ada"))
    );

    // The guest's tokens are good for nothing any more.
    guest.get("/users/me").await.problem("unauthenticated");
    refresh(&app, &guest).await.expect(400);
    register(&guest, "other@example.org")
        .await
        .problem("unauthenticated");
    let tokens = app.token("ada@example.org", PASSWORD).await.expect(200);
    let ada = guest.with_tokens(&tokens);
    let ballot = ada.get(&question.under("ballot")).await.expect(200).json;
    assert_eq!(ballot["choice_ids"], json!([question.choices[1]]));
    ada.vote(&question, &[0]).await.expect(200);
    ada.ask(&["a", "b"], json!({})).await;
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 1);
}

#[tokio::test]
async fn who_cannot_register_stays_a_guest() {
    let app = TestApp::start().await;
    let (account, guest) = (app.user("ada").await, app.guest().await);
    register(&guest, &account.email)
        .await
        .problem("account_taken")
        .expect(409);
    register(&guest, "no address").await.expect(422);
    assert_eq!(guest.get("/users/me").await.expect(200).json["guest"], true);
    // A bad token is refused, and that of an account changes nothing.
    let bad = User::of_token(&guest.id, "nonsense", reqwest::Client::new(), &app.address);
    register(&bad, "b@example.org")
        .await
        .problem("unauthenticated")
        .expect(401);
    let other = register(&account, "c@example.org").await.expect(201);
    assert_ne!(other.text("id"), account.id);

    let closed = TestApp::with(&[("accounts.registration", "false")]).await;
    let guest = closed.guest().await;
    register(&guest, "d@example.org")
        .await
        .problem("forbidden")
        .expect(403);
}

#[tokio::test]
async fn two_registrations_of_a_guest_at_once_make_one_account() {
    let app = TestApp::start().await;
    for round in 0..5 {
        let guest = &app.guest().await;
        let emails: Vec<String> = (0..6)
            .map(|at| format!("{round}.{at}@example.org"))
            .collect();
        let answers = join_all(emails.iter().map(|email| register(guest, email))).await;
        let (made, refused): (Vec<Answer>, Vec<Answer>) =
            answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 1);
        for answer in refused {
            answer.problem("unauthenticated").expect(401);
        }
        app.token(&made[0].text("email"), PASSWORD)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_guest_deletes_itself_and_an_account_does_not() {
    let app = TestApp::start().await;
    let (author, guest) = (app.user("author").await, app.guest().await);
    let question = author
        .ask(&["a", "b"], json!({"electorate": "anyone"}))
        .await;
    guest.vote(&question, &[0]).await.expect(201);
    guest.delete("/users/me").await.expect(204);
    guest.delete("/users/me").await.problem("unauthenticated");
    refresh(&app, &guest).await.expect(400);
    app.get(&format!("/users/{}", guest.id))
        .await
        .problem("not_found");
    assert!(is_erased(&app, &guest).await);
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 1);

    let refused = author.delete("/users/me").await.problem("forbidden");
    assert!(
        refused
            .expect(403)
            .text("detail")
            .contains("/users/me/deletion")
    );
    author.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn admins_find_accounts_among_many_guests() {
    let app = TestApp::start().await;
    let (admin, user) = (app.admin("admin").await, app.user("user").await);
    let guests = join_all((0..3).map(|_| app.guest())).await;
    let ids = async |query: &str| {
        let list = admin.get(&format!("/users{query}")).await.expect(200).json;
        let data = list["data"].as_array().expect("a list").clone();
        let shown = |user: &Value| {
            (
                user["id"].as_str().expect("an id").to_owned(),
                user["guest"].clone(),
            )
        };
        data.iter().map(shown).collect::<Vec<_>>()
    };
    let accounts = [(user.id, json!(false)), (admin.id.clone(), json!(false))];
    assert_eq!(ids("").await, accounts);
    assert_eq!(ids("?guests=false").await, accounts);
    let listed = ids("?guests=true&limit=2").await;
    assert!(listed.iter().all(|(_, guest)| *guest == json!(true)));
    assert_eq!(ids("?guests=true").await.len(), guests.len());
    // A cursor of one list is not one of the other.
    let page = admin.get("/users?guests=true&limit=2").await.expect(200);
    let cursor = page.json["meta"]["next_cursor"].as_str().expect("a cursor");
    admin
        .get(&format!("/users?guests=true&cursor={cursor}"))
        .await
        .expect(200);
    admin
        .get(&format!("/users?cursor={cursor}"))
        .await
        .problem("malformed_request");

    let path = format!("/users/{}", guests[0].id);
    let change = admin.patch(&path, json!({"role": "admin"})).await;
    change.fields(&[("/role", "conflict")]);
    admin
        .patch(&path, json!({"disabled": true}))
        .await
        .expect(200);
    guests[0].get("/users/me").await.problem("unauthenticated");
    refresh(&app, &guests[0]).await.expect(400);
}

#[tokio::test]
async fn a_session_of_a_guest_lives_as_long_as_the_guest() {
    let app = TestApp::start().await;
    let (guest, account) = (app.guest().await, app.user("ada").await);
    app.clock.advance(300 * DAY);
    refresh(&app, &account).await.expect(400);
    let guest = guest.with_tokens(&refresh(&app, &guest).await.expect(200));
    guest.get("/users/me").await.expect(200);
    app.clock.advance(300 * DAY);
    let guest = guest.with_tokens(&refresh(&app, &guest).await.expect(200));
    app.clock.advance(366 * DAY);
    refresh(&app, &guest).await.expect(400);
}

#[tokio::test]
async fn unused_guests_are_removed_once_their_questions_are_closed() {
    let app = TestApp::start().await;
    let author = app.user("author").await;
    let anyone = || json!({"electorate": "anyone"});
    let open = author.ask(&["a", "b"], anyone()).await;
    let closed = author.ask(&["a", "b"], anyone()).await;
    let (idle, bound, used) = (app.guest().await, app.guest().await, app.guest().await);
    let invited = app.guest().await;
    invite(&app, &author, &invited, &open).await;
    let others = join_all((0..60).map(|_| app.guest())).await;
    for guest in [&idle, &bound, &used] {
        guest.vote(&closed, &[0]).await.expect(201);
    }
    bound.vote(&open, &[0]).await.expect(201);
    let close = async |question: &Question| {
        let author = app.user_of(&author).await;
        let close = question.under("close");
        author.post(&close, json!(null)).await.expect(200);
    };
    close(&closed).await;
    let sweep = async || {
        idle_guests::remove(&app.db, &app.clock, app.accounts())
            .await
            .expect("they are removed");
    };
    app.clock.advance(200 * DAY);
    let used = used.with_tokens(&refresh(&app, &used).await.expect(200));
    app.clock.advance(166 * DAY);
    sweep().await;
    assert!(is_erased(&app, &idle).await);
    for guest in &others {
        assert!(is_erased(&app, guest).await);
    }
    for guest in [&bound, &invited, &used] {
        assert!(!is_erased(&app, guest).await);
    }
    used.with_tokens(&refresh(&app, &used).await.expect(200));
    // The look is repeated a day later.
    close(&open).await;
    sweep().await;
    assert!(!is_erased(&app, &bound).await);
    app.clock.advance(DAY);
    sweep().await;
    assert!(is_erased(&app, &bound).await && is_erased(&app, &invited).await);
    assert!(!is_erased(&app, &used).await);
    let results = app.get(&closed.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 3);
}

#[tokio::test]
async fn guests_count_for_their_address() {
    let app = TestApp::with(&[
        ("limits.enabled", "true"),
        ("limits.guests_per_address", "2"),
        ("limits.reads_per_address", "4"),
        ("limits.ballots_per_address", "1"),
        ("server.trusted_proxies", "127.0.0.1"),
    ])
    .await;
    let author = app.user("author").await;
    let question = author
        .ask(&["a", "b"], json!({"electorate": "anyone"}))
        .await;
    let made = app.post("/auth/guest", json!({})).await.expect(201);
    assert_eq!(
        made.header("ratelimit-policy"),
        "\"guests_per_address\";q=2;w=900"
    );
    assert!(made.header("ratelimit").contains("r=1"));
    let one = app.guest().await;
    let refused = app.post("/auth/guest", json!({})).await;
    let refused = refused.problem("rate_limited").expect(429);
    assert!(refused.header("ratelimit").contains("r=0"));
    // Another address has another limit.
    let elsewhere =
        |request: reqwest::RequestBuilder| request.header("x-forwarded-for", "192.0.2.7");
    let other = send(elsewhere(app.request(Method::POST, "/auth/guest"))).await;
    let other = one.with_tokens(&other.expect(201));
    for (guest, left) in [(&one, 3), (&other, 2), (&one, 1), (&other, 0)] {
        let me = guest.get("/users/me").await.expect(200);
        assert!(me.header("ratelimit").contains(&format!("r={left};")));
    }
    one.get("/users/me").await.problem("rate_limited");
    send(elsewhere(one.request(Method::GET, "/users/me")))
        .await
        .expect(200);
    // And accounts at the same address have limits of their own.
    author.get("/users/me").await.expect(200);
    one.vote(&question, &[0]).await.expect(201);
    other.vote(&question, &[0]).await.problem("rate_limited");
    author.vote(&question, &[0]).await.expect(201);
}

/// Verifies the email address of an account.
pub async fn verify(app: &TestApp, user: &User) {
    app.db
        .write(|transaction| async move {
            users::Entity::update_many()
                .col_expr(
                    users::Column::VerifiedEmailKey,
                    Expr::col(users::Column::EmailKey),
                )
                .filter(users::Column::Id.eq(user.id.parse::<uuid::Uuid>().expect("an id")))
                .exec(&transaction)
                .await?;
            Ok(())
        })
        .await
        .expect("it is written");
}

/// Binds a guest to a question, as the use of an invitation does.
pub async fn invite(app: &TestApp, author: &User, guest: &User, question: &Question) {
    use polls::invitations::entity::{Entity, Model};
    let id = |text: &str| text.parse::<uuid::Uuid>().expect("an id");
    let now = app.clock.now();
    let invitation = Model {
        id: now.new_id(),
        question_id: id(&question.id),
        invited_by: id(&author.id),
        user_id: Some(id(&guest.id)),
        label: None,
        email: None,
        email_hash: None,
        created_at: now,
    };
    app.db
        .write(|transaction| {
            let invitation = invitation.clone();
            async move {
                let insert = Entity::insert(invitation.into_active_model());
                insert.exec_without_returning(&transaction).await?;
                Ok(())
            }
        })
        .await
        .expect("it is written");
}

/// What the eligibility says: whether one can vote, and the code.
async fn eligibility(user: &User, question: &Question) -> (bool, String) {
    let answer = user
        .get(&question.under("eligibility"))
        .await
        .expect(200)
        .json;
    let can_vote = answer["can_vote"].as_bool().expect("a boolean");
    let code = answer["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        can_vote,
        code.is_empty() && answer["detail"].is_null(),
        "{answer}"
    );
    (can_vote, code)
}

fn may_vote() -> (bool, String) {
    (true, String::new())
}

fn refused(code: &str) -> (bool, String) {
    (false, code.to_owned())
}

#[tokio::test]
async fn only_the_electorate_may_vote_and_is_told_before() {
    let app = TestApp::without_mail_server().await;
    let author = app.user("author").await;
    let (guest, account, verified) = (app.guest().await, app.user("a").await, app.user("v").await);
    verify(&app, &verified).await;
    for (electorate, may) in [
        ("anyone", [true, true, true]),
        ("accounts", [false, true, true]),
        ("verified", [false, false, true]),
        ("invited", [false, false, false]),
    ] {
        let question = author
            .ask(&["a", "b"], json!({"electorate": electorate}))
            .await;
        let anonymous = app.get(&question.under("eligibility")).await.expect(200);
        assert_eq!(anonymous.json["code"], "unauthenticated");
        for (voter, may) in [&guest, &account, &verified].into_iter().zip(may) {
            let told = eligibility(voter, &question).await;
            let answer = voter.vote(&question, &[0]).await;
            if may {
                assert_eq!(told, may_vote(), "{electorate}");
                answer.expect(201);
                voter.vote(&question, &[0]).await.expect(200);
                assert_eq!(eligibility(voter, &question).await, may_vote());
            } else {
                assert_eq!(told, refused("not_eligible"), "{electorate}");
                answer.problem("not_eligible").expect(403);
                voter
                    .get(&question.under("ballot"))
                    .await
                    .problem("not_found");
            }
        }
        let results = app.get(&question.under("results")).await.expect(200).json;
        let counted = may.into_iter().filter(|may| *may).count();
        assert_eq!(results["ballot_count"], counted, "{electorate}");
    }
}

#[tokio::test]
async fn who_is_invited_votes_on_that_question_and_stays_a_guest() {
    let app = TestApp::start().await;
    let (author, guest, other) = (
        app.user("author").await,
        app.guest().await,
        app.guest().await,
    );
    let invited = || json!({"electorate": "invited"});
    let question = author.ask(&["a", "b"], invited()).await;
    let another = author.ask(&["a", "b"], invited()).await;
    invite(&app, &author, &guest, &question).await;
    assert_eq!(eligibility(&guest, &question).await, may_vote());
    guest.vote(&question, &[0]).await.expect(201);
    guest.vote(&another, &[0]).await.problem("not_eligible");
    for voter in [&other, &author] {
        voter.vote(&question, &[0]).await.problem("not_eligible");
    }
    register(&guest, "guest@example.org")
        .await
        .problem("invited_guest")
        .expect(409);
    guest.vote(&question, &[1]).await.expect(200);
}

#[tokio::test]
async fn who_is_no_longer_one_of_the_electorate_can_repeat_or_withdraw_the_ballot() {
    let app = TestApp::without_mail_server().await;
    let (author, voter) = (app.user("author").await, app.user("voter").await);
    verify(&app, &voter).await;
    let question = author
        .ask(&["a", "b"], json!({"electorate": "verified"}))
        .await;
    voter.vote(&question, &[0]).await.expect(201);
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    voter.patch("/users/me", change).await.expect(200);
    assert_eq!(
        eligibility(&voter, &question).await,
        refused("not_eligible")
    );
    voter.vote(&question, &[0]).await.expect(200);
    voter.vote(&question, &[1]).await.problem("not_eligible");
    voter.delete(&question.under("ballot")).await.expect(204);
    voter.vote(&question, &[0]).await.problem("not_eligible");
    verify(&app, &voter).await;
    voter.vote(&question, &[1]).await.expect(201);
}

#[tokio::test]
async fn without_mail_nobody_can_be_asked_who_has_to_be_verified() {
    let app = TestApp::start().await;
    let author = app.user("author").await;
    let body = json!({"question_text": "?", "choices": [{"choice_text": "a"}, {"choice_text": "b"}], "electorate": "verified"});
    author
        .post("/questions", body)
        .await
        .problem("mail_not_configured")
        .expect(409);
    let question = author.ask(&["a", "b"], json!({})).await;
    author
        .patch(&question.path, json!({"electorate": "verified"}))
        .await
        .problem("mail_not_configured")
        .expect(409);
}

#[tokio::test]
async fn the_eligibility_tells_when_voting_opens_and_ends() {
    let app = TestApp::start().await;
    let (author, guest) = (app.user("author").await, app.guest().await);
    let minute = Duration::from_secs(60);
    let opens_at = app.clock.now().after(minute).to_string();
    let closes_at = app.clock.now().after(3 * minute).to_string();
    let more = json!({"electorate": "anyone", "opens_at": opens_at, "closes_at": closes_at, "allow_change": false});
    let question = author.ask(&["a", "b"], more).await;
    let accounts = json!({"opens_at": opens_at});
    let accounts = author.ask(&["a", "b"], accounts).await;
    let told = async |by: &User, question: &Question| {
        by.get(&question.under("eligibility"))
            .await
            .expect(200)
            .json
    };
    let scheduled = told(&guest, &question).await;
    assert_eq!(
        (&scheduled["code"], &scheduled["until"]),
        (&json!("voting_not_open"), &json!(opens_at))
    );
    // What can be mended before voting opens is told first.
    assert_eq!(told(&guest, &accounts).await["code"], "not_eligible");
    assert_eq!(told(&author, &accounts).await["code"], "voting_not_open");
    app.clock.advance(2 * minute);
    let open = told(&guest, &question).await;
    assert_eq!(open, json!({"can_vote": true, "until": closes_at}));
    guest.vote(&question, &[0]).await.expect(201);
    assert_eq!(told(&guest, &question).await["code"], "already_voted");
    app.clock.advance(2 * minute);
    let closed = told(&guest, &question).await;
    assert_eq!(closed["code"], "voting_closed");
    assert!(closed["until"].is_null());
    guest.vote(&question, &[0]).await.expect(200);
    author.delete(&question.path).await.expect(204);
    guest
        .get(&question.under("eligibility"))
        .await
        .problem("not_found");
}

#[tokio::test]
async fn a_guest_sees_the_numbers_after_its_vote() {
    let app = TestApp::start().await;
    let (author, guest, other) = (
        app.user("author").await,
        app.guest().await,
        app.guest().await,
    );
    let more = json!({"electorate": "anyone", "results_visibility": "after_vote"});
    let question = author.ask(&["a", "b"], more).await;
    guest
        .get(&question.under("results"))
        .await
        .problem("results_hidden");
    let cast = guest.vote(&question, &[0]).await.expect(201);
    assert_eq!(cast.json["results"]["ballot_count"], 1);
    guest.get(&question.under("results")).await.expect(200);
    let shown = guest.get(&question.path).await.expect(200);
    assert_eq!(shown.json["ballot_count"], 1);
    other
        .get(&question.under("results"))
        .await
        .problem("results_hidden");
}

/// A server whose clients say where they come from.
async fn behind_a_proxy() -> TestApp {
    TestApp::with(&[("server.trusted_proxies", "127.0.0.1")]).await
}

/// Votes from a network address.
async fn vote_from(address: &str, guest: &User, question: &Question, choice: usize) -> Answer {
    let request = guest.ballot(question, &[choice]);
    send(request.header("x-forwarded-for", address)).await
}

#[tokio::test]
async fn so_many_guests_vote_from_one_address_and_no_more() {
    let app = behind_a_proxy().await;
    let author = app.user("author").await;
    let more = json!({"electorate": "anyone", "ballots_per_address": 2});
    let question = author.ask(&["a", "b"], more.clone()).await;
    let other_question = author.ask(&["a", "b"], more).await;
    let guests = join_all((0..5).map(|_| app.guest())).await;
    let here = "192.0.2.1";
    vote_from(here, &guests[0], &question, 0).await.expect(201);
    // To repeat or change a ballot does not count again, and withdrawing makes no room.
    vote_from(here, &guests[0], &question, 0).await.expect(200);
    vote_from(here, &guests[0], &question, 1).await.expect(200);
    vote_from(here, &guests[1], &question, 0).await.expect(201);
    guests[1]
        .delete(&question.under("ballot"))
        .await
        .expect(204);
    let full = vote_from(here, &guests[1], &question, 0).await;
    full.problem("address_limit").expect(409);
    vote_from(here, &guests[2], &question, 0)
        .await
        .problem("address_limit");
    let told = async |address: &str, guest: &User| {
        let request = guest.request(Method::GET, &question.under("eligibility"));
        let told = send(request.header("x-forwarded-for", address)).await;
        told.expect(200).json
    };
    assert_eq!(told(here, &guests[2]).await["code"], "address_limit");
    assert_eq!(told(here, &guests[0]).await["can_vote"], true);
    // Accounts are not counted, nor other networks, nor other questions.
    vote_from(here, &author, &question, 0).await.expect(201);
    vote_from(here, &guests[2], &other_question, 0)
        .await
        .expect(201);
    vote_from("192.0.2.2", &guests[2], &question, 0)
        .await
        .expect(201);
    // An IPv6 /64 is one network.
    let v6 = [
        "2001:db8::1",
        "2001:db8::ffff:2",
        "2001:db8::3",
        "2001:db8:0:1::1",
    ];
    vote_from(v6[0], &guests[3], &question, 0).await.expect(201);
    vote_from(v6[1], &guests[4], &question, 0).await.expect(201);
    vote_from(v6[2], &guests[1], &question, 0)
        .await
        .problem("address_limit");
    assert_eq!(told(v6[3], &guests[1]).await["can_vote"], true);
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 5);
    assert_eq!(results["choices"][0]["votes"], 4);
}

#[tokio::test]
async fn a_proxy_that_does_not_say_for_whom_lets_no_guest_be_counted() {
    let app = behind_a_proxy().await;
    let author = app.user("author").await;
    let more = json!({"electorate": "anyone", "ballots_per_address": 2});
    let question = author.ask(&["a", "b"], more).await;
    let unlimited = author
        .ask(&["a", "b"], json!({"electorate": "anyone"}))
        .await;
    let guest = app.guest().await;
    assert_eq!(
        eligibility(&guest, &question).await,
        refused("address_unknown")
    );
    guest
        .vote(&question, &[0])
        .await
        .problem("address_unknown")
        .expect(403);
    guest.vote(&unlimited, &[0]).await.expect(201);
    author.vote(&question, &[0]).await.expect(201);
    vote_from("192.0.2.1", &guest, &question, 0)
        .await
        .expect(201);
    // A ballot that is counted can be changed from anywhere.
    guest.vote(&question, &[1]).await.expect(200);
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 2);
}

#[tokio::test]
async fn networks_are_forgotten_when_the_question_is_closed() {
    use polls::questions::network_ballots::Entity;
    let app = behind_a_proxy().await;
    let author = app.user("author").await;
    let more = json!({"electorate": "anyone", "ballots_per_address": 1});
    let question = author.ask(&["a", "b"], more).await;
    let guest = app.guest().await;
    vote_from("192.0.2.1", &guest, &question, 0)
        .await
        .expect(201);
    let counters = async || {
        let all = Entity::find().all(app.db.read()).await;
        all.expect("they are read")
    };
    let stored = counters().await;
    assert_eq!(stored.len(), 1);
    // A keyed hash: neither the address nor its plain hash.
    use sha2::Digest as _;
    let address = [192, 0, 2, 1];
    assert_eq!(stored[0].network.len(), 32);
    assert_ne!(stored[0].network, sha2::Sha256::digest(address).to_vec());
    let close = question.under("close");
    author.post(&close, json!(null)).await.expect(200);
    assert!(counters().await.is_empty());
}
