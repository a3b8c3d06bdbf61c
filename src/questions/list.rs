//! Which questions a list shows, a page at a time.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{Condition, ExprTrait as _, QueryOrder as _, QuerySelect as _};

use super::{Status, entity, search, term};
use crate::clock::Time;
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
    let key = match filter.sort {
        Sort::NewestFirst | Sort::OldestFirst => entity::Column::CreatedAt,
        Sort::ClosesFirst => entity::Column::ClosesOrder,
    };
    let order = match filter.sort {
        Sort::NewestFirst => sea_orm::Order::Desc,
        Sort::OldestFirst | Sort::ClosesFirst => sea_orm::Order::Asc,
    };
    let mut query = entity::Entity::find()
        .select_only()
        .columns([key, entity::Column::Id])
        .filter(matches(filter, now))
        .order_by(key, order.clone())
        .order_by(entity::Column::Id, order)
        .limit(limit);
    if let Some(Cursor { key: last, id }) = after {
        let row = Expr::tuple([Expr::col(key), Expr::col(entity::Column::Id)]);
        let last = Expr::tuple([Expr::value(last), Expr::value(id)]);
        query = query.filter(match filter.sort {
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

fn matches(filter: &Filter, now: Time) -> Condition {
    use entity::Column::{AuthorId, ClosedAt, ClosesOrder, DeletedAt, Id, OpensAt, SealedAt};
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
    if let Some(words) = &filter.words {
        let terms = search::query(words);
        if terms.is_empty() {
            all = all.add(Expr::val(1).eq(0));
        }
        for term in terms {
            all = all.add(Id.in_subquery(with_term(term)));
        }
    }
    all
}

fn with_term(term: String) -> SelectStatement {
    Query::select()
        .column(term::Column::QuestionId)
        .from(term::Entity)
        .and_where(term::Column::Term.eq(term))
        .take()
}
