//! The whole story with progenitor: a builder for each operation, and one type for its failures.

use std::error::Error as StdError;

use chrono::{Duration, Utc};
use polls::types::{
    Ballot, BallotInput, ChoiceText, Explanation, GrantErrorCode, GrantType, Problem, ProblemCode,
    Question, QuestionInput, QuestionPatch, QuestionStatus, ResultsVisibility, TokenFailure,
    TokenRequest, TokenResponse, UserInput, VotingMethod, builder,
};
use polls::{Client, Error, ResponseValue};
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use uuid::Uuid;

#[allow(warnings, reason = "generated")]
mod polls {
    include!(concat!(env!("OUT_DIR"), "/polls.rs"));
}

type Outcome<T = ()> = Result<T, Box<dyn StdError>>;

fn url() -> String {
    std::env::var("POLLS_URL").unwrap_or_else(|_| "http://127.0.0.1:8080/api/v1".to_owned())
}

/// Somebody's client, which sends the access token.
fn signed_in(tokens: &TokenResponse) -> Outcome<Client> {
    let bearer = format!("Bearer {}", tokens.access_token).parse()?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
    let client = reqwest::Client::builder()
        .default_headers(headers)
        .build()?;
    Ok(Client::new_with_client(&url(), client))
}

/// The problem with which a call failed.
fn problem<T>(answer: Result<ResponseValue<T>, Error<Problem>>) -> Problem {
    match answer {
        Err(Error::ErrorResponse(problem)) => problem.into_inner(),
        Err(other) => panic!("no problem: {other}"),
        Ok(_) => panic!("it succeeded"),
    }
}

fn password_grant(username: &str, password: &str) -> Outcome<TokenRequest> {
    Ok(TokenRequest {
        grant_type: GrantType::Password,
        username: Some(username.parse()?),
        password: Some(password.parse()?),
        refresh_token: None,
        code: None,
    })
}

async fn register(anyone: &Client, name: &str, phone: Option<&str>) -> Outcome<Client> {
    let (email, password) = (format!("{name}@example.org"), "correct horse battery");
    let new = UserInput::builder()
        .name(name)
        .email(email.clone())
        .password(password);
    let new = match phone {
        Some(phone) => new.phone(Some(phone.parse()?)),
        None => new,
    };
    anyone.create_user().body(new).send().await?;

    let grant = password_grant(phone.unwrap_or(&email), password)?;
    let tokens = anyone.issue_token().body(grant).send().await?;
    let grant = TokenRequest {
        grant_type: GrantType::RefreshToken,
        username: None,
        password: None,
        refresh_token: Some(tokens.refresh_token.parse()?),
        code: None,
    };
    signed_in(&*anyone.issue_token().body(grant).send().await?)
}

fn question() -> builder::QuestionInput {
    let choice = |text: &str| ChoiceText::builder().choice_text(text).try_into();
    let choices: Result<Vec<ChoiceText>, _> =
        ["rust", "go", "python"].map(choice).into_iter().collect();
    QuestionInput::builder()
        .question_text("Which language?")
        .choices(choices.expect("they are valid"))
}

async fn ask(user: &Client, question: builder::QuestionInput) -> Outcome<Question> {
    Ok(user
        .create_question()
        .body(question)
        .send()
        .await?
        .into_inner())
}

async fn vote(
    user: &Client,
    question: &Question,
    chosen: &[usize],
) -> Result<ResponseValue<Ballot>, Error<Problem>> {
    let choice_ids = chosen.iter().map(|index| question.choices[*index].id);
    let ballot = BallotInput::builder().choice_ids(choice_ids.collect::<Vec<_>>());
    user.cast_ballot()
        .question_id(question.id)
        .body(ballot)
        .send()
        .await
}

/// Why there is no ballot, for people.
fn why_not(problem: &Problem) -> &str {
    match problem.code {
        ProblemCode::VotingNotOpen => "come back later",
        ProblemCode::VotingClosed => "too late",
        ProblemCode::AlreadyVoted => "you have voted",
        _ => &problem.detail,
    }
}

/// How the winner has won, for people. Each kind of explanation has fields of its own.
fn how(explanation: &Explanation) -> String {
    fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
        items.iter().map(text).collect::<Vec<_>>().join(", ")
    }
    match explanation {
        Explanation::RoundsExplanation(it) => {
            let votes = list(&it.rounds[0].tallies, |tally| tally.votes.to_string());
            format!("round 1: {votes}")
        }
        Explanation::PairsExplanation(it) => {
            let votes = list(&it.pairs, |pair| format!("{}:{}", pair.for_, pair.against));
            format!("pairs: {votes}")
        }
        Explanation::PointsExplanation(it) => {
            let points = list(&it.totals, |total| total.points.to_string());
            format!("points: {points}")
        }
        Explanation::RunoffExplanation(it) => {
            let ballots = list(&it.preferring, |finalist| finalist.ballots.to_string());
            format!("run-off: {ballots}")
        }
    }
}

async fn voting(anyone: &Client, ada: &Client, bob: &Client) -> Outcome {
    let question = ask(ada, question().max_choices(Some(2.try_into()?))).await?;
    let id = question.id;
    assert_eq!(question.status, QuestionStatus::Open);
    assert!(question.created_at <= Utc::now() && question.description.is_none());

    let first = vote(ada, &question, &[0]).await?;
    assert_eq!(first.status(), 201);
    assert_eq!(vote(ada, &question, &[0]).await?.status(), 200);
    let changed = vote(ada, &question, &[1, 2]).await?;
    assert!(changed.updated_at > first.cast_at);
    ada.withdraw_ballot().question_id(id).send().await?;
    let none = problem(ada.get_ballot().question_id(id).send().await);
    assert_eq!(none.code, ProblemCode::NotFound);

    vote(ada, &question, &[0]).await?;
    vote(bob, &question, &[0, 1]).await?;
    let closed = ada.close_question().question_id(id).send().await?;
    assert!(closed.closed_at.is_some());
    let results = anyone.get_results().question_id(id).send().await?;
    let shares: Vec<f64> = results.choices.iter().map(|choice| choice.share).collect();
    assert_eq!(shares, [1.0, 0.5, 0.0]);
    assert!(results.is_final && results.ballot_count == 2);

    let late = problem(vote(bob, &question, &[2]).await);
    assert_eq!(why_not(&late), "too late");
    Ok(())
}

async fn rankings(anyone: &Client, ada: &Client, bob: &Client) -> Outcome {
    for (method, expected) in [
        (VotingMethod::InstantRunoff, "round 1: 2, 0, 0"),
        (VotingMethod::RankedPairs, "pairs: 2:0, 2:0, 1:0"),
    ] {
        let question = ask(ada, question().method(Some(method))).await?;
        let choice = |index: usize| question.choices[index].id;
        vote(ada, &question, &[2, 0]).await?;
        // The same choices in another order are another ranking.
        let changed = vote(ada, &question, &[0, 2]).await?;
        assert_eq!(changed.choice_ids, [choice(0), choice(2)]);
        vote(bob, &question, &[0]).await?;
        let results = anyone.get_results().question_id(question.id).explain(true);
        let results = results.send().await?.into_inner();
        assert_eq!(results.outcome.elected_choice_ids, [choice(0)]);
        let explanation = results.explanation.as_ref().map(how);
        assert_eq!(explanation.as_deref(), Some(expected));
    }
    Ok(())
}

async fn pages(anyone: &Client, ada: &Client) -> Outcome {
    for _ in 0..4 {
        ask(ada, question()).await?;
    }
    let (mut seen, mut cursor) = (std::collections::HashSet::new(), None);
    loop {
        let list = anyone.list_questions().limit(2);
        let list = match cursor {
            Some(cursor) => list.cursor::<String>(cursor),
            None => list,
        };
        let page = list.send().await?.into_inner();
        seen.extend(page.data.iter().map(|question| question.id));
        cursor = page.meta.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 7);
    Ok(())
}

async fn problems(anyone: &Client, ada: &Client, bob: &Client) -> Outcome {
    let is = |problem: Problem, code: ProblemCode| {
        assert_eq!(problem.code, code, "{problem:?}");
        assert_eq!(problem.type_, format!("/problems/{code}"));
    };
    // What the types forbid is not even sent; what they cannot know is refused.
    let empty = ada
        .create_question()
        .body(question().question_text(""))
        .send()
        .await;
    assert!(matches!(empty, Err(Error::InvalidRequest(_))));
    let past = question().closes_at(Some(Utc::now() - Duration::hours(1)));
    let invalid = problem(ada.create_question().body(past).send().await);
    let pointers: Vec<_> = invalid.errors.iter().map(|field| &field.pointer).collect();
    assert_eq!(pointers, ["/closes_at"]);
    is(invalid, ProblemCode::InvalidFields);

    let plain = ask(ada, question()).await?;
    let forged = anyone.list_questions().cursor("forged").send().await;
    is(problem(forged), ProblemCode::MalformedRequest);
    is(
        problem(anyone.get_me().send().await),
        ProblemCode::Unauthenticated,
    );
    let patch = QuestionPatch::builder().allow_change(Some(false));
    let foreign = bob
        .update_question()
        .question_id(plain.id)
        .body(patch)
        .send()
        .await;
    is(problem(foreign), ProblemCode::Forbidden);
    let taken = UserInput::builder()
        .name("x")
        .email("ada@example.org")
        .password("correct horse");
    is(
        problem(anyone.create_user().body(taken).send().await),
        ProblemCode::AccountTaken,
    );

    let secret = question().results_visibility(Some(ResultsVisibility::Author));
    let secret = ask(ada, secret).await?.id;
    let seen = bob.get_question().question_id(secret).send().await?;
    assert_eq!(seen.ballot_count, None);
    is(
        problem(bob.get_results().question_id(secret).send().await),
        ProblemCode::ResultsHidden,
    );
    let later = question().opens_at(Some(Utc::now() + Duration::hours(1)));
    let later = ask(ada, later).await?;
    is(
        problem(vote(bob, &later, &[0]).await),
        ProblemCode::VotingNotOpen,
    );
    let last = ask(ada, question().allow_change(Some(false))).await?;
    vote(bob, &last, &[0]).await?;
    is(
        problem(vote(bob, &last, &[1]).await),
        ProblemCode::AlreadyVoted,
    );
    let withdrawn = bob.withdraw_ballot().question_id(last.id).send().await;
    is(problem(withdrawn), ProblemCode::BallotFinal);
    let rename = QuestionPatch::builder().question_text(Some("Another?".parse()?));
    let renamed = ada
        .update_question()
        .question_id(last.id)
        .body(rename)
        .send()
        .await;
    is(problem(renamed), ProblemCode::HasBallots);
    let stale = ada
        .delete_question()
        .question_id(plain.id)
        .if_match("\"99.nothing\"");
    is(problem(stale.send().await), ProblemCode::Stale);
    let nowhere: Uuid = "01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f".parse()?;
    is(
        problem(anyone.get_question().question_id(nowhere).send().await),
        ProblemCode::NotFound,
    );
    Ok(())
}

async fn signing_in(anyone: &Client, ada: &Client) -> Outcome {
    let sessions = ada.list_sessions().send().await?;
    let current = sessions
        .data
        .iter()
        .find(|session| session.current)
        .expect("this one");
    assert!(current.expires_at > Utc::now());
    ada.end_session().session_id(current.id).send().await?;
    assert_eq!(
        problem(ada.get_me().send().await).code,
        ProblemCode::Unauthenticated
    );

    loop {
        let wrong = password_grant("ada@example.org", "wrong")?;
        let Err(Error::ErrorResponse(failure)) = anyone.issue_token().body(wrong).send().await
        else {
            panic!("no answer to a wrong password");
        };
        match &*failure {
            TokenFailure::GrantError(denied) => {
                assert_eq!(denied.error, GrantErrorCode::InvalidGrant);
            }
            TokenFailure::Problem(problem) => {
                assert_eq!(problem.code, ProblemCode::RateLimited);
                assert!(failure.headers().contains_key(RETRY_AFTER));
                return Ok(());
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let anyone = Client::new(&url());
    let ada = register(&anyone, "ada", Some("16666666661")).await?;
    let bob = register(&anyone, "bob", None).await?;
    voting(&anyone, &ada, &bob).await?;
    rankings(&anyone, &ada, &bob).await?;
    pages(&anyone, &ada).await?;
    problems(&anyone, &ada, &bob).await?;
    signing_in(&anyone, &ada).await?;
    println!("the whole story, by progenitor");
    Ok(())
}
