//! The receipts of an anonymous question, each with what was voted under it.

use std::collections::BTreeMap;

use poem_openapi::Object;
use poem_openapi::types::Example;
use sea_orm::{ConnectionTrait as _, DbErr, Value};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::anonymous::{Receipt, SEALED};
use super::method::{self, Marks};
use super::{Ballots, Score};
use crate::db::{self, Column};
use crate::page::{Cursor, Page, PageMeta, PageRequest};
use crate::questions::Question;

/// An anonymous ballot.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
#[oai(rename = "ReceiptedBallot", example)]
pub struct ReceiptedBallot {
    /// What its voter's client has drawn: 32 hexadecimal digits in lower case.
    #[oai(validator(pattern = "^[0-9a-f]{32}$"))]
    pub receipt: String,
    /// The choices that it names: a set, or a ranking with the best first; with scores the choices
    /// with a score above 0, best first.
    pub choice_ids: Vec<Uuid>,
    /// The scores above 0, best first; only with `score` and `star`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Vec<Score>>,
}

/// A page of anonymous ballots.
#[derive(Debug, Object, Serialize)]
#[oai(example)]
pub struct ReceiptPage {
    /// In the order of the receipts.
    pub data: Vec<ReceiptedBallot>,
    pub meta: PageMeta,
}

impl Ballots {
    /// A page of the ballots on an anonymous question that is sealed, in the order of their receipts.
    pub async fn receipts(
        &self,
        question: &Question,
        page: PageRequest,
    ) -> Result<Page<ReceiptedBallot>, DbErr> {
        let db = self.db.read();
        let mut of_page = format!("question_id = ? AND sealed = {SEALED}");
        let mut values: Vec<Value> = vec![question.id.into()];
        if let Some(last) = page.after {
            of_page.push_str(" AND receipt > ?");
            values.push(last.id.into());
        }
        let limit = page.to_read();
        let ballots = format!(
            "SELECT receipt FROM anonymous_ballots WHERE {of_page} ORDER BY receipt LIMIT {limit}"
        );
        let marks = format!(
            "SELECT m.receipt, m.choice_id, m.value FROM ({ballots}) AS b {} anonymous_marks m \
             ON m.question_id = ? AND m.sealed = {SEALED} AND m.receipt = b.receipt",
            db::join(db)
        );
        let sql = db::documents(db, &[(&BALLOT, &ballots), (&MARK, &marks)]);
        let values = [&values[..], &values, &[question.id.into()]].concat();
        let rows = db.query_all_raw(db::statement(db, &sql, values)).await?;
        let mut found: BTreeMap<Uuid, Marks> = BTreeMap::new();
        for ballot in db::read_documents::<BallotRow>(&rows, 0)? {
            found.insert(ballot.receipt, Marks::new());
        }
        for mark in db::read_documents::<MarkRow>(&rows, 1)? {
            let marks = found.entry(mark.receipt).or_default();
            marks.insert(mark.choice_id, mark.value);
        }
        let page = Page::new(found.into_iter().collect(), page.limit, |(receipt, _)| {
            Cursor {
                key: 0,
                id: *receipt,
            }
        });
        let ballots = page.items.into_iter().map(|(receipt, marks)| {
            let (choice_ids, scores) = method::best_first(question.method, &marks);
            ReceiptedBallot {
                receipt: Receipt(receipt).to_string(),
                choice_ids,
                scores,
            }
        });
        Ok(Page {
            items: ballots.collect(),
            next: page.next,
        })
    }
}

const BALLOT: [Column; 1] = [Column::Id("receipt")];

#[derive(Deserialize)]
struct BallotRow {
    receipt: Uuid,
}

const MARK: [Column; 3] = [
    Column::Id("receipt"),
    Column::Id("choice_id"),
    Column::Integer("value"),
];

#[derive(Deserialize)]
struct MarkRow {
    receipt: Uuid,
    choice_id: Uuid,
    value: i32,
}

impl Example for ReceiptedBallot {
    fn example() -> Self {
        ReceiptedBallot {
            receipt: Receipt(Uuid::from_u128(0x4b1d_09c2_77e3_a5f8_6d20_93be_c41f_e857))
                .to_string(),
            choice_ids: vec![Uuid::from_u128(0x0196_3b1c_7a21_7000_8000_0000_0000_0001)],
            scores: None,
        }
    }
}

impl Example for ReceiptPage {
    fn example() -> Self {
        ReceiptPage {
            data: vec![ReceiptedBallot::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}
