//! Which questions a list shows, a page at a time.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Query;
use sea_orm::{Condition, ExprTrait as _, QueryOrder as _, QuerySelect, Select};

use super::{Status, entity, search, term};
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
    let (query, key, id) = match &filter.words {
        Some(words) => {
            let Some((first, others)) = rarest_first(db, search::query(words)).await? else {
                return Ok(Vec::new());
            };
            let query = with_terms(first, others);
            let key = match filter.sort {
                Sort::NewestFirst | Sort::OldestFirst => of_term(term::Column::CreatedAt),
                Sort::ClosesFirst => of_question(entity::Column::ClosesOrder),
            };
            (query, key, of_term(term::Column::QuestionId))
        }
        None => {
            let key = match filter.sort {
                Sort::NewestFirst | Sort::OldestFirst => entity::Column::CreatedAt,
                Sort::ClosesFirst => entity::Column::ClosesOrder,
            };
            let id = of_question(entity::Column::Id);
            (entity::Entity::find(), of_question(key), id)
        }
    };
    let order = match filter.sort {
        Sort::NewestFirst => sea_orm::Order::Desc,
        Sort::OldestFirst | Sort::ClosesFirst => sea_orm::Order::Asc,
    };
    let mut query = query
        .select_only()
        .column_as(key.clone(), "list_key")
        .column_as(id.clone(), "list_id")
        .filter(matches(filter, now))
        .order_by(key.clone(), order.clone())
        .order_by(id.clone(), order)
        .limit(limit);
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
        let row = Expr::tuple([key, id]);
        let last = Expr::tuple([Expr::value(last), Expr::value(last_id)]);
        query = query.filter(beyond).filter(match filter.sort {
            Sort::NewestFirst => row.lt(last),
            Sort::OldestFirst | Sort::ClosesFirst => row.gt(last),
        });
    }
    let keys: Vec<(i64, Uuid)> = query.into_tuple().all(db).await?;
    Ok(keys
        .into_iter()
        .map(|(key, id)| Cursor { key, id })
        .collect())
}

fn of_question(column: entity::Column) -> Expr {
    Expr::col((entity::Entity, column))
}

fn of_term(column: term::Column) -> Expr {
    Expr::col((term::Entity, column))
}

fn matches(filter: &Filter, now: Time) -> Condition {
    use entity::Column::{AuthorId, ClosedAt, ClosesOrder, DeletedAt, OpensAt, SealedAt};
    let deleted = if filter.deleted {
        DeletedAt.is_not_null()
    } else {
        DeletedAt.is_null()
    };
    let mut all = Condition::all().add(deleted);
    let ended = Condition::any()
        .add(ClosedAt.is_not_null())
        .add(SealedAt.is_not_null())
        .add(ClosesOrder.lte(now));
    match filter.status {
        None => {}
        Some(Status::Closed) => all = all.add(ended),
        Some(Status::Scheduled) => all = all.add(ended.not()).add(OpensAt.gt(now)),
        Some(Status::Open) => {
            let begun = Condition::any()
                .add(OpensAt.is_null())
                .add(OpensAt.lte(now));
            all = all.add(ended.not()).add(begun);
        }
    }
    if let Some(author) = filter.author {
        all = all.add(AuthorId.eq(author));
    }
    all
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
        let count = format!(
            "(SELECT COUNT(*) FROM (SELECT 1 FROM search_terms WHERE term = ? LIMIT {COUNTED}) AS t)"
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
fn with_terms(first: String, others: Vec<String>) -> Select<entity::Entity> {
    use term::Column::{CreatedAt, QuestionId, Term};
    let mut found = entity::Entity::find().filter(of_term(Term).eq(first));
    let same = of_term(QuestionId).equals((entity::Entity, entity::Column::Id));
    QuerySelect::query(&mut found).inner_join(term::Entity, same);
    for other in others {
        let there = Query::select()
            .column((OTHER, QuestionId))
            .from_as(term::Entity, OTHER)
            .and_where(Expr::col((OTHER, Term)).eq(other))
            .and_where(Expr::col((OTHER, CreatedAt)).equals((term::Entity, CreatedAt)))
            .and_where(Expr::col((OTHER, QuestionId)).equals((term::Entity, QuestionId)))
            .take();
        found = found.filter(of_term(QuestionId).eq(there));
    }
    found
}
