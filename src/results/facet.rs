//! Facets: what all questions of a list have in common, and an index lists.
//!
//! A list follows the index of one facet and looks at each question for the others. So that it
//! passes by few, it follows the rarest: the open questions among a million that have a word, or
//! those that have it among a million open ones.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _};
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{ExprTrait as _, Order};

use crate::clock::Time;
use crate::db;
use crate::questions::{closing, entity, term};

/// How many questions of a facet are looked at, to see which is the rarest.
const SAMPLE: u64 = 200;

/// With fewer questions than this a facet is few: all may be read, whatever is wanted of them.
const MANY: u64 = 1_000;

/// What questions have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Facet {
    /// A term of their text.
    Term(String),
    Author(Uuid),
    /// Whether their results are final.
    Sealed(bool),
    Deleted,
    /// They open after this time.
    OpensAfter(Time),
    /// At this time they wait for their seal. They are always taken for few.
    Due(Time),
}

impl Facet {
    /// The questions that have it, as entries of its index, and what that has them in the order of.
    fn entries(&self, db: &impl ConnectionTrait) -> (SelectStatement, Expr) {
        if let Facet::Term(term) = self {
            let entries = Query::select()
                .from(term::Entity)
                .and_where(term::Column::Term.eq(term))
                .take();
            return (entries, term::Column::CreatedAt.into_expr());
        }
        let mut entries = Query::select().from(entity::Entity).take();
        entries.and_where(self.condition(db));
        if let Some(index) = self.index() {
            entries.force_index(index, IndexHintScope::All);
        }
        let order = match self {
            Facet::OpensAfter(_) => entity::Column::OpensAt,
            _ => entity::Column::CreatedAt,
        };
        (entries, order.into_expr())
    }

    /// Whether a question has it.
    pub(super) fn condition(&self, db: &impl ConnectionTrait) -> Expr {
        let is = |column, value| Expr::col((entity::Entity, column)).eq(Expr::cust(value));
        match self {
            Facet::Term(term) => {
                let id = entity::Column::Id.into_expr();
                let entry = entry(term, id.clone(), entity::Column::CreatedAt.into_expr());
                db::finds(db, id, entry)
            }
            Facet::Author(author) => entity::Column::AuthorId.eq(*author),
            // No parameters: PostgreSQL knows how many are open, but not how many are `$1`.
            Facet::Sealed(true) => is("is_sealed", "1"),
            Facet::Sealed(false) => is("is_sealed", "0"),
            Facet::Deleted => is("is_deleted", "1"),
            Facet::OpensAfter(time) => entity::Column::OpensAt.gt(*time),
            Facet::Due(now) => closing::is_due(*now),
        }
    }

    /// The same, for questions that the index of `lead` leads to.
    pub(super) fn beside(&self, lead: Option<&Facet>, db: &impl ConnectionTrait) -> Expr {
        match (self, lead) {
            // From entry to entry, without the question.
            (Facet::Term(term), Some(Facet::Term(_))) => {
                let id = term::Column::QuestionId.into_expr();
                let entry = entry(term, id.clone(), term::Column::CreatedAt.into_expr());
                db::finds(db, id, entry)
            }
            _ => db::unindexed(db, self.condition(db)),
        }
    }

    /// Its index among those of the questions.
    pub(super) fn index(&self) -> Option<&'static str> {
        match self {
            Facet::Term(_) => None,
            Facet::Author(_) => Some("questions_author"),
            Facet::Sealed(_) => Some("questions_status_created"),
            Facet::Deleted => Some("questions_deleted"),
            Facet::OpensAfter(_) => Some("questions_opens"),
            Facet::Due(_) => Some("questions_due_at"),
        }
    }

    /// Whether its index has its questions in the order of their creation.
    pub(super) fn is_in_order(&self) -> bool {
        !matches!(self, Facet::OpensAfter(_) | Facet::Due(_))
    }
}

/// A look at the table of terms beside the one that a list follows.
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

/// Whether a column has this value or comes after it in this order.
pub(super) fn from(column: Expr, order: &Order, value: i64) -> Expr {
    match order {
        Order::Asc => column.gte(value),
        _ => column.lte(value),
    }
}

/// The place of the facet that fewest questions have from `after` on, in the order of creation; of
/// those that are common, of the one whose next questions lie the furthest apart.
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

/// Whether few questions have it.
pub(super) async fn is_few(db: &impl ConnectionTrait, facet: &Facet) -> Result<bool, DbErr> {
    let (mut entries, order) = facet.entries(db);
    // In the index's order, lest PostgreSQL look for a common one without its index.
    entries
        .expr(Expr::value(1))
        .order_by_expr(order, Order::Desc);
    let last = entries.limit(1).offset(MANY - 1);
    Ok(db.query_one(last).await?.is_none())
}
