//! What questions and choices look like in the OpenAPI document.

use poem_openapi::types::Example;
use uuid::Uuid;

use super::objects::{
    Author, Choice, ChoiceList, ChoicePatch, ChoiceText, NewChoice, NewQuestion, Question,
    QuestionPage, QuestionPatch, Reopening, Status, Visibility,
};
use crate::clock::Time;
use crate::page::PageMeta;
use crate::patch::Patch;
use crate::results::objects::Results;

impl Example for Question {
    fn example() -> Self {
        let results = Results::example();
        let created_at = Time(1_776_282_436_000_000);
        Question {
            id: results.question_id,
            question_text: "最受欢迎的计算机语言?".to_owned(),
            description: Some("Name the one that you like best.".to_owned()),
            author: Author {
                id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
                name: Some("露西".to_owned()),
            },
            choices: ChoiceList::example().data,
            min_choices: 1,
            max_choices: 1,
            allow_change: true,
            results_visibility: Visibility::Always,
            opens_at: None,
            closes_at: Some(Time(1_776_369_600_000_000)),
            closed_at: None,
            deleted_at: None,
            status: Status::Open,
            ballot_count: Some(results.ballot_count),
            revision: 1,
            created_at,
            updated_at: created_at,
        }
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
        ChoiceList::example().data.swap_remove(0)
    }
}

/// The choices of the example's results, so that the numbers are the same everywhere.
impl Example for ChoiceList {
    fn example() -> Self {
        let results = Results::example().choices.into_iter();
        let choices = results.zip(0..).map(|(result, position)| Choice {
            id: result.id,
            choice_text: result.choice_text,
            position,
            votes: Some(result.votes),
        });
        ChoiceList {
            data: choices.collect(),
            meta: PageMeta { next_cursor: None },
        }
    }
}

impl Example for NewQuestion {
    fn example() -> Self {
        let choice = |text: &str| ChoiceText {
            choice_text: text.to_owned(),
        };
        NewQuestion {
            question_text: "最受欢迎的计算机语言?".to_owned(),
            description: Some("Name the one that you like best.".to_owned()),
            choices: vec![choice("python"), choice("java"), choice("go")],
            min_choices: 1,
            max_choices: 1,
            allow_change: true,
            results_visibility: Visibility::Always,
            opens_at: None,
            closes_at: None,
        }
    }
}

impl Example for QuestionPatch {
    fn example() -> Self {
        QuestionPatch {
            question_text: None,
            description: Patch::Set("Name the one that you like best.".to_owned()),
            min_choices: None,
            max_choices: None,
            allow_change: None,
            results_visibility: None,
            opens_at: Patch::Unchanged,
            closes_at: Patch::Cleared,
        }
    }
}

impl Example for NewChoice {
    fn example() -> Self {
        NewChoice {
            choice_text: "rust".to_owned(),
            position: Some(0),
        }
    }
}

impl Example for ChoicePatch {
    fn example() -> Self {
        ChoicePatch {
            choice_text: None,
            position: Some(1),
        }
    }
}

impl Example for Reopening {
    fn example() -> Self {
        Reopening {
            closes_at: Some(Time(1_776_369_600_000_000)),
        }
    }
}
