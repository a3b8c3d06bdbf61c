//! Questions and choices as clients see them.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Poll, Results};
use crate::clock::Time;
use crate::page::PageMeta;
use crate::questions::{BallotSecrecy, Draft, Electorate, Status, Visibility};
use crate::tally::{BallotKind, Method, Threshold, TieBreak};

/// A question with its choices.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(skip_serializing_if_is_none, example)]
pub struct Question {
    /// The question's id.
    pub id: Uuid,
    /// What people are asked.
    pub question_text: String,
    /// What they should know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub author: Author,
    /// In their order.
    pub choices: Vec<Choice>,
    pub method: Method,
    /// How many choices are elected.
    pub seats: i32,
    /// How many choices a ballot names at least; a scored ballot names those with a score above 0.
    pub min_choices: i32,
    /// How many choices a ballot names at most.
    pub max_choices: i32,
    /// The highest score; only with `score` and `star`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_score: Option<i32>,
    pub tie_break: TieBreak,
    /// The least number of ballots, abstentions included, without which nothing is decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// The SHA-256 of the seed of the lot, in hexadecimal digits; only where ties are broken by lot.
    /// `getResults` says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot_commitment: Option<String>,
    /// Whether a ballot may be changed or withdrawn.
    pub allow_change: bool,
    pub results_visibility: Visibility,
    pub electorate: Electorate,
    /// How many ballots of guests one network address may cast; any number where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballots_per_address: Option<i32>,
    /// Whether lists and searches show it.
    pub listed: bool,
    pub ballot_secrecy: BallotSecrecy,
    /// From when ballots are taken; from the start where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Time>,
    /// Until when ballots are taken; without end where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Time>,
    /// When somebody closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// When it was deleted; only its author and admins see it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Time>,
    pub status: Status,
    /// How many people have voted. Absent while the results are hidden from you.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballot_count: Option<i64>,
    /// Grows with every change of the question itself; votes do not change it.
    pub revision: i32,
    /// When it was asked.
    pub created_at: Time,
    /// When it last changed; votes do not change it.
    pub updated_at: Time,
}

/// Who asked.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
pub struct Author {
    /// The account's id.
    pub id: Uuid,
    /// What others see. Absent when the account was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Something to vote for.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(skip_serializing_if_is_none, example)]
pub struct Choice {
    #[oai(skip)]
    #[serde(skip_serializing)]
    pub question_id: Uuid,
    /// The choice's id: what a ballot names.
    pub id: Uuid,
    /// What people can choose.
    pub choice_text: String,
    /// 0 comes first.
    pub position: i32,
    /// How many ballots name it. In rankings: as their first choice; with scores: the sum of its
    /// scores. Absent while the results are hidden from you.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<i64>,
}

/// A page of questions.
#[derive(Debug, Object)]
#[oai(example)]
pub struct QuestionPage {
    /// The questions of this page, in the order of the list.
    pub data: Vec<Question>,
    pub meta: PageMeta,
}

/// The choices of a question, all of them.
#[derive(Debug, Object, Serialize)]
#[oai(example)]
pub struct ChoiceList {
    /// The choices, in their order.
    pub data: Vec<Choice>,
    pub meta: PageMeta,
}

impl Question {
    /// A poll at `now`, with its numbers or without.
    pub fn of(poll: &Poll, with_numbers: bool, now: Time) -> Question {
        let question = &poll.question;
        Question {
            id: question.id,
            question_text: question.question_text.clone(),
            description: question.description.clone(),
            author: Author {
                id: question.author_id,
                name: poll.author_name.clone(),
            },
            choices: poll.choices(with_numbers),
            method: question.method,
            seats: question.seats,
            min_choices: question.min_choices,
            max_choices: question.effective_limit(poll.choices.len()),
            max_score: (question.method.ballot_kind() == BallotKind::Scores)
                .then(|| question.effective_max_score()),
            tie_break: question.effective_tie_break(),
            quorum: question.quorum,
            threshold: question.threshold,
            lot_commitment: question.lot_commitment(),
            allow_change: question.allows_change(),
            results_visibility: question.results_visibility,
            electorate: question.electorate,
            ballots_per_address: question.ballots_per_address,
            listed: question.listed,
            ballot_secrecy: question.ballot_secrecy,
            opens_at: question.opens_at,
            closes_at: question.closes_at,
            closed_at: question.closed_at,
            deleted_at: question.deleted_at,
            status: question.status(now),
            ballot_count: with_numbers.then_some(poll.ballot_count),
            revision: question.revision,
            created_at: question.created_at,
            updated_at: question.updated_at,
        }
    }
}

impl ChoiceList {
    /// The choices of a poll, with their votes or without.
    pub fn of(poll: &Poll, with_numbers: bool) -> ChoiceList {
        ChoiceList {
            data: poll.choices(with_numbers),
            meta: PageMeta { next_cursor: None },
        }
    }
}

impl Poll {
    fn choices(&self, with_numbers: bool) -> Vec<Choice> {
        let choices = self.choices.iter();
        choices.map(|choice| choice.shown(with_numbers)).collect()
    }
}

impl Choice {
    /// The choice with its votes or without.
    pub fn shown(&self, with_numbers: bool) -> Choice {
        Choice {
            votes: self.votes.filter(|_| with_numbers),
            ..self.clone()
        }
    }
}

/// The choices of the example's results, so that the numbers are the same everywhere.
impl Example for Poll {
    fn example() -> Self {
        let results = Results::example();
        let author = Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f);
        let draft = Draft {
            closes_at: Some(Time(1_776_369_600_000_000)),
            ..Draft::example()
        };
        let mut question = draft.question(author, results.as_of);
        question.id = results.question_id;
        let choices = results.choices.into_iter().zip(0..);
        let choices = choices.map(|(result, position)| Choice {
            question_id: results.question_id,
            id: result.id,
            choice_text: result.choice_text,
            position,
            votes: Some(result.votes),
        });
        Poll {
            question,
            author_name: Some("露西".to_owned()),
            choices: choices.collect(),
            ballot_count: results.ballot_count,
            abstentions: results.abstentions,
            version: 0,
        }
    }
}

impl Example for Question {
    fn example() -> Self {
        let poll = Poll::example();
        Question::of(&poll, true, poll.question.created_at)
    }
}

impl Example for QuestionPage {
    fn example() -> Self {
        let next = "AAZPkQ5Z4gABljscegB9TpwfWmt8jZ4PsV0zC9nA3kE";
        QuestionPage {
            data: vec![Question::example()],
            meta: PageMeta {
                next_cursor: Some(next.to_owned()),
            },
        }
    }
}

impl Example for Choice {
    fn example() -> Self {
        Poll::example().choices.swap_remove(0)
    }
}

impl Example for ChoiceList {
    fn example() -> Self {
        ChoiceList::of(&Poll::example(), true)
    }
}
