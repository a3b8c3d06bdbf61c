//! Short sentences about a question, for pictures and previews: in Chinese where the question is,
//! else in English.

use super::Results;
use crate::clock::Time;
use crate::questions::{Question, Status, Visibility};

/// The language of the sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    English,
    Chinese,
}

impl Words {
    /// The language for a question with this text.
    pub fn of(question_text: &str) -> Words {
        let chinese =
            |letter| matches!(letter, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}');
        match question_text.contains(chinese) {
            true => Words::Chinese,
            false => Words::English,
        }
    }

    /// The language tag for HTML.
    pub fn tag(self) -> &'static str {
        match self {
            Words::English => "en",
            Words::Chinese => "zh",
        }
    }

    /// Whether one may vote at `now`, and from or until when.
    pub fn state(self, question: &Question, now: Time) -> String {
        let status = question.status(now);
        let time = match status {
            Status::Scheduled => question.opens_at,
            Status::Open => question.closes_at,
            Status::Closed => None,
        };
        let time = time.map(minute);
        match (self, status, time) {
            (Words::English, Status::Scheduled, Some(time)) => format!("Voting opens {time} UTC"),
            (Words::English, Status::Scheduled, None) => "Voting is not open yet".to_owned(),
            (Words::English, Status::Open, Some(time)) => format!("Open until {time} UTC"),
            (Words::English, Status::Open, None) => "Open".to_owned(),
            (Words::English, Status::Closed, _) => "Closed".to_owned(),
            (Words::Chinese, Status::Scheduled, Some(time)) => {
                format!("投票将于 {time}(UTC)开始")
            }
            (Words::Chinese, Status::Scheduled, None) => "投票尚未开始".to_owned(),
            (Words::Chinese, Status::Open, Some(time)) => format!("投票截至 {time}(UTC)"),
            (Words::Chinese, Status::Open, None) => "投票进行中".to_owned(),
            (Words::Chinese, Status::Closed, _) => "投票已结束".to_owned(),
        }
    }

    /// Why the numbers are not shown to everybody.
    pub fn hidden(self, visibility: Visibility) -> &'static str {
        match (self, visibility) {
            (Words::English, Visibility::AfterVote) => "The results are shown once you have voted.",
            (Words::English, Visibility::AfterClose) => {
                "The results are shown once voting has closed."
            }
            (Words::English, _) => "Only the author can see the results.",
            (Words::Chinese, Visibility::AfterVote) => "投票后可查看结果。",
            (Words::Chinese, Visibility::AfterClose) => "投票结束后公布结果。",
            (Words::Chinese, _) => "结果仅发起人可见。",
        }
    }

    pub fn ballots(self, ballots: i64) -> String {
        match (self, ballots) {
            (Words::English, 1) => "1 voter".to_owned(),
            (Words::English, _) => format!("{ballots} voters"),
            (Words::Chinese, _) => format!("{ballots} 人参与"),
        }
    }

    pub fn more_choices(self, choices: usize) -> String {
        match (self, choices) {
            (Words::English, 1) => "1 more choice".to_owned(),
            (Words::English, _) => format!("{choices} more choices"),
            (Words::Chinese, _) => format!("另有 {choices} 个选项"),
        }
    }

    pub fn is_final(self) -> &'static str {
        match self {
            Words::English => "final",
            Words::Chinese => "最终结果",
        }
    }

    /// Which choice leads; none where several are tied, or nobody has voted.
    pub fn leader(self, results: &Results) -> Option<String> {
        let [leader] = results.leading_choice_ids[..] else {
            return None;
        };
        let leader = results.choices.iter().find(|choice| choice.id == leader)?;
        let text = &leader.choice_text;
        Some(match self {
            Words::English => format!("{text} leads"),
            Words::Chinese => format!("{text} 领先"),
        })
    }
}

/// A part of an English or Chinese sentence that is written in whatever direction it is (UAX #9).
pub fn isolated(text: &str) -> String {
    format!("\u{2068}{text}\u{2069}")
}

/// A part of a whole in per cent, with at most one decimal.
pub fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round() / 10.0;
    format!("{tenths}%")
}

/// A time, to the minute: `2026-12-01 12:00`.
fn minute(time: Time) -> String {
    let time = time.to_string();
    let minute = time.get(..16).unwrap_or(&time);
    minute.replace('T', " ")
}
