use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

#[derive(Serialize)]
pub struct Question {
    pub id: Uuid,
    pub question_text: String,
    pub author: Author,
    pub choices: Vec<Choice>,
    pub min_choices: i32,
    pub max_choices: i32,
    pub allow_change: bool,
    pub results_visibility: &'static str,
    pub status: &'static str,
    pub ballot_count: i64,
    pub revision: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Serialize)]
pub struct Author {
    pub id: Uuid,
    pub name: String,
}

#[derive(Serialize)]
pub struct Choice {
    pub id: Uuid,
    pub choice_text: String,
    pub position: i32,
    pub votes: i64,
}

#[derive(Serialize)]
pub struct QuestionPage {
    pub data: Vec<Question>,
    pub meta: Value,
}

#[derive(Deserialize)]
pub struct ListQuery {
    #[serde(default = "twenty")]
    pub limit: i64,
}

fn twenty() -> i64 {
    20
}

#[derive(Deserialize)]
pub struct NewBallot {
    pub choice_ids: Vec<Uuid>,
}

#[derive(Serialize)]
pub struct Ballot {
    pub question_id: Uuid,
    pub choice_ids: Vec<Uuid>,
    pub cast_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub results: Results,
}

#[derive(Serialize)]
pub struct Results {
    question_id: Uuid,
    ballot_count: i64,
    choices: Vec<ChoiceResults>,
    leading_choice_ids: Vec<Uuid>,
    is_final: bool,
    as_of: DateTime<Utc>,
}

#[derive(Serialize)]
struct ChoiceResults {
    id: Uuid,
    choice_text: String,
    votes: i64,
    share: f64,
}

impl Results {
    pub fn of(question: &Question) -> Results {
        let count = question.ballot_count;
        let share = |votes: i64| match count {
            0 => 0.0,
            count => (votes as f64 / count as f64 * 1e4).round() / 1e4,
        };
        let choices = question.choices.iter();
        let most = choices.clone().map(|choice| choice.votes).max();
        let leads = |choice: &&Choice| choice.votes > 0 && Some(choice.votes) == most;
        Results {
            question_id: question.id,
            ballot_count: count,
            leading_choice_ids: choices
                .clone()
                .filter(leads)
                .map(|choice| choice.id)
                .collect(),
            choices: choices
                .map(|choice| ChoiceResults {
                    id: choice.id,
                    choice_text: choice.choice_text.clone(),
                    votes: choice.votes,
                    share: share(choice.votes),
                })
                .collect(),
            is_final: question.status == "closed",
            as_of: Utc::now(),
        }
    }
}

#[derive(Deserialize)]
pub struct Credentials {
    pub grant_type: String,
    pub username: String,
    pub password: String,
}

#[derive(Serialize)]
pub struct Tokens {
    pub access_token: String,
    pub token_type: &'static str,
    pub expires_in: i64,
    pub refresh_token: String,
}
