//! The ballots of one account.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;

use super::{Ballot, BallotKey, read};
use crate::db;
use crate::page::{Cursor, Page, PageRequest};
use crate::questions::{Question, entity as questions};

/// A ballot and the question that it is on.
#[derive(Debug)]
pub struct Mine {
    pub ballot: Ballot,
    pub question: Question,
}

/// Which ballots of an account are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those on questions that are not deleted.
    OnQuestions,
    /// All of them.
    All,
}

/// A page of the ballots of an account, those that were cast last first.
pub(super) async fn page(
    db: &impl ConnectionTrait,
    user: Uuid,
    which: Which,
    page: PageRequest,
) -> Result<Page<Mine>, DbErr> {
    let mut values = vec![user.into()];
    let mut conditions = String::new();
    if let Some(last) = page.after {
        // MySQL can seek in an index by a column, but not by a row value.
        conditions += " AND b.cast_at <= ? AND (b.cast_at < ? OR b.question_id < ?)";
        values.extend([last.key.into(), last.key.into(), last.id.into()]);
    }
    if which == Which::OnQuestions {
        conditions += " AND q.deleted_at IS NULL";
    }
    let sql = format!(
        "SELECT b.cast_at, b.question_id FROM ballots b {} questions q ON q.id = b.question_id \
         WHERE b.user_id = ?{conditions} \
         ORDER BY b.cast_at DESC, b.question_id DESC LIMIT {}",
        db::join(db),
        page.to_read(),
    );
    let rows = db.query_all_raw(db::statement(db, &sql, values)).await?;
    let key = |row: &QueryResult| {
        Ok(Cursor {
            key: row.try_get_by_index(0)?,
            id: row.try_get_by_index(1)?,
        })
    };
    let keys = rows
        .iter()
        .map(key)
        .collect::<Result<Vec<Cursor>, DbErr>>()?;
    let keys = Page::new(keys, page.limit, |key| *key);
    let ids: Vec<Uuid> = keys.items.iter().map(|key| key.id).collect();
    Ok(Page {
        items: with_questions(db, user, &ids).await?,
        next: keys.next,
    })
}

/// The ballots on these questions, in this order. One that was withdrawn meanwhile is left out.
async fn with_questions(
    db: &impl ConnectionTrait,
    user: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Mine>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = questions::Entity::find().filter(questions::Column::Id.is_in(ids.iter().copied()));
    let found = found.all(db).await?.into_iter();
    let mut found: HashMap<Uuid, Question> =
        found.map(|question| (question.id, question)).collect();
    let key = |id: &Uuid| -> BallotKey { (*id, user) };
    let mut ballots = read(db, ids.iter().map(key)).await?;
    let mine = ids.iter().filter_map(|id| {
        let (question, stored) = (found.remove(id)?, ballots.remove(&key(id))?);
        let ballot = Ballot::of(&question, &stored);
        Some(Mine { ballot, question })
    });
    Ok(mine.collect())
}
