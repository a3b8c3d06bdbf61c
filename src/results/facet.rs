//! Facets: properties that questions of a list have in common, each with an index.
//!
//! A list follows the index of one facet, and tests each question that it reads there for the other
//! facets. It follows the rarest facet, so that few questions fail the test: with few open questions
//! the index of open questions, with a rare word the index of words.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _};
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{ExprTrait as _, Order};

use crate::clock::Time;
use crate::db;
use crate::questions::{closing, entity, term};

/// How many questions of each facet are counted to find the rarest facet.
const SAMPLE: u64 = 200;

/// A facet with fewer questions than this is "few": all its questions may be read and sorted.
const MANY: u64 = 1_000;

/// A property that questions have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Facet {
    /// A term of their text, as the [table](term) has it.
    Term(String),
    /// Their author; and whether they are listed, if that matters.
    Author(Uuid, Option<bool>),
    /// Whether their results are final; and whether they are listed, if that matters.
    Sealed(bool, Option<bool>),
    Deleted,
    /// They open after this time.
    OpensAfter(Time),
    /// They have ended at this time, and are not sealed yet. They are always few.
    Due(Time),
}

impl Facet {
    /// A query for the entries of the facet's index, and the column by which the index is sorted.
    fn entries(&self, db: &impl ConnectionTrait) -> (SelectStatement, Expr) {
        if let Facet::Term(term) = self {
            let entries = Query::select()
                .from(term::Entity)
                .and_where(term::Column::Term.eq(term))
                .take();
            return (entries, term::Column::CreatedAt.into_expr());
        }
        let mut entries = Query::select().from(entity::Entity).take();
        entries.and_where(self.leading(db));
        if let Some(index) = self.index() {
            entries.force_index(index, IndexHintScope::All);
        }
        let order = match self {
            Facet::OpensAfter(_) => entity::Column::OpensAt,
            _ => entity::Column::CreatedAt,
        };
        (entries, order.into_expr())
    }

    /// The condition by which a query follows the index of the facet.
    pub(super) fn leading(&self, db: &impl ConnectionTrait) -> Expr {
        let condition = self.condition(db);
        let Some(listed) = self.listed() else {
            return condition;
        };
        // Of the two columns the second one of the index, which other indexes do not have.
        match self {
            Facet::Sealed(..) => db::selective(db, condition).and(is_listed(listed)),
            _ => condition.and(db::selective(db, is_listed(listed))),
        }
    }

    /// The condition that a question has the facet, whether it is listed or not.
    fn condition(&self, db: &impl ConnectionTrait) -> Expr {
        match self {
            Facet::Term(term) => {
                let id = entity::Column::Id.into_expr();
                let entry = entry(term, id.clone(), entity::Column::CreatedAt.into_expr());
                db::finds(db, id, entry)
            }
            Facet::Author(author, _) => entity::Column::AuthorId.eq(*author),
            Facet::Sealed(sealed, _) => flag("is_sealed").eq(digit(*sealed)),
            Facet::Deleted => flag("is_deleted").eq(digit(true)),
            Facet::OpensAfter(time) => entity::Column::OpensAt.gt(*time),
            Facet::Due(now) => closing::is_due(*now),
        }
    }

    /// The same condition in a query that follows the index of the facet `lead`.
    pub(super) fn beside(&self, lead: Option<&Facet>, db: &impl ConnectionTrait) -> Expr {
        match (self, lead) {
            // Joins the two entries in the index of terms, without reading the question.
            (Facet::Term(term), Some(Facet::Term(_))) => {
                let id = term::Column::QuestionId.into_expr();
                let entry = entry(term, id.clone(), term::Column::CreatedAt.into_expr());
                db::finds(db, id, entry)
            }
            _ => db::unindexed(db, self.condition(db)),
        }
    }

    /// The facet's index of the table of questions. Terms have a table of their own.
    pub(super) fn index(&self) -> Option<&'static str> {
        match self {
            Facet::Term(_) => None,
            Facet::Author(_, None) => Some("questions_author"),
            Facet::Author(_, Some(_)) => Some("questions_author_listed"),
            Facet::Sealed(_, None) => Some("questions_status_created"),
            Facet::Sealed(_, Some(_)) => Some("questions_listed_status_created"),
            Facet::Deleted => Some("questions_deleted"),
            Facet::OpensAfter(_) => Some("questions_opens"),
            Facet::Due(_) => Some("questions_due_at"),
        }
    }

    /// The columns of its index before those of the order that are 1 or 0, each with its value.
    pub(super) fn prefix(&self) -> Vec<(Expr, Expr)> {
        let Facet::Sealed(sealed, listed) = self else {
            return Vec::new();
        };
        let listed = listed.map(listed_flag);
        let sealed = (flag("is_sealed"), digit(*sealed));
        listed.into_iter().chain([sealed]).collect()
    }

    /// Whether all questions that the index leads to are listed, or none is; none for both.
    pub(super) fn listed(&self) -> Option<bool> {
        match self {
            Facet::Author(_, listed) | Facet::Sealed(_, listed) => *listed,
            _ => None,
        }
    }

    /// Whether the index is sorted by creation.
    pub(super) fn is_in_order(&self) -> bool {
        !matches!(self, Facet::OpensAfter(_) | Facet::Due(_))
    }
}

/// The condition that a question is listed, or that it is not.
pub(super) fn is_listed(listed: bool) -> Expr {
    let (column, value) = listed_flag(listed);
    column.eq(value)
}

/// The column that tells whether a question is listed, and this value of it.
pub(super) fn listed_flag(listed: bool) -> (Expr, Expr) {
    (flag("is_listed"), digit(listed))
}

/// A column that is 1 or 0.
fn flag(column: &'static str) -> Expr {
    Expr::col((entity::Entity, column))
}

/// A value of such a column.
fn digit(value: bool) -> Expr {
    // A literal, not a parameter: PostgreSQL's statistics tell how many questions are open, but not
    // how many match `$1`.
    Expr::cust(if value { "1" } else { "0" })
}

/// The alias of the table of terms in a subquery, beside the one that a list follows.
const OTHER: &str = "other";

/// The entry of a term for a question.
fn entry(term: &str, id: Expr, created_at: Expr) -> SelectStatement {
    let column = |column: term::Column| Expr::col((OTHER, column));
    Query::select()
        .column((OTHER, term::Column::QuestionId))
        .from_as(term::Entity, OTHER)
        .and_where(column(term::Column::Term).eq(term))
        .and_where(column(term::Column::CreatedAt).eq(created_at))
        .and_where(column(term::Column::QuestionId).eq(id))
        .take()
}

/// The condition that a column has this value or comes after it in this order.
pub(super) fn from(column: Expr, order: &Order, value: i64) -> Expr {
    match order {
        Order::Asc => column.gte(value),
        _ => column.lte(value),
    }
}

/// The index of the rarest of these facets, which are sorted by creation: the one with the fewest
/// questions after `after`, counted up to [`SAMPLE`]. Among facets with more, the one whose
/// sample reaches the furthest.
pub(super) async fn rarest(
    db: &impl ConnectionTrait,
    facets: &[Facet],
    order: &Order,
    after: Option<i64>,
) -> Result<usize, DbErr> {
    if facets.len() < 2 {
        return Ok(0);
    }
    let mut samples = Query::select();
    for facet in facets {
        let (mut next, created_at) = facet.entries(db);
        if let Some(after) = after {
            next.and_where(from(created_at.clone(), order, after));
        }
        next.expr_as(created_at.clone(), "created_at")
            .order_by_expr(created_at, order.clone())
            .limit(SAMPLE);
        let count = Query::select()
            .expr(Expr::cust("COUNT(*)"))
            .from_subquery(next.clone(), "t")
            .take();
        samples
            .expr(count)
            .expr(next.limit(1).offset(SAMPLE - 1).take());
    }
    let samples = db.query_one(&samples).await?;
    let samples = samples.ok_or_else(|| DbErr::RecordNotFound("samples of facets".into()))?;
    let mut places = Vec::with_capacity(facets.len());
    for place in 0..facets.len() {
        let count: i64 = samples.try_get_by_index(2 * place)?;
        let last: Option<i64> = samples.try_get_by_index(2 * place + 1)?;
        let last = last.map(|last| match order {
            Order::Asc => -last,
            _ => last,
        });
        places.push((count, last, place));
    }
    Ok(places.into_iter().min().map_or(0, |(.., place)| place))
}

/// Whether fewer than [`MANY`] questions have the facet.
pub(super) async fn is_few(db: &impl ConnectionTrait, facet: &Facet) -> Result<bool, DbErr> {
    let (mut entries, order) = facet.entries(db);
    // Sorted as the index is: otherwise PostgreSQL reads the table for a common facet.
    entries
        .expr(Expr::value(1))
        .order_by_expr(order, Order::Desc);
    let last = entries.limit(1).offset(MANY - 1);
    Ok(db.query_one(last).await?.is_none())
}
