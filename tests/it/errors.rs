//! Every code of the contract's error table, provoked over HTTP.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use polls::failure::Code;
use polls::questions::slot;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::app::send;
use crate::support::{Answer, PASSWORD, TestApp};

/// Provokes an answer with this code. The match is exhaustive, so that a new code needs a case
/// here.
async fn provoke(code: Code) -> Option<Answer> {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("nancy").await;
    let ask = |more| author.ask(&["a", "b"], more);
    Some(match code {
        Code::MalformedRequest => app.get("/questions?cursor=forged").await,
        Code::Unauthenticated => app.get("/users/me").await,
        Code::Forbidden => author.get("/users").await,
        Code::ResultsHidden => {
            let question = ask(json!({"results_visibility": "author"})).await;
            app.get(&question.under("results")).await
        }
        Code::NotEligible => {
            let question = ask(json!({})).await;
            app.guest().await.vote(&question, &[0]).await
        }
        Code::AddressUnknown => {
            let proxies = ("server.trusted_proxies", "127.0.0.1");
            limited_address(&[proxies]).await
        }
        Code::EmailUnverified => {
            let app = TestApp::without_mail_server().await;
            let author = app.user("lucy").await;
            let question = author
                .ask(&["a", "b"], json!({"electorate": "invited"}))
                .await;
            let body = json!({"invitations": [{"email": "nancy@example.org"}]});
            author.post(&question.under("invitations"), body).await
        }
        Code::NotFound => app.get("/nowhere").await,
        Code::MethodNotAllowed => send(app.request(Method::PUT, "/questions")).await,
        Code::NotAcceptable => {
            let request = app
                .request(Method::GET, "/questions")
                .header("accept", "text/html");
            send(request).await
        }
        Code::RequestTimeout => a_stalled_body().await,
        Code::AccountTaken => {
            author
                .patch(
                    "/users/me",
                    json!({"email": voter.email, "current_password": PASSWORD}),
                )
                .await
        }
        Code::InvitedGuest => {
            let question = ask(json!({"electorate": "invited"})).await;
            let guest = app.invited(&author, &question).await;
            let account = json!({"name": "n", "email": "n@example.org", "password": PASSWORD});
            guest.post("/users", account).await
        }
        Code::VotingNotOpen => {
            let opens_at = app.clock.now().after(Duration::from_secs(60)).to_string();
            let question = ask(json!({"opens_at": opens_at})).await;
            voter.vote(&question, &[0]).await
        }
        Code::VotingClosed => {
            let question = ask(json!({})).await;
            author
                .post(&question.under("close"), json!(null))
                .await
                .expect(200);
            voter.vote(&question, &[0]).await
        }
        Code::AlreadyVoted => {
            let question = ask(json!({"allow_change": false})).await;
            voter.vote(&question, &[0]).await.expect(201);
            voter.vote(&question, &[1]).await
        }
        Code::AddressLimit => limited_address(&[]).await,
        Code::VotingOpen => {
            let anonymous = json!({"ballot_secrecy": "anonymous", "allow_change": false});
            author.get(&ask(anonymous).await.under("receipts")).await
        }
        Code::ReceiptTaken => {
            let anonymous = json!({"ballot_secrecy": "anonymous", "allow_change": false});
            let question = ask(anonymous).await;
            let body = json!({"choice_ids": question.choices[..1], "receipt": "0".repeat(32)});
            let path = question.under("ballot");
            author.put(&path, body.clone()).await.expect(201);
            voter.put(&path, body).await
        }
        Code::BallotFinal => {
            let question = ask(json!({"allow_change": false})).await;
            voter.vote(&question, &[0]).await.expect(201);
            voter.delete(&question.under("ballot")).await
        }
        Code::HasBallots => {
            let question = ask(json!({})).await;
            voter.vote(&question, &[0]).await.expect(201);
            author
                .patch(&question.path, json!({"allow_change": false}))
                .await
        }
        Code::Reopened => {
            let question = ask(json!({})).await;
            for path in ["close", "reopen", "close"] {
                let path = question.under(path);
                author.post(&path, json!(null)).await.expect(200);
            }
            author.get(&question.under("voters")).await
        }
        Code::TooFewBallots => {
            let question = ask(json!({})).await;
            let close = question.under("close");
            author.post(&close, json!(null)).await.expect(200);
            author.get(&question.under("voters")).await
        }
        Code::BallotsNotPublic => {
            let question = ask(json!({})).await;
            app.get(&question.under("ballots")).await
        }
        Code::FormatUnavailable => {
            let more = json!({"method": "star", "ballot_secrecy": "public"});
            let question = ask(more).await;
            author.get(&question.under("export?format=blt")).await
        }
        Code::LotDrawn => {
            let question = ask(json!({"method": "instant_runoff"})).await;
            author.vote(&question, &[0]).await.expect(201);
            voter.vote(&question, &[1]).await.expect(201);
            let close = question.under("close");
            author.post(&close, json!(null)).await.expect(200);
            author.post(&question.under("reopen"), json!({})).await
        }
        Code::NoInvitations => {
            let invitations = ask(json!({})).await.under("invitations");
            author.post(&invitations, json!({"count": 1})).await
        }
        Code::InvitationFinal => {
            let anonymous = json!({
                "electorate": "invited", "ballot_secrecy": "anonymous", "allow_change": false,
            });
            let invitations = ask(anonymous).await.under("invitations");
            let invited = author.post(&invitations, json!({"count": 1})).await;
            let id = &invited.expect(201).json["data"][0]["id"];
            let path = format!("{invitations}/{}", id.as_str().expect("an id"));
            author.delete(&path).await
        }
        Code::AnonymousBallots => {
            let anonymous = json!({"ballot_secrecy": "anonymous", "allow_change": false});
            let question = ask(anonymous).await;
            let close = question.under("close");
            author.post(&close, json!(null)).await.expect(200);
            author.post(&question.under("reopen"), json!({})).await
        }
        Code::QuotaExceeded => {
            let one = ("limits.questions_per_day", "1");
            let app = TestApp::with(&[("limits.enabled", "true"), one]).await;
            let author = app.user("lucy").await;
            author.ask(&["a", "b"], json!({})).await;
            let choices = json!([{"choice_text": "a"}, {"choice_text": "b"}]);
            let another = json!({"question_text": "Which one?", "choices": choices});
            author.post("/questions", another).await
        }
        Code::LastAdmin => app.admin("root").await.delete_account().await,
        Code::MailNotConfigured => author.post("/users/me/email-verification", json!({})).await,
        Code::Stale => {
            let path = ask(json!({})).await.path;
            send(
                author
                    .request(Method::DELETE, &path)
                    .header("if-match", "\"7.x\""),
            )
            .await
        }
        Code::PayloadTooLarge => app.post("/users", json!("x".repeat(65 * 1024))).await,
        Code::UnsupportedMediaType => {
            send(
                author
                    .request(Method::POST, "/questions")
                    .body("question_text=x"),
            )
            .await
        }
        Code::InvalidFields => author.post("/questions", json!({"question_text": 5})).await,
        Code::RateLimited => too_many_sign_ins().await,
        Code::Internal => {
            app.db
                .write(|transaction| async move { drop_marks(&transaction).await })
                .await
                .expect("a broken schema");
            let question = ask(json!({})).await;
            voter.vote(&question, &[0]).await
        }
        Code::Overloaded => a_full_ballot_box().await,
        Code::ShuttingDown => readiness_while_stopping().await,
        // This needs a connection that is lost between COMMIT and its answer. SQLite has no such
        // connection; for the other engines `db::error` tests how the error is classified.
        Code::OutcomeUnknown => return None,
    })
}

#[tokio::test]
async fn every_code_is_provoked() {
    // Each has a server of its own. All of them at once would be too much for a small machine.
    let provoked = stream::iter(Code::ALL).map(|code| Box::pin(provoke(code)));
    let answers: Vec<_> = provoked.buffered(4).collect().await;
    for (code, answer) in Code::ALL.into_iter().zip(answers) {
        let Some(answer) = answer else {
            assert_eq!(code, Code::OutcomeUnknown);
            continue;
        };
        let answer = answer.problem(code.name()).expect(code.status());
        assert_eq!(answer.json["title"], code.title());
        let waits = matches!(code.status(), 429 | 503);
        let after = answer.header("retry-after").parse::<u64>().ok();
        assert_eq!(after.is_some_and(|seconds| seconds > 0), waits, "{code:?}");
        assert_eq!(
            !answer.header("www-authenticate").is_empty(),
            code.status() == 401,
            "{code:?}"
        );
        assert_eq!(
            !answer.header("ratelimit").is_empty(),
            // A quota applies only if limits are enabled.
            code.status() == 429 || code == Code::QuotaExceeded,
            "{code:?}"
        );
    }
}

#[tokio::test]
async fn every_code_has_a_page_that_explains_it() {
    let app = TestApp::start().await;
    let get = async |path: &str| send(app.outside(Method::GET, path)).await;
    for code in Code::ALL {
        let page = get(&format!("/problems/{}", code.name())).await.expect(200);
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(String::from_utf8_lossy(&page.bytes).contains(code.title()));
    }
    get("/problems/nonsense").await.problem("not_found");
}

#[tokio::test]
async fn a_failure_of_ours_says_nothing_of_ours() {
    let answer = Box::pin(provoke(Code::Internal))
        .await
        .expect("an answer")
        .problem("internal");
    let text = String::from_utf8_lossy(&answer.bytes).to_lowercase();
    for word in ["sql", "table", "ballot_marks", "panic"] {
        assert!(!text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn registrations_are_limited_by_address() {
    let app = TestApp::with(&[
        ("limits.enabled", "true"),
        ("limits.registrations_per_address", "2"),
    ])
    .await;
    let register = |number: u32| {
        let body = json!({"name": "n", "email": format!("{number}@example.org"), "password": "long enough"});
        app.post("/users", body)
    };
    register(1).await.expect(201);
    register(2).await.expect(201);
    let refused = register(3).await.problem("rate_limited").expect(429);
    assert!(refused.header("ratelimit-policy").contains("q=2;w=900"));
    assert!(refused.header("ratelimit").contains("r=0"));
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    app.clock.advance(Duration::from_secs(seconds));
    register(3).await.expect(201);
}

#[tokio::test]
async fn the_right_password_does_not_help_who_is_over_the_limit() {
    let app = limited().await;
    let user = app.user("nancy").await;
    for _ in 0..3 {
        app.token(&user.email, "wrong password").await.expect(400);
    }
    app.token(&user.email, PASSWORD)
        .await
        .problem("rate_limited");
    // Nor does the same address in another form; other addresses are not affected.
    app.token(&user.email.to_uppercase(), "wrong password")
        .await
        .problem("rate_limited");
    app.user("lucy").await.get("/users/me").await.expect(200);
    app.clock.advance(Duration::from_secs(900));
    app.token(&user.email, PASSWORD).await.expect(200);
}

async fn limited() -> TestApp {
    let limit = ("limits.sign_in_failures_per_account", "3");
    TestApp::with(&[("limits.enabled", "true"), limit]).await
}

async fn too_many_sign_ins() -> Answer {
    let app = limited().await;
    for _ in 0..3 {
        app.token("nobody@example.org", "wrong password")
            .await
            .expect(400);
    }
    app.token("nobody@example.org", "wrong password").await
}

async fn drop_marks(transaction: &polls::db::Transaction) -> Result<(), polls::failure::Failure> {
    use sea_orm::ConnectionTrait as _;
    transaction
        .execute_unprepared("DROP TABLE ballot_marks")
        .await?;
    Ok(())
}

/// A request whose body never arrives.
async fn a_stalled_body() -> Answer {
    let app = TestApp::with(&[("http.body_timeout", "100ms")]).await;
    let mut stream = TcpStream::connect(app.socket_address())
        .await
        .expect("a connection");
    let header = "POST /api/v1/users HTTP/1.1\r\nHost: polls\r\n\
        Content-Type: application/json\r\nContent-Length: 10\r\n\r\n";
    stream
        .write_all(header.as_bytes())
        .await
        .expect("it is sent");
    read_to_end(stream, Method::POST, "/api/v1/users").await
}

/// The answer on a connection that the server then closes.
async fn read_to_end(mut stream: TcpStream, method: Method, path: &str) -> Answer {
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.expect("it is read");
    Answer::parse(method, path, &raw)
}

/// One ballot is held up by a lock, one waits in the queue, and there is no room for a third.
async fn a_full_ballot_box() -> Answer {
    let app = TestApp::with(&[("ballots.queue", "1"), ("ballots.batch", "1")]).await;
    let author = app.user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let voters = join_all((0..3).map(|_| app.user("voter"))).await;

    let (held, released) = (&Notify::new(), &Notify::new());
    let id = question.id.parse().expect("an id");
    let intruder = app.database_from_outside().await;
    let holding = intruder.write(|transaction| async move {
        slot::take_all(&transaction, id).await?;
        held.notify_one();
        released.notified().await;
        Ok(())
    });
    let voting = async {
        held.notified().await;
        let voting = voters.iter().map(|voter| voter.vote(&question, &[0]));
        let voting: Vec<_> = voting.map(Box::pin).collect();
        let (refused, _, waiting) = futures_util::future::select_all(voting).await;
        released.notify_one();
        (refused, join_all(waiting).await)
    };
    let (done, (refused, waited)) = tokio::join!(holding, voting);
    done.expect("the slots are given back");
    let mut counted = 0;
    for answer in waited {
        match answer.status.as_u16() {
            201 => counted += 1,
            _ => drop(answer.problem("overloaded")),
        }
    }
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(
        results["ballot_count"], counted,
        "who was let in is counted, and nobody else"
    );
    refused
}

/// The second ballot of a guest on a question that takes one from each network address.
async fn limited_address(settings: &[(&str, &str)]) -> Answer {
    let app = TestApp::with(settings).await;
    let more = json!({"electorate": "anyone", "ballots_per_address": 1});
    let question = app.user("lucy").await.ask(&["a", "b"], more).await;
    app.guest().await.vote(&question, &[0]).await;
    app.guest().await.vote(&question, &[0]).await
}

/// A request that is in progress when the server is told to stop.
async fn readiness_while_stopping() -> Answer {
    let mut app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.socket_address())
        .await
        .expect("a connection");
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: polls\r\n")
        .await
        .expect("it is sent");
    // Once this is answered, the server has read the bytes above.
    send(app.outside(Method::GET, "/readyz")).await.expect(200);
    let asking = async {
        stream.write_all(b"\r\n").await.expect("it is sent");
        read_to_end(stream, Method::GET, "/readyz").await
    };
    let ((), answer) = tokio::join!(app.shut_down(), asking);
    answer
}
