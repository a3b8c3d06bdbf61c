//! Which questions a list shows, a page at a time.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _};
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{Condition, ExprTrait as _, JoinType, Order};

use super::{Status, closing, entity, search, term};
use crate::clock::Time;
use crate::db;
use crate::http::page::Cursor;

/// What a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    pub status: Option<Status>,
    pub author: Option<Uuid>,
    /// All words must match.
    pub words: Option<String>,
    pub sort: Sort,
    /// Deleted questions instead of the others.
    pub deleted: bool,
}

/// The order of a list; ties are broken by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    NewestFirst,
    OldestFirst,
    /// Those without an end come last.
    ClosesFirst,
}

/// The keys of up to `limit` questions that come after `cursor`, in order.
pub async fn keys(
    db: &impl ConnectionTrait,
    filter: &Filter,
    after: Option<Cursor>,
    limit: u64,
    now: Time,
) -> Result<Vec<Cursor>, DbErr> {
    let Some(listing) = Listing::of(db, filter, after).await? else {
        return Ok(Vec::new());
    };
    let mut keys = Vec::new();
    for part in parts(filter, now) {
        keys.extend(listing.keys(db, part, limit).await?);
    }
    // A question may be sealed between two parts, and so be in both.
    keys.sort_unstable();
    keys.dedup();
    if filter.sort == Sort::NewestFirst {
        keys.reverse();
    }
    keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(keys
        .into_iter()
        .map(|(key, id)| Cursor { key, id })
        .collect())
}

/// A list but for the status that it asks for.
struct Listing {
    query: SelectStatement,
    /// What it is sorted by.
    key: Expr,
    id: Expr,
    order: Order,
}

impl Listing {
    /// None where the list has nothing to look for.
    async fn of(
        db: &impl ConnectionTrait,
        filter: &Filter,
        after: Option<Cursor>,
    ) -> Result<Option<Listing>, DbErr> {
        let (mut query, key, id) = match &filter.words {
            Some(words) => {
                let Some((first, others)) = rarest_first(db, search::query(words)).await? else {
                    return Ok(None);
                };
                let key = match filter.sort {
                    Sort::NewestFirst | Sort::OldestFirst => of_term(term::Column::CreatedAt),
                    Sort::ClosesFirst => of_question(entity::Column::ClosesOrder),
                };
                let id = of_term(term::Column::QuestionId);
                let join = match filter.sort {
                    Sort::NewestFirst | Sort::OldestFirst => db::join_type(db),
                    // Not the order of the terms.
                    Sort::ClosesFirst => JoinType::InnerJoin,
                };
                (with_terms(join, first, others), key, id)
            }
            None => {
                let key = match filter.sort {
                    Sort::NewestFirst | Sort::OldestFirst => entity::Column::CreatedAt,
                    Sort::ClosesFirst => entity::Column::ClosesOrder,
                };
                let id = of_question(entity::Column::Id);
                let all = Query::select().from(entity::Entity).take();
                (all, of_question(key), id)
            }
        };
        query
            .expr_as(key.clone(), "list_key")
            .expr_as(id.clone(), "list_id")
            .and_where(match filter.deleted {
                true => entity::Column::DeletedAt.is_not_null(),
                false => entity::Column::DeletedAt.is_null(),
            });
        if let Some(author) = filter.author {
            query.and_where(entity::Column::AuthorId.eq(author));
        }
        if let Some(Cursor {
            key: last,
            id: last_id,
        }) = after
        {
            // MySQL finds its place in an index by a column, but not by a row.
            let beyond = match filter.sort {
                Sort::NewestFirst => key.clone().lte(last),
                Sort::OldestFirst | Sort::ClosesFirst => key.clone().gte(last),
            };
            let row = Expr::tuple([key.clone(), id.clone()]);
            let last = Expr::tuple([Expr::value(last), Expr::value(last_id)]);
            query.and_where(beyond).and_where(match filter.sort {
                Sort::NewestFirst => row.lt(last),
                Sort::OldestFirst | Sort::ClosesFirst => row.gt(last),
            });
        }
        let order = match filter.sort {
            Sort::NewestFirst => Order::Desc,
            Sort::OldestFirst | Sort::ClosesFirst => Order::Asc,
        };
        Ok(Some(Listing {
            query,
            key,
            id,
            order,
        }))
    }

    async fn keys(
        &self,
        db: &impl ConnectionTrait,
        part: Part,
        limit: u64,
    ) -> Result<Vec<(i64, Uuid)>, DbErr> {
        let mut query = self.query.clone();
        match part {
            Part::InOrder(condition, index) => {
                if let Some(index) = index {
                    // MariaDB alone needs the hint, and reads it.
                    query.force_index(index, IndexHintScope::All);
                }
                query
                    .cond_where(condition)
                    .order_by_expr(self.key.clone(), self.order.clone())
                    .order_by_expr(self.id.clone(), self.order.clone())
                    .limit(limit)
            }
            Part::Few(condition) => query.cond_where(condition),
        };
        let rows = db.query_all(&query).await?;
        rows.iter()
            .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
            .collect()
    }
}

/// Questions of a list that have an index of their own.
enum Part {
    /// As many as the page has room for, in their order; by the index of this name, if any.
    InOrder(Condition, Option<&'static str>),
    /// All of them. Were they asked for in order, the engine would pass by all others.
    Few(Condition),
}

/// What the status that is asked for leaves of a list.
fn parts(filter: &Filter, now: Time) -> Vec<Part> {
    use entity::Column::{OpensAt, SealedAt};
    let Some(status) = filter.status else {
        return vec![Part::InOrder(Condition::all(), None)];
    };
    let ended = closing::has_ended(now).add(SealedAt.is_not_null());
    let condition = match status {
        Status::Closed => ended,
        Status::Scheduled => Condition::all().add(ended.not()).add(OpensAt.gt(now)),
        Status::Open => {
            let begun = Condition::any()
                .add(OpensAt.is_null())
                .add(OpensAt.lte(now));
            Condition::all().add(ended.not()).add(begun)
        }
    };
    if filter.author.is_some() || filter.words.is_some() {
        // They have an index of their own, but none by status, too.
        return vec![Part::InOrder(condition, None)];
    }
    let index = match filter.sort {
        Sort::NewestFirst | Sort::OldestFirst => "questions_status_created",
        Sort::ClosesFirst => "questions_status_closes",
    };
    let sealed = |yes: bool| Expr::col((entity::Entity, "is_sealed")).eq(i32::from(yes));
    match status {
        // Whatever has ended is sealed within a moment. What is not yet comes first, lest it be
        // sealed in between.
        Status::Closed => closing::unsealed(now)
            .into_iter()
            .map(Part::Few)
            .chain([Part::InOrder(
                Condition::all().add(sealed(true)),
                Some(index),
            )])
            .collect(),
        Status::Open | Status::Scheduled => {
            let unsealed = Condition::all().add(sealed(false)).add(condition);
            vec![Part::InOrder(unsealed, Some(index))]
        }
    }
}

fn of_question(column: entity::Column) -> Expr {
    Expr::col((entity::Entity, column))
}

fn of_term(column: term::Column) -> Expr {
    Expr::col((term::Entity, column))
}

/// A second look at the table of terms.
const OTHER: &str = "other";

/// How many of a term's questions are counted, to see which term is the rarest.
const COUNTED: u64 = 200;

/// The term that fewest questions have, by which they are looked up, and the others. None where
/// there are no terms.
async fn rarest_first(
    db: &impl ConnectionTrait,
    terms: BTreeSet<String>,
) -> Result<Option<(String, Vec<String>)>, DbErr> {
    let mut terms: Vec<String> = terms.into_iter().collect();
    if terms.len() > 1 {
        // In their order, lest PostgreSQL look for a common term without its index.
        let count = format!(
            "(SELECT COUNT(*) FROM (SELECT 1 FROM search_terms WHERE term = ? \
             ORDER BY created_at DESC LIMIT {COUNTED}) AS t)"
        );
        let sql = format!("SELECT {}", vec![count; terms.len()].join(", "));
        let values = terms.iter().map(|term| term.as_str().into());
        let counts = db.query_one_raw(db::statement(db, &sql, values)).await?;
        let counts = counts.ok_or_else(|| DbErr::RecordNotFound("counts of terms".into()))?;
        let mut rarest = (i64::MAX, 0);
        for index in 0..terms.len() {
            rarest = rarest.min((counts.try_get_by_index(index)?, index));
        }
        terms.swap(0, rarest.1);
    }
    let mut terms = terms.into_iter();
    Ok(terms.next().map(|first| (first, terms.collect())))
}

/// Questions that have all the terms.
///
/// A term's questions are stored in the order of their creation. So the engine follows the first
/// term until the page is full, and looks each question up under the other terms. (By a subquery
/// for a single value: one for a set would be read as a whole on some engines.)
fn with_terms(join: JoinType, first: String, others: Vec<String>) -> SelectStatement {
    use term::Column::{CreatedAt, QuestionId, Term};
    let same = of_term(QuestionId).equals((entity::Entity, entity::Column::Id));
    let mut found = Query::select()
        .from(term::Entity)
        .join(join, entity::Entity, same)
        .and_where(of_term(Term).eq(first))
        .take();
    for other in others {
        let there = Query::select()
            .column((OTHER, QuestionId))
            .from_as(term::Entity, OTHER)
            .and_where(Expr::col((OTHER, Term)).eq(other))
            .and_where(Expr::col((OTHER, CreatedAt)).equals((term::Entity, CreatedAt)))
            .and_where(Expr::col((OTHER, QuestionId)).equals((term::Entity, QuestionId)))
            .take();
        found.and_where(of_term(QuestionId).eq(there));
    }
    found
}
