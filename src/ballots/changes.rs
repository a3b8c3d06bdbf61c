//! What a batch of ballots changes in the tables.

use std::collections::BTreeMap;

use sea_orm::DbErr;
use uuid::Uuid;

use super::method::{self, Marks, Ordinals};
use super::{BallotKey, KEY_COLUMNS, profile};
use crate::clock::Time;
use crate::db::{self, Column, Rows, Script, Transaction};
use crate::questions::network_ballots::{self, Counter};
use crate::tally::Method;

/// Everything that a batch writes after it has inserted its first ballots.
#[derive(Default)]
pub(super) struct Changes {
    /// Ballots with other marks than before.
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
    ballots: BTreeMap<Uuid, BallotChange>,
    /// The change in the number of ballots that are alike: question and [key](profile::key).
    profiles: BTreeMap<(Uuid, Vec<u8>), i64>,
    /// What is taken from the counters of networks.
    networks: Vec<(Counter, i64)>,
}

#[derive(Default)]
struct BallotChange {
    ballots: i64,
    abstentions: i64,
}

impl Changes {
    /// Begins with the numbers of ballots that were added when the slots were taken. They are
    /// subtracted here; what the batch really does is added.
    pub(super) fn correcting<'a>(assumed: impl Iterator<Item = (&'a Uuid, &'a i64)>) -> Changes {
        Changes {
            ballots: assumed
                .map(|(question, assumed)| {
                    let change = BallotChange {
                        ballots: -assumed,
                        abstentions: 0,
                    };
                    (*question, change)
                })
                .collect(),
            ..Changes::default()
        }
    }

    /// A first ballot, which is inserted already.
    pub(super) fn first(
        &mut self,
        key: BallotKey,
        method: Method,
        choices: &Ordinals,
        marks: &Marks,
    ) {
        self.ballots.entry(key.0).or_default().ballots += 1;
        self.mark(key, marks);
        self.count(key.0, method, choices, marks, 1);
    }

    /// A ballot that is inserted already, and refused after all.
    pub(super) fn discard(&mut self, key: BallotKey) {
        self.withdrawn_ballots.push(&[key.0, key.1], &[]);
    }

    /// Ballots that were added to the counters of networks, and refused after all.
    pub(super) fn correct_networks(&mut self, corrections: Vec<(Counter, i64)>) {
        self.networks = corrections;
    }

    /// A first ballot that is anonymous, and is inserted already with its marks.
    pub(super) fn first_anonymous(
        &mut self,
        question: Uuid,
        method: Method,
        choices: &Ordinals,
        marks: &Marks,
    ) {
        self.ballots.entry(question).or_default().ballots += 1;
        self.count(question, method, choices, marks, 1);
    }

    pub(super) fn change(
        &mut self,
        key: BallotKey,
        method: Method,
        choices: &Ordinals,
        (before, after): (&Marks, &Marks),
    ) {
        self.changed_ballots.push(&[key.0, key.1], &[]);
        self.unmarked_ballots.push(&[key.0, key.1], &[]);
        self.count(key.0, method, choices, before, -1);
        self.mark(key, after);
        self.count(key.0, method, choices, after, 1);
    }

    pub(super) fn withdraw(
        &mut self,
        key: BallotKey,
        method: Method,
        choices: &Ordinals,
        before: &Marks,
    ) {
        self.ballots.entry(key.0).or_default().ballots -= 1;
        self.withdrawn_ballots.push(&[key.0, key.1], &[]);
        self.unmarked_ballots.push(&[key.0, key.1], &[]);
        self.count(key.0, method, choices, before, -1);
    }

    fn mark(&mut self, key: BallotKey, marks: &Marks) {
        for (choice, value) in marks {
            let ids = [key.0, key.1, *choice];
            self.new_marks.push(&ids, &[i64::from(*value)]);
        }
    }

    /// Adds a ballot to the counters, or takes it from them.
    fn count(
        &mut self,
        question: Uuid,
        method: Method,
        choices: &Ordinals,
        marks: &Marks,
        sign: i64,
    ) {
        for (choice, value) in marks {
            *self.votes.entry(*choice).or_default() += sign * method::votes(method, *value);
        }
        if marks.is_empty() {
            self.ballots.entry(question).or_default().abstentions += sign;
        }
        if let Some(ballot) = profile::key(method, marks, choices) {
            *self.profiles.entry((question, ballot)).or_default() += sign;
        }
    }

    /// Writes all changes, the counts into the `slot` of this process.
    pub(super) async fn apply(self, db: &Transaction, slot: i32, now: Time) -> Result<(), DbErr> {
        let mark_columns = [
            Column::Id("question_id"),
            Column::Id("user_id"),
            Column::Id("choice_id"),
            Column::Integer("value"),
        ];
        let insert_marks = format!(
            "INSERT INTO ballot_marks (question_id, user_id, choice_id, value) \
             SELECT question_id, user_id, choice_id, value FROM {}",
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
            "INSERT INTO question_shards (question_id, shard, seq, ballots, abstentions) \
             SELECT question_id, {slot}, 0, ballots, abstentions FROM {rows} WHERE true {adding}",
            rows = db::rows(
                db,
                "r",
                &[
                    Column::Id("question_id"),
                    Column::Integer("ballots"),
                    Column::Integer("abstentions")
                ]
            ),
            adding = db::adding(
                db,
                "question_shards",
                "question_id, shard",
                &["ballots", "abstentions"]
            ),
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
            (add_votes, changed_votes(self.votes)),
            (add_ballots, changed_ballots(self.ballots)),
        ] {
            if !rows.is_empty() {
                script.then(sql, [rows.to_value()]);
            }
        }
        profile::add(db, &mut script, slot, self.profiles);
        network_ballots::add(db, &mut script, &self.networks);
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

/// The choices whose votes change, with the change.
fn changed_votes(changes: BTreeMap<Uuid, i64>) -> Rows {
    let mut rows = Rows::new();
    for (choice, change) in changes {
        if change != 0 {
            rows.push(&[choice], &[change]);
        }
    }
    rows
}

/// The questions whose number of ballots or abstentions changes, with the changes.
fn changed_ballots(changes: BTreeMap<Uuid, BallotChange>) -> Rows {
    let mut rows = Rows::new();
    for (question, change) in changes {
        if change.ballots != 0 || change.abstentions != 0 {
            rows.push(&[question], &[change.ballots, change.abstentions]);
        }
    }
    rows
}
