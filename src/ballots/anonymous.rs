//! Anonymous ballots: nobody can tell afterwards who has voted for what.
//!
//! A ballot is stored in two parts that have nothing in common. The *roll*, a row of `ballots`
//! without times and without the number of its batch, tells who has voted. The ballot itself stands
//! in `anonymous_ballots` and `anonymous_marks` under its [`Receipt`], which the voter's client has
//! drawn. A batch inserts both in the order of their keys.
//!
//! What still tells voters and ballots apart while people vote, such as the transaction that has
//! inserted both, is removed when the question is sealed; see [`unlink`](super::unlink).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use poem_openapi::registry::MetaSchema;
use sea_orm::{ConnectionTrait, DbErr};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;
use validator::{Validate, ValidationError, ValidationErrors};

use super::batch::{Batch, Outcome};
use super::changes::Changes;
use super::method::Marks;
use super::{Ballot, BallotKey, Cast, KEY_COLUMNS, already_voted, key_rows};
use crate::db::{self, Column, Rows, Script, Transaction};
use crate::failure::{Code, Failure, FieldError, Rule};
use crate::input::{self, described};
use crate::questions::{self, Question};

/// How many hexadecimal digits a receipt has.
const DIGITS: usize = 32;

/// The key of an anonymous ballot: 128 bits that the voter's client has drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub Uuid);

/// As clients send and get it: 32 hexadecimal digits.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// Logs must not tell receipts.
impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt(…)")
    }
}

/// A receipt in a request: 32 hexadecimal digits in lower case, so that one receipt is one text.
pub struct ReceiptDigits(String);

impl ReceiptDigits {
    /// The receipt, if these are the digits of one.
    pub fn receipt(&self) -> Option<Receipt> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let has_form = self.0.len() == DIGITS && self.0.bytes().all(is_digit);
        let number = u128::from_str_radix(&self.0, 16).ok().filter(|_| has_form);
        number.map(|number| Receipt(Uuid::from_u128(number)))
    }
}

impl From<Receipt> for ReceiptDigits {
    fn from(receipt: Receipt) -> ReceiptDigits {
        ReceiptDigits(receipt.to_string())
    }
}

/// Logs must not tell receipts.
impl fmt::Debug for ReceiptDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiptDigits(…)")
    }
}

impl Validate for ReceiptDigits {
    fn validate(&self) -> Result<(), ValidationErrors> {
        let length = input::length_mistake(&self.0, DIGITS, DIGITS);
        let digits = || {
            let message = "must consist of hexadecimal digits in lower case";
            let mistake = ValidationError::new("type").with_message(message.into());
            self.receipt().is_none().then_some(mistake)
        };
        input::result(length.or_else(digits))
    }
}

impl<'de> Deserialize<'de> for ReceiptDigits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(ReceiptDigits)
    }
}

described! {
    [] ReceiptDigits, String,
    ReceiptDigits,
    MetaSchema {
        min_length: Some(DIGITS),
        max_length: Some(DIGITS),
        pattern: Some("^[0-9a-f]{32}$".to_owned()),
        ..MetaSchema::ANY
    }
}

/// The receipt of a ballot on this question, which has one if its ballots are anonymous.
pub(super) fn required_receipt(
    question: &Question,
    given: Option<Receipt>,
) -> Result<Option<Receipt>, FieldError> {
    let mistake = |rule, message| Err(FieldError::new("/receipt", rule, message));
    match given {
        None if question.is_anonymous() => mistake(Rule::Required, "is required on this question"),
        Some(_) if !question.is_anonymous() => {
            let message = "is not for this question, whose ballots are not anonymous";
            mistake(Rule::Conflict, message)
        }
        receipt => Ok(receipt),
    }
}

/// An anonymous ballot that a voter casts.
pub(super) struct AnonymousBallot {
    pub voter: BallotKey,
    pub receipt: Receipt,
    pub marks: Marks,
    /// Why the voter may not vote now. A ballot that exists may be repeated all the same.
    pub refusal: Option<Failure>,
}

/// The key of a ballot: question and receipt.
type ReceiptKey = (Uuid, Receipt);

impl AnonymousBallot {
    fn key(&self) -> ReceiptKey {
        (self.voter.0, self.receipt)
    }
}

/// What becomes of the anonymous ballots of a batch.
#[derive(Default)]
pub(super) struct Decided {
    pub outcomes: HashMap<BallotKey, Result<Outcome, Failure>>,
    /// The first ballots among those that are not refused, to be inserted.
    pub first: BTreeMap<BallotKey, AnonymousBallot>,
}

impl Batch<'_> {
    /// Decides on anonymous ballots, of which no two are of the same voter on the same question. If two
    /// have the same receipt, the first one gets it.
    pub(super) async fn decide_anonymous(
        &self,
        ballots: Vec<AnonymousBallot>,
    ) -> Result<Decided, Failure> {
        let mut decided = Decided::default();
        if ballots.is_empty() {
            return Ok(decided);
        }
        let Known { roll, mut stored } = self.known(&ballots).await?;
        for mut ballot in ballots {
            let (voter, key) = (ballot.voter, ballot.key());
            let has_voted = roll.contains(&voter);
            let outcome = self.decide_on(&mut ballot, has_voted, stored.get(&key));
            if matches!(&outcome, Ok(cast) if cast.is_first) {
                stored.insert(key, ballot.marks.clone());
                decided.first.insert(voter, ballot);
            }
            decided.outcomes.insert(voter, outcome.map(Outcome::Cast));
        }
        Ok(decided)
    }

    /// Decides on a ballot. `stored` are the marks of the ballot with its receipt, if there is one.
    fn decide_on(
        &self,
        ballot: &mut AnonymousBallot,
        has_voted: bool,
        stored: Option<&Marks>,
    ) -> Result<Cast, Failure> {
        // Whose the stored ballot is, nobody knows. Whoever has voted and knows receipt and contents
        // of a ballot is taken for its voter, and nothing is changed.
        let is_repeated = has_voted && stored == Some(&ballot.marks);
        if !is_repeated {
            if let Some(refusal) = ballot.refusal.take() {
                return Err(refusal);
            }
            if has_voted {
                return Err(already_voted());
            }
            if stored.is_some() {
                let detail = "Another ballot has this receipt. Draw a new one and vote again.";
                return Err(Failure::new(Code::ReceiptTaken, detail));
            }
        }
        Ok(Cast {
            ballot: Ballot::without_contents(self.question(ballot.voter.0)?),
            is_first: !is_repeated,
        })
    }

    /// Inserts first ballots.
    pub(super) async fn insert_anonymous(
        &self,
        ballots: impl Iterator<Item = AnonymousBallot>,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let mut new = New::default();
        for ballot in ballots {
            let id = ballot.voter.0;
            let (question, choices) = (self.question(id)?, self.choices(id)?);
            changes.first_anonymous(id, question.method, choices, &ballot.marks);
            new.add(ballot);
        }
        Ok(new.insert(self.transaction).await?)
    }

    /// Reads what is stored of the voters and receipts of these ballots, in one statement.
    async fn known(&self, ballots: &[AnonymousBallot]) -> Result<Known, Failure> {
        let (mut voters, mut receipts) = (Rows::new(), Rows::new());
        for ballot in ballots {
            let (question, user) = ballot.voter;
            voters.push(&[question, user], &[]);
            let receipt = [question, ballot.receipt.0];
            receipts.push(&receipt, &[UNSEALED]);
            // While people vote, none is stored as of a sealed question.
            if questions::not_open(self.question(question)?, self.now).is_some() {
                receipts.push(&receipt, &[SEALED]);
            }
        }
        let (db, join) = (self.transaction, db::join(self.transaction));
        let roll = format!(
            "SELECT t.question_id, t.user_id FROM {} {join} ballots t \
             ON t.question_id = r.question_id AND t.user_id = r.user_id",
            key_rows(db)
        );
        let wanted = db::rows(
            db,
            "r",
            &[
                Column::Id("question_id"),
                Column::Id("receipt"),
                Column::Integer("sealed"),
            ],
        );
        let of = |table| {
            format!(
                "FROM {wanted} {join} {table} t ON t.question_id = r.question_id \
                 AND t.sealed = r.sealed AND t.receipt = r.receipt"
            )
        };
        let stored = format!(
            "SELECT t.question_id, t.receipt {}",
            of("anonymous_ballots")
        );
        let marks = format!(
            "SELECT t.question_id, t.receipt, t.choice_id, t.value {}",
            of("anonymous_marks")
        );
        let sources = [(&VOTER[..], &*roll), (&BALLOT, &stored), (&MARK, &marks)];
        let values = [voters.to_value(), receipts.to_value(), receipts.to_value()];
        let statement = db::statement(db, &db::documents(db, &sources), values);
        let rows = db.query_all_raw(statement).await?;

        let roll = db::read_documents::<Voter>(&rows, 0)?.into_iter();
        let roll = roll.map(|voter| (voter.question_id, voter.user_id));
        let mut stored: HashMap<ReceiptKey, Marks> = HashMap::new();
        for row in db::read_documents::<BallotRow>(&rows, 1)? {
            stored.insert((row.question_id, Receipt(row.receipt)), Marks::new());
        }
        for row in db::read_documents::<MarkRow>(&rows, 2)? {
            let key = (row.question_id, Receipt(row.receipt));
            stored
                .entry(key)
                .or_default()
                .insert(row.choice_id, row.value);
        }
        Ok(Known {
            roll: roll.collect(),
            stored,
        })
    }
}

/// The values of the column `sealed`.
pub(super) const UNSEALED: i64 = 0;
pub(super) const SEALED: i64 = 1;

/// What is stored of some voters and receipts.
struct Known {
    roll: HashSet<BallotKey>,
    stored: HashMap<ReceiptKey, Marks>,
}

const VOTER: [Column; 2] = [Column::Id("question_id"), Column::Id("user_id")];

#[derive(Deserialize)]
struct Voter {
    question_id: Uuid,
    user_id: Uuid,
}

const BALLOT: [Column; 2] = [Column::Id("question_id"), Column::Id("receipt")];

#[derive(Deserialize)]
struct BallotRow {
    question_id: Uuid,
    receipt: Uuid,
}

const MARK: [Column; 4] = [
    Column::Id("question_id"),
    Column::Id("receipt"),
    Column::Id("choice_id"),
    Column::Integer("value"),
];

#[derive(Deserialize)]
struct MarkRow {
    question_id: Uuid,
    receipt: Uuid,
    choice_id: Uuid,
    value: i32,
}

/// First ballots, each part sorted by its own key: their order in the tables tells nothing.
#[derive(Default)]
struct New {
    roll: BTreeSet<BallotKey>,
    ballots: BTreeMap<ReceiptKey, Marks>,
}

impl New {
    fn add(&mut self, ballot: AnonymousBallot) {
        self.ballots.insert(ballot.key(), ballot.marks);
        self.roll.insert(ballot.voter);
    }

    async fn insert(self, db: &Transaction) -> Result<(), DbErr> {
        let (mut roll, mut ballots, mut marks) = (Rows::new(), Rows::new(), Rows::new());
        for (question, user) in self.roll {
            roll.push(&[question, user], &[]);
        }
        for ((question, receipt), of_ballot) in self.ballots {
            ballots.push(&[question, receipt.0], &[]);
            for (choice, value) in of_ballot {
                marks.push(&[question, receipt.0, choice], &[i64::from(value)]);
            }
        }
        let insert_ballots = format!(
            "INSERT INTO anonymous_ballots (question_id, sealed, receipt) \
             SELECT question_id, {UNSEALED}, receipt FROM {}",
            db::rows(db, "r", &BALLOT)
        );
        let insert_marks = format!(
            "INSERT INTO anonymous_marks (question_id, sealed, receipt, choice_id, value) \
             SELECT question_id, {UNSEALED}, receipt, choice_id, value FROM {}",
            db::rows(db, "r", &MARK)
        );
        let mut script = Script::default();
        for (sql, rows) in [
            (insert_roll(db), roll),
            (insert_ballots, ballots),
            (insert_marks, marks),
        ] {
            if !rows.is_empty() {
                script.then(sql, [rows.to_value()]);
            }
        }
        script.run(db).await.map_err(|error| {
            // Another process has inserted the voter or the receipt since they were looked for. The
            // transaction is tried again, and finds them.
            match db::is_unique_violation(&error) {
                true => DbErr::RecordNotUpdated,
                false => error,
            }
        })
    }
}

/// A statement that inserts a part of the roll. Its parameter is a list of [`BallotKey`]s.
pub(super) fn insert_roll(db: &impl ConnectionTrait) -> String {
    let columns = KEY_COLUMNS.join(", ");
    format!(
        "INSERT INTO ballots ({columns}, cast_at, updated_at) SELECT {columns}, 0, 0 FROM {}",
        key_rows(db)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_has_one_text() {
        let read = |text: &str| ReceiptDigits(text.to_owned()).receipt();
        let digits = "0123456789abcdef0123456789abcdef";
        assert_eq!(read(digits).unwrap().to_string(), digits);
        let upper = digits.to_uppercase();
        let hyphens = "01234567-89ab-cdef-0123-456789abcdef";
        let sign = "+123456789abcdef0123456789abcdef";
        for other in [
            &upper,
            hyphens,
            sign,
            &digits[1..],
            "",
            &format!("{digits}0"),
        ] {
            assert!(read(other).is_none(), "{other}");
            assert!(ReceiptDigits(other.to_owned()).validate().is_err());
        }
    }

    #[test]
    fn nothing_that_is_logged_has_a_receipt() {
        let receipt = Receipt(Uuid::from_u128(0xabc_def0));
        let digits = ReceiptDigits::from(receipt);
        for text in [format!("{receipt:?}"), format!("{digits:?}")] {
            assert!(!text.contains("abcdef0"), "{text}");
        }
    }
}
