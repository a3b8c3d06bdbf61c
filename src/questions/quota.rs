//! How much one account may ask: questions and invitations by mail in a day, and text altogether.
//!
//! What an account has used is one row, which is updated in the transaction that asks the question
//! or changes the text. The lock of the row makes other transactions of the same account wait, so
//! the sums that are compared with the quotas are exact.

use bytesize::ByteSize;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{CaseStatement, OnConflict};
use sea_orm::{ExprTrait as _, IntoActiveModel as _};

use super::usage::{Column, Entity, Model};
use super::{Draft, Question};
use crate::clock::Time;
use crate::config;
use crate::db::Transaction;
use crate::failure::{Code, Failure};

const DAY: i64 = 24 * 60 * 60;

/// What an account may use.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// None if the quotas are switched off. Then nothing is counted either.
    limits: Option<Limits>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    questions_per_day: u32,
    invitation_mails_per_day: u32,
    /// In bytes.
    text_per_account: u64,
}

/// What a change uses; less than nothing where text becomes shorter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Use {
    questions: i32,
    invitation_mails: i32,
    /// Bytes of UTF-8.
    text: i64,
}

impl Use {
    /// One question.
    pub fn of_draft(draft: &Draft) -> Use {
        let choices = draft.choices.iter().map(|choice| choice.choice_text.len());
        let text = length(&draft.question_text, draft.description.as_deref())
            + bytes(choices.sum::<usize>());
        Use {
            questions: 1,
            text,
            ..Use::default()
        }
    }

    /// Text in bytes; less than nothing where it is removed.
    pub fn of_text(text: i64) -> Use {
        Use {
            text,
            ..Use::default()
        }
    }

    /// Invitations that are sent by mail.
    pub fn of_invitation_mails(mails: usize) -> Use {
        Use {
            invitation_mails: i32::try_from(mails).unwrap_or(i32::MAX),
            ..Use::default()
        }
    }

    /// The difference between two states of a question.
    pub fn of_change(before: &Question, after: &Question) -> Use {
        let length =
            |question: &Question| length(&question.question_text, question.description.as_deref());
        Use::of_text(length(after) - length(before))
    }

    /// The difference between two texts of a choice.
    pub fn of_choice(before: &str, after: &str) -> Use {
        Use::of_text(bytes(after.len()) - bytes(before.len()))
    }
}

fn length(question_text: &str, description: Option<&str>) -> i64 {
    bytes(question_text.len() + description.map_or(0, str::len))
}

fn bytes(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Quotas {
    /// For what an operator does.
    pub const UNLIMITED: Quotas = Quotas { limits: None };

    pub fn new(config: &config::Limits) -> Quotas {
        Quotas {
            limits: config.enabled.then_some(Limits {
                questions_per_day: config.questions_per_day,
                invitation_mails_per_day: config.invitation_mails_per_day,
                text_per_account: config.text_per_account,
            }),
        }
    }

    /// Adds to what the account of `author` has used, in this transaction. [`Code::QuotaExceeded`]
    /// if the sum is above the quota; shortening texts is always allowed.
    pub async fn charge(
        &self,
        transaction: &Transaction,
        author: Uuid,
        used: Use,
        now: Time,
    ) -> Result<(), Failure> {
        let Some(limits) = self.limits.filter(|_| used != Use::default()) else {
            return Ok(());
        };
        let today = i32::try_from(now.seconds().div_euclid(DAY)).unwrap_or(i32::MAX);
        let first = Model {
            author_id: author,
            day: today,
            questions: used.questions,
            invitation_mails: used.invitation_mails,
            bytes: used.text,
        };
        // The order matters: in MariaDB an assignment sees the values of those before it.
        let column = |column: Column| Expr::col((Entity, column));
        let is_new_day = column(Column::Day).lt(today);
        let of_day = |counter: Column, used: i32| {
            let sum = CaseStatement::new()
                .case(is_new_day.clone(), Expr::value(used))
                .finally(column(counter).add(used));
            Expr::Case(Box::new(sum))
        };
        let questions = of_day(Column::Questions, used.questions);
        let invitation_mails = of_day(Column::InvitationMails, used.invitation_mails);
        // If the clock of another process is a day ahead, its day stays.
        let day = CaseStatement::new()
            .case(is_new_day.clone(), Expr::value(today))
            .finally(column(Column::Day));
        let adding = OnConflict::column(Column::AuthorId)
            .value(Column::Questions, questions)
            .value(Column::InvitationMails, invitation_mails)
            .value(Column::Day, Expr::Case(Box::new(day)))
            .value(Column::Bytes, column(Column::Bytes).add(used.text))
            .to_owned();
        Entity::insert(first.into_active_model())
            .on_conflict(adding)
            .exec_without_returning(transaction)
            .await?;
        let total = Entity::find_by_id(author).one(transaction).await?;
        match total {
            Some(total) => limits.check(used, &total),
            None => Err(Failure::internal("the usage that was written is not there")),
        }
    }
}

impl Limits {
    fn check(&self, used: Use, total: &Model) -> Result<(), Failure> {
        let next = Time((i64::from(total.day) + 1).saturating_mul(DAY * 1_000_000));
        let most = i64::from(self.questions_per_day);
        if used.questions > 0 && i64::from(total.questions) > most {
            let detail = format!(
                "This account may ask {most} questions a day (UTC) and has done so; it can ask \
                 again from {next}. The operator can raise limits.questions_per_day."
            );
            return Err(Failure::new(Code::QuotaExceeded, detail));
        }
        let most = i64::from(self.invitation_mails_per_day);
        if used.invitation_mails > 0 && i64::from(total.invitation_mails) > most {
            let detail = format!(
                "This account may send {most} invitations by mail a day (UTC), and this would be \
                 more; it can send them again from {next}. The operator can raise \
                 limits.invitation_mails_per_day."
            );
            return Err(Failure::new(Code::QuotaExceeded, detail));
        }
        let most = self.text_per_account;
        if used.text > 0 && u64::try_from(total.bytes).is_ok_and(|bytes| bytes > most) {
            let detail = format!(
                "All questions, choices and invitations of their author together may have {} of \
                 text, and this would be more. Shorten what is there, or have the operator raise \
                 limits.text_per_account.",
                ByteSize(most).display().iec()
            );
            return Err(Failure::new(Code::QuotaExceeded, detail));
        }
        Ok(())
    }
}
