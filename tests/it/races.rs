//! Concurrent requests to two servers of one database.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::json;

use crate::support::app::{Question, client, send};
use crate::support::crowd::{Pair, Tally, all_at_once, for_anyone};
use crate::support::process::polls_reading;
use crate::support::{Answer, PASSWORD, User, amount, polls};

#[tokio::test(flavor = "multi_thread")]
async fn every_voter_counts_once() {
    let pair = Pair::start();
    let users = amount(300, 5_000);
    let voters = pair.voters(users);
    let question = voters[0]
        .ask(&["a", "b", "c"], for_anyone(json!({"allow_change": false})))
        .await;

    // Every voter sends two ballots, one to each server, at the same time. Those of the first half
    // name the same choice, those of the second half different ones.
    let attempts = (0..2 * users).map(|number| (number / 2, number % 2));
    let answers = all_at_once(attempts, |(voter, attempt)| {
        let same = voter < users / 2;
        let choice = if same {
            voter % 3
        } else {
            (voter + attempt) % 3
        };
        let at = voters[voter].at(pair.address(voter + attempt));
        let question = &question;
        async move { (voter, at.vote(question, &[choice]).await) }
    })
    .await;

    let mut by_voter: BTreeMap<usize, Vec<Answer>> = BTreeMap::new();
    for (voter, answer) in answers {
        by_voter.entry(voter).or_default().push(answer);
    }
    for (voter, mut answers) in by_voter {
        answers.sort_by_key(|answer| answer.status);
        let statuses: Vec<u16> = answers
            .iter()
            .map(|answer| answer.status.as_u16())
            .collect();
        if voter < users / 2 {
            assert_eq!(statuses, [200, 201]);
        } else {
            assert_eq!(statuses, [201, 409]);
            answers.remove(1).problem("already_voted");
        }
    }
    let tally = pair.tally(&voters[0], &question).await;
    assert_eq!(tally.ballots, users as i64);
    assert_eq!(tally.sum(), users as i64);
    pair.recount();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_ballots_of_one_user_are_one() {
    let pair = Pair::start();
    let voters = pair.voters(2);
    let texts: Vec<String> = (0..21).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let twice = [true, false].into_iter();
    for (allow_change, user) in twice.flat_map(|change| voters.iter().map(move |by| (change, by))) {
        let more = json!({"max_choices": 2, "allow_change": allow_change});
        let question = voters[0].ask(&texts, for_anyone(more)).await;
        let pairs = (0..texts.len()).flat_map(|one| (0..one).map(move |other| [one, other]));
        let answers = join_all(pairs.take(200).enumerate().map(|(turn, chosen)| {
            let (at, question) = (user.at(pair.address(turn)), &question);
            async move { at.vote(question, &chosen).await.status.as_u16() }
        }))
        .await;

        assert_eq!(answers.len(), 200);
        let rest = if allow_change { 200 } else { 409 };
        assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1);
        assert_eq!(
            answers.iter().filter(|status| **status == rest).count(),
            199
        );
        let tally = pair.tally(user, &question).await;
        assert_eq!((tally.ballots, tally.sum()), (1, 2));
        let ballot = user
            .get(&format!("{}/ballot", question.path))
            .await
            .expect(200);
        let votes = question.choices.iter().zip(&tally.votes);
        let chosen: Vec<&String> = votes
            .filter(|(_, votes)| **votes == 1)
            .map(|(id, _)| id)
            .collect();
        assert_eq!(ballot.json["choice_ids"], json!(chosen));
    }
    pair.recount();
}

/// What ends voting while many ballots are being cast.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Close,
    Delete,
}

/// All voters vote, at both servers. After `after` acknowledged ballots the author ends voting at
/// the other server. Returns the tally right after the end was acknowledged, the tally after the
/// last answer, and how many first ballots were acknowledged.
async fn end_during_a_storm(
    pair: &Pair,
    voters: &[User],
    question: &Question,
    (end, after): (End, usize),
) -> (Tally, Tally, i64) {
    let (acknowledged, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let author = voters[0].at(&pair.other.address);
    let numbers = async || match end {
        End::Close => pair.tally(&author, question).await,
        End::Delete => {
            let deleted = author
                .get("/questions?deleted=true&limit=1")
                .await
                .expect(200);
            let row = &deleted.json["data"][0];
            assert_eq!(row["id"], question.id.as_str());
            Tally::of(row)
        }
    };
    let storm = all_at_once(voters.iter().enumerate(), |(turn, voter)| {
        let (acknowledged, ended) = (&acknowledged, &ended);
        async move {
            let too_late = ended.load(Ordering::SeqCst);
            let answer = voter
                .at(pair.address(turn))
                .vote(question, &[turn % 2])
                .await;
            if answer.status == 201 {
                assert!(!too_late, "counted after the end");
                acknowledged.fetch_add(1, Ordering::SeqCst);
            } else if end == End::Close {
                answer.problem("voting_closed");
            } else {
                answer.problem("not_found");
            }
        }
    });
    let ending = async {
        while acknowledged.load(Ordering::SeqCst) < after {
            tokio::task::yield_now().await;
        }
        match end {
            End::Close => {
                let closed = author
                    .post(&format!("{}/close", question.path), json!(null))
                    .await;
                assert_eq!(closed.expect(200).json["status"], "closed");
            }
            End::Delete => drop(author.delete(&question.path).await.expect(204)),
        }
        ended.store(true, Ordering::SeqCst);
        numbers().await
    };
    let (_, at_end) = join(storm, ending).await;
    (
        at_end,
        numbers().await,
        acknowledged.load(Ordering::SeqCst) as i64,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_close_the_tally_never_moves() {
    let pair = Pair::start();
    let voters = pair.voters(amount(250, 1_000));
    for round in 0..amount(6, 150) {
        let question = voters[0].ask(&["a", "b"], for_anyone(json!({}))).await;
        let end = (End::Close, 1 + round * 17 % (voters.len() / 2));
        let (at_end, later, acknowledged) =
            end_during_a_storm(&pair, &voters, &question, end).await;
        assert_eq!(at_end, later);
        assert_eq!(later.ballots, acknowledged);
        assert_eq!(later.sum(), acknowledged);
        let results = voters[1]
            .get(&format!("{}/results", question.path))
            .await
            .expect(200);
        assert_eq!(results.json["is_final"], true);
    }
    pair.recount();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_counted_into_a_deleted_question() {
    let pair = Pair::start();
    let voters = pair.voters(amount(200, 1_000));
    for round in 0..amount(4, 30) {
        let question = voters[0].ask(&["a", "b"], for_anyone(json!({}))).await;
        let end = (End::Delete, 1 + round * 17 % (voters.len() / 2));
        let (at_end, later, acknowledged) =
            end_during_a_storm(&pair, &voters, &question, end).await;
        assert_eq!(at_end, later);
        assert_eq!(later.ballots, acknowledged);
        let restore = format!("{}/restore", question.path);
        voters[0].post(&restore, json!(null)).await.expect(200);
        assert_eq!(pair.tally(&voters[0], &question).await, later);
    }
    pair.recount();
}

/// An edit after which the ballots of the test would be refused.
#[derive(Debug, Clone, Copy)]
enum Edit {
    FewerChoices,
    NoGuests,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_and_the_first_ballots_exclude_each_other() {
    let pair = Pair::start();
    let all = pair.voters(16);
    let author = &all[0].at(&pair.other.address);
    let (accounts, guests): (Vec<_>, Vec<_>) = (
        all.iter().step_by(2).collect(),
        all.iter().skip(1).step_by(2).collect(),
    );
    for (edit, voters) in [(Edit::FewerChoices, accounts), (Edit::NoGuests, guests)] {
        an_edit_excludes_first_ballots(&pair, author, &voters, edit).await;
    }
    pair.recount();
}

async fn an_edit_excludes_first_ballots(pair: &Pair, author: &User, voters: &[&User], edit: Edit) {
    let mut edited = 0;
    let rounds = amount(30, 300);
    for round in 0..rounds {
        let question = &author
            .ask(&["a", "b", "c"], for_anyone(json!({"max_choices": 2})))
            .await;
        let votes = async {
            // The delay differs between rounds, so that sometimes the ballots come first and
            // sometimes the edit.
            for _ in 0..round % 5 * 20 {
                tokio::task::yield_now().await;
            }
            let vote = |turn: usize| {
                let voter = voters[turn].at(pair.address(turn));
                async move { voter.vote(question, &[0, 1]).await }
            };
            join_all((0..voters.len()).map(vote)).await
        };
        let patch = match edit {
            Edit::FewerChoices => json!({"max_choices": 1}),
            Edit::NoGuests => json!({"electorate": "accounts"}),
        };
        let patch = author.patch(&question.path, patch);
        let (votes, patched) = join(votes, patch).await;
        let counted = pair.tally(author, question).await.ballots;
        if patched.status == 200 {
            // Such ballots are not allowed any more, so none may be counted.
            edited += 1;
            assert_eq!(counted, 0);
            for vote in votes {
                match edit {
                    Edit::FewerChoices => drop(vote.fields(&[("/choice_ids", "length")])),
                    Edit::NoGuests => drop(vote.problem("not_eligible")),
                }
            }
        } else {
            patched.problem("has_ballots");
            assert_eq!(counted, voters.len() as i64);
            for vote in votes {
                vote.expect(201);
            }
        }
    }
    println!("{edit:?} came first in {edited} of {rounds} rounds");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_and_reopening_lose_nothing() {
    let pair = Pair::start();
    let voters = pair.voters(amount(300, 3_000));
    let question = &voters[0].ask(&["a", "b"], for_anyone(json!({}))).await;
    let (acknowledged, over) = (AtomicI64::new(0), AtomicBool::new(false));
    let storm = async {
        all_at_once(voters.iter().enumerate(), |(turn, voter)| {
            let (pair, acknowledged) = (&pair, &acknowledged);
            async move {
                let answer = voter
                    .at(pair.address(turn))
                    .vote(question, &[turn % 2])
                    .await;
                if answer.status == 201 {
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                } else {
                    answer.problem("voting_closed");
                }
            }
        })
        .await;
        over.store(true, Ordering::SeqCst);
    };
    let changes = async {
        let mut closes = 0;
        while !over.load(Ordering::SeqCst) {
            let author = voters[0].at(pair.address(closes));
            author
                .post(&format!("{}/close", question.path), json!(null))
                .await
                .expect(200);
            let closed = pair.tally(&author, question).await;
            assert_eq!(pair.tally(&author, question).await, closed);
            let author = voters[0].at(pair.address(closes + 1));
            let open = author
                .post(&format!("{}/reopen", question.path), json!({}))
                .await;
            assert_eq!(open.expect(200).json["status"], "open");
            closes += 1;
        }
        closes
    };
    let ((), closes) = join(storm, changes).await;
    println!("closed and reopened {closes} times");
    assert!(closes > 0);
    let results = voters[0]
        .get(&format!("{}/results", question.path))
        .await
        .expect(200);
    assert_eq!(results.json["is_final"], false);
    assert_eq!(
        results.json["ballot_count"],
        acknowledged.load(Ordering::SeqCst)
    );
    pair.recount();
}

#[tokio::test(flavor = "multi_thread")]
async fn casting_and_withdrawing_at_once_leave_one_ballot_or_none() {
    let pair = Pair::start();
    let voters = pair.voters(2);
    for round in 0..amount(4, 30) {
        let user = &voters[round % 2];
        let more = for_anyone(json!({"max_choices": 2}));
        let question = &voters[0].ask(&["a", "b", "c"], more).await;
        let path = &format!("{}/ballot", question.path);
        let acts = (0..90_usize).map(|act| {
            let at = user.at(pair.address(act / 3));
            async move {
                let answer = match act % 3 {
                    0 => at.vote(question, &[0]).await,
                    1 => at.vote(question, &[1, 2]).await,
                    _ => at.delete(path).await,
                };
                (act % 3, answer.status.as_u16())
            }
        });
        let (mut first, mut withdrawn) = (0, 0);
        for (act, status) in join_all(acts).await {
            match (act, status) {
                (2, 204) => withdrawn += 1,
                (2, 404) | (0 | 1, 200) => {}
                (0 | 1, 201) => first += 1,
                other => panic!("round {round}: {other:?}"),
            }
        }
        let left = match user.get(path).await.status.as_u16() {
            200 => 1,
            _ => 0,
        };
        assert_eq!(first - withdrawn, left);
        assert_eq!(pair.tally(user, question).await.ballots, left);
    }
    pair.recount();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_of_one_moment() {
    let pair = Pair::start();
    let voters = pair.voters(amount(150, 1_000));
    let question = &voters[0].ask(&["a", "b", "c"], for_anyone(json!({}))).await;
    let over = AtomicBool::new(false);
    let storm = async {
        for round in 0..3 {
            all_at_once(voters.iter().enumerate(), |(turn, voter)| {
                let voter = voter.at(pair.address(turn + round));
                async move {
                    if (turn + round) % 4 == 3 {
                        // 404 for users who have not voted yet.
                        let path = format!("{}/ballot", question.path);
                        let status = voter.delete(&path).await.status.as_u16();
                        assert!(matches!(status, 204 | 404), "{status}");
                        return;
                    }
                    let ballot = voter.vote(question, &[(turn + round) % 3]).await;
                    let tally = Tally::of(&ballot.json["results"]);
                    assert_eq!(tally.sum(), tally.ballots);
                }
            })
            .await;
        }
        over.store(true, Ordering::SeqCst);
    };
    let readers = (0..8).map(|reader| {
        let (at, over) = (voters[0].at(pair.address(reader)), &over);
        let results = format!("{}/results", question.path);
        let path = if reader < 4 {
            results
        } else {
            question.path.clone()
        };
        async move {
            let mut seen = 0;
            let mut moved = 0;
            while !over.load(Ordering::SeqCst) {
                let tally = Tally::of(&at.get(&path).await.expect(200).json);
                assert_eq!(tally.sum(), tally.ballots);
                moved += usize::from(tally.ballots != seen);
                seen = tally.ballots;
            }
            moved
        }
    });
    let ((), moved) = join(storm, join_all(readers)).await;
    println!("different answers seen: {moved:?}");
    assert!(moved.iter().all(|moved| *moved > 2));
    pair.recount();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_seen_everywhere() {
    let pair = Pair::start();
    let voters = pair.voters(amount(200, 2_000));
    let question = &voters[0].ask(&["a", "b"], for_anyone(json!({}))).await;
    let acknowledged = AtomicI64::new(0);
    all_at_once(voters.iter().enumerate(), |(turn, voter)| {
        let (pair, acknowledged) = (&pair, &acknowledged);
        async move {
            let (here, there) = (
                voter.at(pair.address(turn)),
                voter.at(pair.address(turn + 1)),
            );
            let cast = here.vote(question, &[turn % 2]).await.expect(201);
            let before = 1 + acknowledged.fetch_add(1, Ordering::SeqCst);
            let ballot = there
                .get(&format!("{}/ballot", question.path))
                .await
                .expect(200);
            assert_eq!(ballot.json["choice_ids"], cast.json["choice_ids"]);
            let shown = Tally::of(&there.get(&question.path).await.expect(200).json);
            assert!(shown.ballots >= before, "{} of {before}", shown.ballots);
        }
    })
    .await;
    pair.recount();
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_first_votes_from_one_address_with_three_allowed_are_three() {
    let pair = Pair::start();
    let voters = pair.voters(100);
    let (author, guests) = (&voters[0], voters.iter().skip(1).step_by(2));
    let guests: Vec<&User> = guests.collect();
    for round in 0..amount(4, 40) {
        let more = for_anyone(json!({"ballots_per_address": 3}));
        let question = &author.ask(&["a", "b"], more).await;
        let votes = join_all(guests.iter().enumerate().map(|(turn, guest)| {
            let at = guest.at(pair.address(turn + round));
            async move { (turn, at.vote(question, &[turn % 2]).await) }
        }));
        let mut counted = Vec::new();
        for (turn, answer) in votes.await {
            match answer.status.as_u16() {
                201 => counted.push(turn),
                _ => drop(answer.problem("address_limit").expect(409)),
            }
        }
        assert_eq!(counted.len(), 3);
        let tally = pair.tally(author, question).await;
        assert_eq!((tally.ballots, tally.sum()), (3, 3));
        // They may send theirs again, and nobody else gets in after one has withdrawn.
        for turn in &counted {
            let again = guests[*turn].vote(question, &[turn % 2]).await;
            again.expect(200);
        }
        let path = question.under("ballot");
        guests[counted[0]].delete(&path).await.expect(204);
        for guest in &guests {
            let answer = guest.vote(question, &[0]).await;
            assert!(matches!(answer.status.as_u16(), 200 | 409), "{answer:?}");
        }
        assert_eq!(pair.tally(author, question).await.ballots, 2);
        // Accounts at the same address are not counted.
        author.vote(question, &[0]).await.expect(201);
    }
    pair.recount();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_is_registered_once() {
    let pair = Pair::start();
    let client = client();
    for round in 0..amount(2, 20) {
        let answers = join_all((0..50).map(|turn| {
            let email = if turn % 3 == 0 { "Ada" } else { "ada" };
            let account = json!({
                "name": "Ada", "email": format!("{email}{round}@example.org"), "password": PASSWORD,
            });
            let address = format!("{}/api/v1/users", pair.address(turn));
            send(client.post(address).json(&account))
        }))
        .await;
        let (made, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!((made.len(), refused.len()), (1, 49));
        for answer in refused {
            answer.problem("account_taken");
        }
    }
}

/// Makes an admin who calls the first server.
fn admin(pair: &Pair, email: &str) -> User {
    let folder = pair.folder();
    let arguments = [
        "user", "create", "--name", "Root", "--email", email, "--admin",
    ];
    polls_reading(folder, &arguments, PASSWORD).done();
    let token = polls(folder, &["token", "--user", email]).done();
    let (id, token) = token.trim().split_once(' ').expect("an id and a token");
    User::of_token(id, token, client(), &pair.one.address)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_the_last_two_admins_stays() {
    let pair = Pair::start();
    let mut last = admin(&pair, "root@example.org");
    for round in 0..amount(4, 40) {
        let other = admin(&pair, &format!("admin{round}@example.org")).at(&pair.other.address);
        let demote = |user: &User| (format!("/users/{}", user.id), json!({"role": "user"}));
        let leave = round % 2 == 1;
        let (first, second) = if leave {
            join(last.delete_account(), other.delete_account()).await
        } else {
            let ((of_other, role), (of_last, same)) = (demote(&other), demote(&last));
            join(last.patch(&of_other, role), other.patch(&of_last, same)).await
        };
        let (first_acted, second_acted) = (first.status.is_success(), second.status.is_success());
        assert_ne!(first_acted, second_acted, "{first:?} {second:?}");
        let refused = if first_acted { second } else { first };
        if leave || refused.status == 409 {
            refused.problem("last_admin");
        } else {
            // The server knows already that this user is no longer an admin.
            assert!(matches!(refused.status.as_u16(), 401 | 403), "{refused:?}");
        }
        // A user who deleted the own account is gone; one who demoted the other remains.
        if first_acted == leave {
            last = other.at(&pair.one.address);
        }
        let list = last.get("/users?limit=100").await.expect(200);
        let users = list.json["data"].as_array().expect("a list").iter();
        let admins = users.filter(|user| user["role"] == "admin" && user["email"].is_string());
        assert_eq!(admins.count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_twice_at_once_has_one_successor() {
    let pair = Pair::start();
    let client = client();
    let api = |turn: usize, path: &str| format!("{}/api/v1{path}", pair.address(turn));
    let account = json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD});
    send(client.post(api(0, "/users")).json(&account))
        .await
        .expect(201);
    let form = [
        ("grant_type", "password"),
        ("username", "ada@example.org"),
        ("password", PASSWORD),
    ];
    let mut tokens = send(client.post(api(0, "/auth/token")).form(&form))
        .await
        .expect(200);
    for round in 0..amount(5, 50) {
        let refresh_token = tokens.text("refresh_token");
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.as_str()),
        ];
        let refresh = |turn| send(client.post(api(turn, "/auth/token")).form(&form));
        let (one, other) = join(refresh(round), refresh(round + 1)).await;
        let (one, other) = (one.expect(200), other.expect(200));
        assert_eq!(one.text("refresh_token"), other.text("refresh_token"));
        for (turn, answer) in [
            (round, &one),
            (round, &other),
            (round + 1, &one),
            (round + 1, &other),
        ] {
            let me = client.request(Method::GET, api(turn, "/users/me"));
            send(me.bearer_auth(answer.text("access_token")))
                .await
                .expect(200);
        }
        tokens = if round % 2 == 0 { one } else { other };
    }
}
