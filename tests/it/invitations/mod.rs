//! Invitations to vote.

mod listing;
pub mod mailing;
mod secrets;
mod voting;

use serde_json::{Value, json};

use crate::support::{Answer, Question, User};

/// A question for invited voters; `more` adds fields.
async fn ask(author: &User, more: Value) -> Question {
    let mut fields = json!({"electorate": "invited"});
    if let (Some(fields), Some(more)) = (fields.as_object_mut(), more.as_object()) {
        fields.extend(more.clone());
    }
    author.ask(&["a", "b"], fields).await
}

async fn invite(user: &User, question: &Question, body: Value) -> Answer {
    user.post(&question.under("invitations"), body).await
}

/// Makes so many invitations, and returns them with their codes.
async fn made(user: &User, question: &Question, count: usize) -> Vec<Value> {
    data(
        &invite(user, question, json!({"count": count}))
            .await
            .expect(201),
    )
}

/// The items of a list, in their order.
fn data(answer: &Answer) -> Vec<Value> {
    answer.json["data"].as_array().cloned().expect("a list")
}

/// Up to a hundred invitations to a question, newest first.
async fn list(user: &User, question: &Question) -> Vec<Value> {
    let path = question.under("invitations?limit=100");
    data(&user.get(&path).await.expect(200))
}

fn id(invitation: &Value) -> &str {
    invitation["id"].as_str().expect("an id")
}

fn code(invitation: &Value) -> &str {
    invitation["code"].as_str().expect("a code")
}

async fn take_back(user: &User, question: &Question, invitation: &Value) -> Answer {
    let path = question.under(&format!("invitations/{}", id(invitation)));
    user.delete(&path).await
}

/// Expects that a code gets no tokens.
#[track_caller]
fn void(answer: Answer) {
    assert_eq!(answer.expect(400).json["error"], "invalid_grant");
}
