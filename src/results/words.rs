//! Short sentences about a question, for pictures and previews: in Chinese where the question is,
//! else in English.

use uuid::Uuid;

use super::{BallotResults, Results};
use crate::clock::Time;
use crate::questions::{Question, Status, Visibility};
use crate::tally::Status as Decision;

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
                format!("投票将于 {time}（UTC）开始")
            }
            (Words::Chinese, Status::Scheduled, None) => "投票尚未开始".to_owned(),
            (Words::Chinese, Status::Open, Some(time)) => {
                format!("投票将于 {time}（UTC）截止")
            }
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

    /// The outcome in a sentence; none as long as nobody has voted.
    pub fn outcome(self, results: &Results) -> Option<String> {
        let outcome = &results.outcome;
        let names = |ids: &[Uuid]| {
            let choices = results.choices.iter();
            let names: Vec<&str> = ids
                .iter()
                .filter_map(|id| choices.clone().find(|choice| choice.id == *id))
                .map(|choice| choice.choice_text.as_str())
                .collect();
            match self {
                Words::English => names.join(", "),
                Words::Chinese => names.join("、"),
            }
        };
        let elected = names(&outcome.elected_choice_ids);
        let tied = names(&outcome.tied_choice_ids);
        let is_final = results.is_final;
        Some(match (self, outcome.status) {
            (_, Decision::NoVotes) => return None,
            (Words::English, Decision::NoQuorum) => "Too few ballots: no quorum".to_owned(),
            (Words::Chinese, Decision::NoQuorum) => "投票人数未达到法定人数".to_owned(),
            (Words::English, Decision::BelowThreshold) => {
                "No choice has reached the threshold".to_owned()
            }
            (Words::Chinese, Decision::BelowThreshold) => "没有选项达到当选所需的比例".to_owned(),
            (Words::English, Decision::Tied) if elected.is_empty() => format!("Tied: {tied}"),
            (Words::English, Decision::Tied) => format!("Elected: {elected}; tied: {tied}"),
            (Words::Chinese, Decision::Tied) if elected.is_empty() => format!("并列：{tied}"),
            (Words::Chinese, Decision::Tied) => format!("当选：{elected}；并列：{tied}"),
            (Words::English, Decision::Decided) if is_final && outcome.decided_by_lot => {
                format!("Elected, by lot: {elected}")
            }
            (Words::English, Decision::Decided) if is_final => format!("Elected: {elected}"),
            (Words::English, Decision::Decided) => format!("Ahead: {elected}"),
            (Words::Chinese, Decision::Decided) if is_final && outcome.decided_by_lot => {
                format!("抽签当选：{elected}")
            }
            (Words::Chinese, Decision::Decided) if is_final => format!("当选：{elected}"),
            (Words::Chinese, Decision::Decided) => format!("领先：{elected}"),
        })
    }

    /// Which choice leads; none where several are tied, nobody has voted, or the votes do not tell.
    pub fn leader(self, results: &BallotResults) -> Option<String> {
        if results.method.needs_profile() {
            return None;
        }
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
