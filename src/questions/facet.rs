//! Facets: what all questions of a list have in common, and an index lists.
//!
//! A list follows the index of one facet and looks at each question for the others. So that it
//! passes by few, it follows the rarest: the open questions among a million that have a word, or
//! those that have it among a million open ones.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _};
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{ExprTrait as _, Order};

use super::{entity, term};
use crate::clock::Time;
use crate::db;

/// Up to how many questions of a facet are counted, to see which is the rarest.
const COUNTED: u64 = 200;

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
    /// They open after this time. Its index is in no list's order. Comes last, since of facets
    /// that are common the first is followed.
    OpensAfter(Time),
}

impl Facet {
    /// The questions that have it, as entries of its index.
    fn entries(&self, db: &impl ConnectionTrait) -> SelectStatement {
        let (mut entries, order) = match self {
            Facet::Term(term) => {
                let entries = Query::select()
                    .from(term::Entity)
                    .and_where(term::Column::Term.eq(term))
                    .take();
                (entries, Expr::col(term::Column::CreatedAt))
            }
            _ => {
                let order = match self {
                    Facet::OpensAfter(_) => entity::Column::OpensAt,
                    _ => entity::Column::CreatedAt,
                };
                let mut entries = Query::select().from(entity::Entity).take();
                entries.and_where(self.condition(db));
                if let Some(index) = self.index() {
                    entries.force_index(index, IndexHintScope::All);
                }
                (entries, Expr::col(order))
            }
        };
        // In the index's order, lest PostgreSQL look for a common one without its index.
        entries
            .expr(Expr::value(1))
            .order_by_expr(order, Order::Desc)
            .take()
    }

    /// Whether a question has it.
    pub(super) fn condition(&self, db: &impl ConnectionTrait) -> Expr {
        match self {
            Facet::Term(term) => {
                let id = entity::Column::Id.into_expr();
                db::finds(db, id.clone(), entry(term, id))
            }
            Facet::Author(author) => entity::Column::AuthorId.eq(*author),
            Facet::Sealed(yes) => Expr::col((entity::Entity, "is_sealed")).eq(i32::from(*yes)),
            Facet::OpensAfter(time) => entity::Column::OpensAt.gt(*time),
        }
    }

    /// The same, for questions that the index of `lead` leads to.
    pub(super) fn beside(&self, lead: Option<&Facet>, db: &impl ConnectionTrait) -> Expr {
        match (self, lead) {
            // From entry to entry, without the question. As an equation everywhere: PostgreSQL
            // would rather join the two, and leave the order of the lead.
            (Facet::Term(term), Some(Facet::Term(_))) => {
                let id = term::Column::QuestionId.into_expr();
                let created_at = term::Column::CreatedAt.into_expr();
                let same_time = Expr::col((OTHER, term::Column::CreatedAt)).eq(created_at);
                let there = entry(term, id.clone()).and_where(same_time).take();
                id.eq(there)
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
            Facet::OpensAfter(_) => Some("questions_opens"),
        }
    }
}

/// A look at the table of terms beside the one that a list follows.
const OTHER: &str = "other";

/// The entry of a term for the question with this id.
///
/// Looked up by a subquery for a single value: one for a set would be read as a whole on some
/// engines.
fn entry(term: &str, id: Expr) -> SelectStatement {
    Query::select()
        .column((OTHER, term::Column::QuestionId))
        .from_as(term::Entity, OTHER)
        .and_where(Expr::col((OTHER, term::Column::Term)).eq(term))
        .and_where(Expr::col((OTHER, term::Column::QuestionId)).eq(id))
        .take()
}

/// The place of the facet that fewest questions have; of those that are common, the first.
pub(super) async fn rarest(db: &impl ConnectionTrait, facets: &[Facet]) -> Result<usize, DbErr> {
    if facets.len() < 2 {
        return Ok(0);
    }
    let mut counts = Query::select();
    for facet in facets {
        let count = Query::select()
            .expr(Expr::cust("COUNT(*)"))
            .from_subquery(facet.entries(db).limit(COUNTED).take(), "t")
            .take();
        counts.expr(count);
    }
    let counts = db.query_one(&counts).await?;
    let counts = counts.ok_or_else(|| DbErr::RecordNotFound("counts of facets".into()))?;
    let mut rarest = (i64::MAX, 0);
    for place in 0..facets.len() {
        rarest = rarest.min((counts.try_get_by_index(place)?, place));
    }
    Ok(rarest.1)
}

/// Whether few questions have it.
pub(super) async fn is_few(db: &impl ConnectionTrait, facet: &Facet) -> Result<bool, DbErr> {
    let last = facet.entries(db).limit(1).offset(MANY - 1).take();
    Ok(db.query_one(&last).await?.is_none())
}
