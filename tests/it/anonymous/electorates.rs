//! Who may vote anonymously: the same people as with any other ballots.

use polls::ballots::recount;
use polls::questions::network_ballots;
use reqwest::Method;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};

use super::{ask, close, draw, paper, receipts, vote};
use crate::guests::verify;
use crate::support::app::send;
use crate::support::{Answer, PASSWORD, Question, TestApp, User};

/// The code of the refusal that a voter is told beforehand; none where the voter can vote.
async fn told(voter: &User, question: &Question) -> Option<String> {
    let told = voter.get(&question.under("eligibility")).await.expect(200);
    told.json["code"].as_str().map(ToOwned::to_owned)
}

#[tokio::test]
async fn only_the_electorate_votes_anonymously() {
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
        let question = ask(&author, json!({"electorate": electorate})).await;
        let mut drawn = Vec::new();
        for (voter, may) in [&guest, &account, &verified].into_iter().zip(may) {
            let receipt = draw();
            let cast = vote(voter, &question, &[0], &receipt).await;
            if may {
                cast.expect(201);
                vote(voter, &question, &[0], &receipt).await.expect(200);
                let told = told(voter, &question).await;
                assert_eq!(told.as_deref(), Some("already_voted"));
                drawn.push(receipt);
            } else {
                cast.problem("not_eligible").expect(403);
                let told = told(voter, &question).await;
                assert_eq!(told.as_deref(), Some("not_eligible"));
                let ballot = voter.get(&question.under("ballot")).await;
                ballot.problem("not_found");
            }
        }
        close(&author, &question).await;
        drawn.sort_unstable();
        let listed = receipts(&guest, &question).await;
        let listed: Vec<&Value> = listed.iter().map(|one| &one["receipt"]).collect();
        assert_eq!(listed, drawn.iter().collect::<Vec<_>>(), "{electorate}");
    }
    assert_eq!(recount::check(&app.db).await.expect("a recount"), []);
}

#[tokio::test]
async fn an_invitation_is_one_anonymous_ballot() {
    let (app, author) = TestApp::with_user("lucy").await;
    let invited = || json!({"electorate": "invited"});
    let question = ask(&author, invited()).await;
    let another = ask(&author, invited()).await;
    let path = question.under("invitations");
    let made = author.post(&path, json!({"count": 2})).await.expect(201);
    let code = |at: usize| made.json["data"][at]["code"].as_str().expect("a code");
    let (one, other) = (app.guest_of(code(0)).await, app.guest_of(code(1)).await);
    let receipt = draw();
    vote(&one, &question, &[1], &receipt).await.expect(201);
    // The same guest on another device.
    let again = app.guest_of(code(0)).await;
    vote(&again, &question, &[1], &receipt).await.expect(200);
    vote(&again, &question, &[1], &draw())
        .await
        .problem("already_voted");
    vote(&other, &another, &[1], &draw())
        .await
        .problem("not_eligible");
    vote(&other, &question, &[1], &receipt)
        .await
        .problem("receipt_taken");
    vote(&other, &question, &[2], &draw()).await.expect(201);
    close(&author, &question).await;
    let listed = receipts(&one, &question).await;
    assert_eq!(listed.len(), 2);
    // Who has used an invitation is told neither before nor after the close.
    let listed = author.get(&path).await.expect(200).json;
    for invitation in listed["data"].as_array().expect("a list") {
        assert_eq!(invitation.get("used"), None, "{invitation}");
    }
    assert_eq!(recount::check(&app.db).await.expect("a recount"), []);
}

#[tokio::test]
async fn who_is_no_longer_one_of_the_electorate_can_repeat_the_ballot() {
    let app = TestApp::without_mail_server().await;
    let (author, voter) = (app.user("author").await, app.user("voter").await);
    verify(&app, &voter).await;
    let question = ask(&author, json!({"electorate": "verified"})).await;
    let receipt = draw();
    vote(&voter, &question, &[0], &receipt).await.expect(201);
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    voter.patch("/users/me", change).await.expect(200);
    vote(&voter, &question, &[0], &receipt).await.expect(200);
    for (choices, receipt) in [([1], &receipt), ([0], &draw())] {
        vote(&voter, &question, &choices, receipt)
            .await
            .problem("not_eligible")
            .expect(403);
    }
}

/// Votes from a network address.
async fn vote_from(address: &str, guest: &User, question: &Question, receipt: &str) -> Answer {
    let request = guest.request(Method::PUT, &question.under("ballot"));
    let request = request.json(&paper(question, &[0], receipt));
    send(request.header("x-forwarded-for", address)).await
}

#[tokio::test]
async fn so_many_anonymous_ballots_come_from_one_address_and_no_more() {
    let app = TestApp::with(&[("server.trusted_proxies", "127.0.0.1")]).await;
    let author = app.user("author").await;
    let more = json!({"electorate": "anyone", "ballots_per_address": 1});
    let question = ask(&author, more).await;
    let guests = [app.guest().await, app.guest().await];
    let (here, there) = ("192.0.2.1", "192.0.2.2");
    let drawn = [draw(), draw(), draw()];
    // A receipt that is taken, and a ballot that is repeated, do not count.
    vote(&author, &question, &[2], &drawn[2]).await.expect(201);
    vote_from(here, &guests[0], &question, &drawn[2])
        .await
        .problem("receipt_taken");
    vote_from(here, &guests[0], &question, &drawn[0])
        .await
        .expect(201);
    vote_from(there, &guests[0], &question, &drawn[0])
        .await
        .expect(200);
    vote(&guests[0], &question, &[0], &drawn[0])
        .await
        .expect(200);
    vote(&guests[1], &question, &[0], &drawn[1])
        .await
        .problem("address_unknown")
        .expect(403);
    // Of a ballot that is refused, neither the voter nor the receipt is kept.
    vote_from(here, &guests[1], &question, &drawn[1])
        .await
        .problem("address_limit")
        .expect(409);
    let ballot = guests[1].get(&question.under("ballot")).await;
    ballot.problem("not_found");
    vote_from(there, &guests[1], &question, &drawn[1])
        .await
        .expect(201);
    let counters = async || {
        let counters = network_ballots::Entity::find().count(app.db.read()).await;
        counters.expect("they are counted")
    };
    assert_eq!(counters().await, 2);
    close(&author, &question).await;
    assert_eq!(counters().await, 0);
    assert_eq!(receipts(&author, &question).await.len(), 3);
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 3);
    assert_eq!(results["choices"][0]["votes"], 2);
    assert_eq!(recount::check(&app.db).await.expect("a recount"), []);
}
