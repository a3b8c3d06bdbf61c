//! Compares the tallies with the ballots, and corrects them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{FromQueryResult, QueryResult, QuerySelect as _, Set};
use serde::Deserialize;

use super::{entity, method, profile, shard};
use crate::db::{self, Column, Db, PACKED, Packed, Script, Transaction};
use crate::failure::Failure;
use crate::questions::BallotSecrecy;
use crate::questions::entity as questions;
use crate::questions::{choices, slot};
use crate::tally::Method;

/// A tally that differs from the ballots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub question_id: Uuid,
    pub of: Tally,
    /// The number in the tally.
    pub tallied: i64,
    /// The number by the ballots or marks.
    pub counted: i64,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tally {
    Ballots,
    /// Ballots that choose nothing.
    Abstentions,
    /// The votes of a choice.
    Votes(Uuid),
    /// Ballots that are alike: the choices that they name, best first, or with their scores. None is
    /// a choice that does not exist.
    Alike(Vec<(Option<Uuid>, Option<u8>)>),
    /// So many further numbers of ballots that are alike. `tallied` and `counted` are their sums.
    FurtherAlike(usize),
    /// The roll of an anonymous question: `tallied` are its voters, `counted` its ballots. Nothing can
    /// mend it.
    Roll,
}

/// How many differences between ballots that are alike are told one by one, for each question.
const ALIKE: usize = 5;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tallied, counted) = (self.tallied, self.counted);
        write!(f, "question {}, ", self.question_id)?;
        match &self.of {
            Tally::Ballots => f.write_str("ballots")?,
            Tally::Abstentions => f.write_str("abstentions")?,
            Tally::Votes(choice) => write!(f, "choice {choice}")?,
            Tally::Alike(choices) => {
                f.write_str("ballots for")?;
                for (place, (choice, score)) in choices.iter().enumerate() {
                    f.write_str(if place == 0 { " " } else { ", " })?;
                    match choice {
                        Some(choice) => write!(f, "{choice}")?,
                        None => f.write_str("an unknown choice")?,
                    }
                    if let Some(score) = score {
                        write!(f, " (score {score})")?;
                    }
                }
            }
            Tally::FurtherAlike(numbers) => {
                write!(
                    f,
                    "ballots that are alike, {numbers} further numbers together"
                )?;
            }
            Tally::Roll => {
                return write!(
                    f,
                    "roll: {tallied} have voted, and there are {counted} anonymous ballots; nothing can \
                     mend this"
                );
            }
        }
        write!(f, ": the tally says {tallied}, the ballots {counted}")
    }
}

/// Compares every tally with the ballots: all numbers in one statement, and each profile in one.
pub async fn check(db: &Db) -> Result<Vec<Difference>, DbErr> {
    let mut differences = check_numbers(db).await?;
    for (question, method, secrecy) in questions_with_profile(db).await? {
        differences.extend(check_profile(db, question, method, secrecy).await?);
    }
    Ok(differences)
}

/// A query for the votes of each choice, by the marks of a table.
fn votes_in(marks: &str) -> String {
    format!(
        "SELECT m.choice_id, SUM({}) AS n FROM {marks} m \
         JOIN questions q ON q.id = m.question_id GROUP BY m.choice_id",
        method::votes_sql()
    )
}

/// The ballots that choose nothing. The roll of an anonymous question has no marks either.
const EMPTY: &str = "SELECT b.question_id FROM ballots b \
     JOIN questions q ON q.id = b.question_id \
     LEFT JOIN ballot_marks m ON m.question_id = b.question_id AND m.user_id = b.user_id \
     WHERE m.user_id IS NULL AND q.ballot_secrecy <> 'anonymous' \
     UNION ALL \
     SELECT b.question_id FROM anonymous_ballots b \
     LEFT JOIN anonymous_marks m ON m.question_id = b.question_id \
       AND m.sealed = b.sealed AND m.receipt = b.receipt \
     WHERE m.receipt IS NULL";

async fn check_numbers(db: &Db) -> Result<Vec<Difference>, DbErr> {
    let integer = |expression| db::integer(db.read(), expression);
    // The votes come first: PostgreSQL takes the type of a column from the first two queries.
    let sql = format!(
        "SELECT c.question_id AS question_id, c.id AS choice_id, {votes_of} AS of_what, \
           {tallied} AS tallied, {counted} AS counted \
         FROM choices c \
         LEFT JOIN (SELECT choice_id, SUM(votes) AS n FROM choice_shards \
                    GROUP BY choice_id) s ON s.choice_id = c.id \
         LEFT JOIN ({named} UNION ALL {anonymous}) b ON b.choice_id = c.id \
         WHERE COALESCE(s.n, 0) <> COALESCE(b.n, 0) \
         UNION ALL \
         SELECT q.id, NULL, {ballots}, {tallied}, {counted} \
         FROM questions q \
         LEFT JOIN (SELECT question_id, SUM(ballots) AS n FROM question_shards \
                    GROUP BY question_id) s ON s.question_id = q.id \
         LEFT JOIN (SELECT question_id, COUNT(*) AS n FROM ballots \
                    GROUP BY question_id) b ON b.question_id = q.id \
         WHERE COALESCE(s.n, 0) <> COALESCE(b.n, 0) \
         UNION ALL \
         SELECT q.id, NULL, {abstentions}, {tallied}, {counted} \
         FROM questions q \
         LEFT JOIN (SELECT question_id, SUM(abstentions) AS n FROM question_shards \
                    GROUP BY question_id) s ON s.question_id = q.id \
         LEFT JOIN (SELECT e.question_id, COUNT(*) AS n FROM ({EMPTY}) AS e \
                    GROUP BY e.question_id) b ON b.question_id = q.id \
         WHERE COALESCE(s.n, 0) <> COALESCE(b.n, 0) \
         UNION ALL \
         SELECT q.id, NULL, {roll}, {tallied}, {counted} \
         FROM questions q \
         LEFT JOIN (SELECT question_id, COUNT(*) AS n FROM ballots \
                    GROUP BY question_id) s ON s.question_id = q.id \
         LEFT JOIN (SELECT question_id, COUNT(*) AS n FROM anonymous_ballots \
                    GROUP BY question_id) b ON b.question_id = q.id \
         WHERE q.ballot_secrecy = 'anonymous' AND COALESCE(s.n, 0) <> COALESCE(b.n, 0)",
        votes_of = integer("0"),
        ballots = integer("1"),
        abstentions = integer("2"),
        roll = integer("3"),
        tallied = integer("COALESCE(s.n, 0)"),
        counted = integer("COALESCE(b.n, 0)"),
        // Each choice is in one of the two.
        named = votes_in("ballot_marks"),
        anonymous = votes_in("anonymous_marks"),
    );
    let statement = db::statement(db.read(), &sql, []);
    let rows = Row::find_by_statement(statement).all(db.read()).await?;
    Ok(rows.into_iter().map(Row::difference).collect())
}

#[derive(FromQueryResult)]
struct Row {
    question_id: Uuid,
    choice_id: Option<Uuid>,
    of_what: i64,
    tallied: i64,
    counted: i64,
}

impl Row {
    fn difference(self) -> Difference {
        Difference {
            question_id: self.question_id,
            of: match (self.choice_id, self.of_what) {
                (Some(choice), _) => Tally::Votes(choice),
                (None, 1) => Tally::Ballots,
                (None, 2) => Tally::Abstentions,
                (None, _) => Tally::Roll,
            },
            tallied: self.tallied,
            counted: self.counted,
        }
    }
}

async fn questions_with_profile(db: &Db) -> Result<Vec<(Uuid, Method, BallotSecrecy)>, DbErr> {
    let methods = Method::ALL.into_iter();
    let methods = methods.filter(|method| method::keeps_profile(*method));
    questions::Entity::find()
        .select_only()
        .columns([
            questions::Column::Id,
            questions::Column::Method,
            questions::Column::BallotSecrecy,
        ])
        .filter(questions::Column::Method.is_in(methods))
        .into_tuple()
        .all(db.read())
        .await
}

/// How many ballots are alike: by key.
type Counts = HashMap<Vec<u8>, i64>;

async fn check_profile(
    db: &Db,
    question: Uuid,
    method: Method,
    secrecy: BallotSecrecy,
) -> Result<Vec<Difference>, DbErr> {
    let reader = db.read();
    let (marks, ballots) = (
        marks_sql(reader, secrecy),
        profile::ballots_sql(reader, 100_000),
    );
    let sql = db::document_rows(reader, &[(&MARKS, &marks), (&PACKED, &ballots)]);
    let statement = db::statement(reader, &sql, [question.into(), question.into()]);
    let (counted, tallied) = reader
        .fold(
            statement,
            || (Counts::new(), Counts::new()),
            |(counted, tallied), row| {
                count_marks(&row, method, counted)?;
                for packed in db::documents_of::<Packed>(&row, 1)? {
                    packed.unpack(|key, ballots| {
                        tallied.insert(key.to_vec(), ballots);
                        Ok(())
                    })?;
                }
                Ok(())
            },
        )
        .await?;
    let mut different = different(&tallied, &counted);
    let further = different.split_off(ALIKE.min(different.len()));
    if different.is_empty() {
        return Ok(Vec::new());
    }
    let choices = choices::of(reader, question).await?;
    let choice = |ordinal: u8| {
        let mut choices = choices.iter();
        let found = choices.find(|choice| choice.ordinal == Some(ordinal.into()));
        found.map(|choice| choice.id)
    };
    let difference = |of, (tallied, counted)| Difference {
        question_id: question,
        of,
        tallied,
        counted,
    };
    let differences = different.into_iter().map(|(key, numbers)| {
        let choices = profile::decode(method, key).into_iter();
        let choices = choices.map(|(ordinal, score)| (choice(ordinal), score));
        difference(Tally::Alike(choices.collect()), numbers)
    });
    let mut differences: Vec<Difference> = differences.collect();
    if !further.is_empty() {
        let sums = further.iter().fold((0, 0), |sums, (_, numbers)| {
            (sums.0 + numbers.0, sums.1 + numbers.1)
        });
        differences.push(difference(Tally::FurtherAlike(further.len()), sums));
    }
    Ok(differences)
}

/// The numbers that differ, in the tally and by the ballots, with their keys and in the order of
/// these.
fn different<'a>(tallied: &'a Counts, counted: &'a Counts) -> Vec<(&'a [u8], (i64, i64))> {
    let keys: BTreeSet<&Vec<u8>> = tallied.keys().chain(counted.keys()).collect();
    let number = |counts: &Counts, key| counts.get(key).copied().unwrap_or(0);
    let numbers = keys.into_iter().map(|key| {
        let numbers = (number(tallied, key), number(counted, key));
        (key.as_slice(), numbers)
    });
    numbers.filter(|(_, (one, other))| one != other).collect()
}

/// A query for the marks of each ballot on a question, as text such as `3:1,0:2`: the ordinal and
/// the value of each.
fn marks_sql(db: &impl ConnectionTrait, secrecy: BallotSecrecy) -> String {
    let marks = db::joined(db, "concat(c.ordinal, ':', m.value)");
    let (table, key) = marks_of(secrecy);
    format!(
        "SELECT {marks} AS marks FROM {table} m JOIN choices c ON c.id = m.choice_id \
         WHERE m.question_id = ? GROUP BY m.{key}"
    )
}

/// The table of marks, and its column that tells the ballots on a question apart.
fn marks_of(secrecy: BallotSecrecy) -> (&'static str, &'static str) {
    match secrecy {
        BallotSecrecy::Secret | BallotSecrecy::Public => ("ballot_marks", "user_id"),
        BallotSecrecy::Anonymous => ("anonymous_marks", "receipt"),
    }
}

const MARKS: [Column; 1] = [Column::Text("marks")];

#[derive(Deserialize)]
struct Marks {
    marks: String,
}

/// Adds the ballots of a row to the counts.
fn count_marks(row: &QueryResult, method: Method, counts: &mut Counts) -> Result<(), DbErr> {
    let invalid = || DbErr::Type("a choice that is voted for has no ordinal".to_owned());
    for ballot in db::documents_of::<Marks>(row, 0)? {
        let marks = ballot.marks.split(',').map(|mark| {
            let (ordinal, value) = mark.split_once(':')?;
            Some((ordinal.parse().ok()?, value.parse().ok()?))
        });
        let marks = marks.collect::<Option<Vec<(u8, i32)>>>();
        let key = profile::encode(method, marks.ok_or_else(invalid)?);
        *counts.entry(key).or_default() += 1;
    }
    Ok(())
}

/// Corrects the tallies of a question. Its slots are taken, so no ballot is counted meanwhile.
pub async fn mend(db: &Db, question: Uuid) -> Result<(), Failure> {
    db.write(|transaction| async move {
        slot::take_all(&transaction, question).await?;
        let voted = questions::Entity::find_by_id(question);
        let Some(voted) = voted.one(&transaction).await? else {
            return Ok(());
        };
        let secrecy = voted.ballot_secrecy;
        set_ballots(&transaction, question, secrecy).await?;
        let votes = counted_votes(&transaction, question, secrecy).await?;
        for choice in choices::of(&transaction, question).await? {
            let votes = votes.get(&choice.id).copied().unwrap_or(0);
            set_votes(&transaction, choice.id, votes).await?;
        }
        if method::keeps_profile(voted.method) {
            set_profile(&transaction, question, voted.method, secrecy).await?;
        }
        Ok(())
    })
    .await
}

async fn counted_votes(
    transaction: &Transaction,
    question: Uuid,
    secrecy: BallotSecrecy,
) -> Result<HashMap<Uuid, i64>, DbErr> {
    let sum = format!("SUM({})", method::votes_sql());
    let sql = format!(
        "SELECT m.choice_id, {} FROM {} m JOIN questions q ON q.id = m.question_id \
         WHERE m.question_id = ? GROUP BY m.choice_id",
        db::integer(transaction, &sum),
        marks_of(secrecy).0,
    );
    let statement = db::statement(transaction, &sql, [question.into()]);
    let rows = transaction.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect()
}

/// Writes the whole numbers into the first slot. All slots have rows, because they were taken.
async fn set_ballots(
    transaction: &Transaction,
    question: Uuid,
    secrecy: BallotSecrecy,
) -> Result<(), DbErr> {
    let all = entity::Entity::find().filter(entity::Column::QuestionId.eq(question));
    let ballots = all.count(transaction).await?;
    let (table, key) = marks_of(secrecy);
    let sql = format!("SELECT COUNT(DISTINCT {key}) FROM {table} WHERE question_id = ?");
    let statement = db::statement(transaction, &sql, [question.into()]);
    let row = transaction.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("a number of ballots".to_owned()))?;
    let choosing: i64 = row.try_get_by_index(0)?;
    let ballots = i64::try_from(ballots).unwrap_or(i64::MAX);
    slot::set(transaction, question, ballots, ballots - choosing).await
}

async fn set_votes(transaction: &Transaction, choice: Uuid, votes: i64) -> Result<(), DbErr> {
    shard::Entity::update_many()
        .col_expr(shard::Column::Votes, Expr::value(0_i64))
        .filter(shard::Column::ChoiceId.eq(choice))
        .exec(transaction)
        .await?;
    let row = shard::ActiveModel {
        choice_id: Set(choice),
        shard: Set(0),
        votes: Set(votes),
    };
    shard::Entity::insert(row)
        .on_conflict(
            OnConflict::columns([shard::Column::ChoiceId, shard::Column::Shard])
                .update_column(shard::Column::Votes)
                .to_owned(),
        )
        .exec_without_returning(transaction)
        .await
        .map(drop)
}

async fn set_profile(
    transaction: &Transaction,
    question: Uuid,
    method: Method,
    secrecy: BallotSecrecy,
) -> Result<(), DbErr> {
    let marks = marks_sql(transaction, secrecy);
    let sql = db::document_rows(transaction, &[(&MARKS, &marks)]);
    let statement = db::statement(transaction, &sql, [question.into()]);
    let mut counted = Counts::new();
    for row in transaction.query_all_raw(statement).await? {
        count_marks(&row, method, &mut counted)?;
    }
    let delete = "DELETE FROM profile_shards WHERE question_id = ?";
    let delete = db::statement(transaction, delete, [question.into()]);
    transaction.execute_raw(delete).await?;
    let counted: Vec<(Vec<u8>, i64)> = counted.into_iter().collect();
    // A server takes statements of some megabytes only.
    for some in counted.chunks(10_000) {
        let rows = some
            .iter()
            .map(|(key, ballots)| ((question, key.clone()), *ballots));
        let mut script = Script::default();
        profile::add(
            transaction,
            &mut script,
            0,
            rows.collect::<BTreeMap<_, _>>(),
        );
        script.run(transaction).await?;
    }
    Ok(())
}
