//! What a batch of ballots changes in the tables.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::DbErr;
use uuid::Uuid;

use super::{BallotKey, KEY_COLUMNS};
use crate::clock::Time;
use crate::db::{self, Column, Rows, Script, Transaction};

/// Everything that a batch writes after it has inserted its first ballots.
#[derive(Default)]
pub(super) struct Changes {
    /// Ballots that name other choices than before.
    changed_ballots: Rows,
    withdrawn_ballots: Rows,
    /// Ballots of which all marks are deleted.
    unmarked_ballots: Rows,
    new_marks: Rows,
    /// The change in votes of each choice. Sorted, as everywhere, so that two transactions cannot
    /// wait for each other.
    votes: BTreeMap<Uuid, i64>,
    /// The change in ballots of each question, compared with what was added when its slot was
    /// taken.
    ballots: BTreeMap<Uuid, i64>,
}

impl Changes {
    /// Begins with the numbers of ballots that were added when the slots were taken. They are
    /// subtracted here; what the batch really does is added.
    pub(super) fn correcting<'a>(assumed: impl Iterator<Item = (&'a Uuid, &'a i64)>) -> Changes {
        Changes {
            ballots: assumed
                .map(|(question, ballots)| (*question, -ballots))
                .collect(),
            ..Changes::default()
        }
    }

    /// A first ballot, which is inserted already.
    pub(super) fn first(&mut self, key: BallotKey, chosen: &BTreeSet<Uuid>) {
        *self.ballots.entry(key.0).or_default() += 1;
        self.mark(key, chosen);
    }

    pub(super) fn change(&mut self, key: BallotKey, before: &[Uuid], chosen: &BTreeSet<Uuid>) {
        self.changed_ballots.push(&[key.0, key.1], &[]);
        self.unmark(key, before);
        self.mark(key, chosen);
    }

    pub(super) fn withdraw(&mut self, key: BallotKey, before: &[Uuid]) {
        *self.ballots.entry(key.0).or_default() -= 1;
        self.withdrawn_ballots.push(&[key.0, key.1], &[]);
        self.unmark(key, before);
    }

    fn mark(&mut self, key: BallotKey, chosen: &BTreeSet<Uuid>) {
        for choice in chosen {
            self.new_marks.push(&[key.0, key.1, *choice], &[]);
            *self.votes.entry(*choice).or_default() += 1;
        }
    }

    fn unmark(&mut self, key: BallotKey, before: &[Uuid]) {
        self.unmarked_ballots.push(&[key.0, key.1], &[]);
        for choice in before {
            *self.votes.entry(*choice).or_default() -= 1;
        }
    }

    /// Writes all changes, the counts into the `slot` of this process.
    pub(super) async fn apply(self, db: &Transaction, slot: i32, now: Time) -> Result<(), DbErr> {
        let mark_columns = ["question_id", "user_id", "choice_id"].map(Column::Id);
        let insert_marks = format!(
            "INSERT INTO ballot_marks (question_id, user_id, choice_id) \
             SELECT question_id, user_id, choice_id FROM {}",
            db::rows(db, "r", &mark_columns),
        );
        let add_votes = format!(
            "INSERT INTO choice_shards (choice_id, shard, votes) \
             SELECT choice_id, {slot}, votes FROM {rows} WHERE true {adding}",
            rows = db::rows(
                db,
                "r",
                &[Column::Id("choice_id"), Column::Integer("votes")]
            ),
            adding = db::adding(db, "choice_shards", "choice_id, shard", &["votes"]),
        );
        let add_ballots = format!(
            "INSERT INTO question_shards (question_id, shard, seq, ballots) \
             SELECT question_id, {slot}, 0, ballots FROM {rows} WHERE true {adding}",
            rows = db::rows(
                db,
                "r",
                &[Column::Id("question_id"), Column::Integer("ballots")]
            ),
            adding = db::adding(db, "question_shards", "question_id, shard", &["ballots"]),
        );
        let mut script = Script::default();
        for (sql, rows) in [
            (
                db::delete(db, "ballot_marks", &KEY_COLUMNS),
                self.unmarked_ballots,
            ),
            (
                db::delete(db, "ballots", &KEY_COLUMNS),
                self.withdrawn_ballots,
            ),
            (insert_marks, self.new_marks),
            (add_votes, nonzero(self.votes)),
            (add_ballots, nonzero(self.ballots)),
        ] {
            if !rows.is_empty() {
                script.then(sql, [rows.to_value()]);
            }
        }
        if !self.changed_ballots.is_empty() {
            let set_updated_at = db::set(db, "ballots", "updated_at", &KEY_COLUMNS);
            script.then(
                set_updated_at,
                [now.into(), self.changed_ballots.to_value()],
            );
        }
        script.run(db).await
    }
}

/// Ids with their changes as rows, without those that did not change.
fn nonzero(changes: BTreeMap<Uuid, i64>) -> Rows {
    let mut rows = Rows::new();
    for (id, change) in changes {
        if change != 0 {
            rows.push(&[id], &[change]);
        }
    }
    rows
}
