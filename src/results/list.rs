//! Which questions a list shows, a page at a time.

use poem_openapi::Enum;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _};
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{Condition, ExprTrait as _, Order};

use super::facet::{self, Facet};
use crate::clock::Time;
use crate::db;
use crate::page::{Cursor, PageRequest};
use crate::questions::{Question, Status, closing, entity, search, term};

/// What a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    pub status: Option<Status>,
    pub author: Option<Uuid>,
    /// Only questions that have all of these words, or words that begin so; see [`search`].
    pub words: Option<String>,
    pub sort: Sort,
    /// Only questions that are listed, or only those that are not; none for both.
    pub listed: Option<bool>,
    /// Deleted questions instead of the others.
    pub deleted: bool,
}

impl Filter {
    /// Names the list in its cursors.
    pub fn scope(&self) -> String {
        format!("{self:?}")
    }

    /// Whether the list may show a question that was in it a moment ago.
    pub(super) fn still_shows(&self, question: &Question) -> bool {
        let listed = self.listed.unwrap_or(question.listed);
        question.deleted_at.is_some() == self.deleted && question.listed == listed
    }
}

/// The order of a list.
// Ties are broken by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename = "QuestionSort")]
pub enum Sort {
    /// Newest first.
    #[oai(rename = "-created_at")]
    NewestFirst,
    /// Oldest first.
    #[oai(rename = "created_at")]
    OldestFirst,
    /// What closes first; those without an end last.
    #[oai(rename = "closes_at")]
    ClosesFirst,
}

impl Sort {
    fn order(self) -> Order {
        match self {
            Sort::NewestFirst => Order::Desc,
            Sort::OldestFirst | Sort::ClosesFirst => Order::Asc,
        }
    }
}

/// The keys of the questions on a page, in order, and of one more if there are more.
pub async fn keys(
    db: &impl ConnectionTrait,
    filter: &Filter,
    page: PageRequest,
    now: Time,
) -> Result<Vec<Cursor>, DbErr> {
    let (after, limit) = (page.after, page.to_read());
    let mut keys = Vec::new();
    for part in parts(filter, now) {
        let path = part.path(db, filter.sort, after).await?;
        let query = part.query(db, path, filter, after, limit);
        for row in db.query_all(&query).await? {
            let key: (i64, Uuid) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            keys.push(key);
        }
    }
    // A question that is sealed between the two queries is found by both.
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

/// Questions of a list that one query looks up.
struct Part {
    /// As in [`Filter`].
    listed: Option<bool>,
    /// Those whose index is in the order of creation come first.
    facets: Vec<Facet>,
    /// A further condition, which no index is for.
    condition: Condition,
}

/// Which index the query of a part follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// The index of the facet at this place, which has the order of the list.
    Facet(usize),
    /// The index of the facet at this place. All questions of the facet are read, since they are
    /// few, and sorted afterwards.
    Few(usize),
    /// The index that has the order of the list, with the status and with whether questions are
    /// listed, as far as the list asks for that.
    Order,
}

/// The parts of a list; none if its search text has no words.
fn parts(filter: &Filter, now: Time) -> Vec<Part> {
    match (&filter.words, filter.listed) {
        (None, listed) => parts_with(Vec::new(), filter, listed, now),
        (Some(words), listed) => {
            let terms = search::query(words);
            if terms.is_empty() {
                return Vec::new();
            }
            // The terms of questions that are not listed are apart from the others.
            let listed = listed.map_or(vec![false, true], |listed| vec![listed]);
            let of = |listed| {
                let terms = terms
                    .iter()
                    .map(|term| Facet::Term(term::key(term, listed)));
                parts_with(terms.collect(), filter, Some(listed), now)
            };
            listed.into_iter().flat_map(of).collect()
        }
    }
}

/// The parts of a list among the questions with these terms.
fn parts_with(terms: Vec<Facet>, filter: &Filter, listed: Option<bool>, now: Time) -> Vec<Part> {
    use entity::Column::OpensAt;
    let mut facets = terms;
    facets.extend(filter.author.map(|author| Facet::Author(author, listed)));
    facets.extend(filter.deleted.then_some(Facet::Deleted));
    let part = |more: &[Facet], condition| Part {
        listed,
        facets: [&facets[..], more].concat(),
        condition,
    };
    let not_ended = || Condition::all().add(closing::has_ended(now).not());
    match filter.status {
        None => vec![part(&[], Condition::all())],
        Some(Status::Open) => {
            let begun = Condition::any()
                .add(OpensAt.is_null())
                .add(OpensAt.lte(now));
            vec![part(
                &[Facet::Sealed(false, listed)],
                not_ended().add(begun),
            )]
        }
        Some(Status::Scheduled) => {
            let facets = [Facet::Sealed(false, listed), Facet::OpensAfter(now)];
            vec![part(&facets, not_ended())]
        }
        // Questions that have ended, but are not sealed yet, are few: they are sealed soon
        // after. They are looked up first: a question that is sealed between the two queries is
        // found twice rather than never.
        Some(Status::Closed) => [Facet::Due(now), Facet::Sealed(true, listed)]
            .map(|ended| part(&[ended], Condition::all()))
            .into(),
    }
}

impl Part {
    /// Chooses the path that reads the fewest questions that are not in the list.
    async fn path(
        &self,
        db: &impl ConnectionTrait,
        sort: Sort,
        after: Option<Cursor>,
    ) -> Result<Path, DbErr> {
        let is_due = |facet: &Facet| matches!(facet, Facet::Due(_));
        if let Some(due) = self.facets.iter().position(is_due) {
            return Ok(Path::Few(due));
        }
        if sort == Sort::ClosesFirst && matches!(self.facets[..], [Facet::Sealed(..)]) {
            return Ok(Path::Order);
        }
        // Facets whose index has another order than the list are of use only if they are few.
        for (place, facet) in self.facets.iter().enumerate() {
            let other = sort == Sort::ClosesFirst || !facet.is_in_order();
            if other && facet::is_few(db, facet).await? {
                return Ok(Path::Few(place));
            }
        }
        let in_order = self.facets.iter().take_while(|facet| facet.is_in_order());
        let in_order = &self.facets[..in_order.count()];
        if sort == Sort::ClosesFirst || in_order.is_empty() {
            return Ok(Path::Order);
        }
        let after = after.map(|last| last.key);
        let rarest = facet::rarest(db, in_order, &sort.order(), after).await?;
        Ok(Path::Facet(rarest))
    }

    fn query(
        &self,
        db: &impl ConnectionTrait,
        path: Path,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u64,
    ) -> SelectStatement {
        let place = self.lead(path);
        let lead = place.map(|place| &self.facets[place]);
        let (mut query, created_at, id) = match lead {
            Some(Facet::Term(term)) => {
                let created_at = term::Column::CreatedAt.into_expr();
                let id = term::Column::QuestionId.into_expr();
                (with_term(db, term), created_at, id)
            }
            _ => {
                let mut all = Query::select().from(entity::Entity).take();
                if let Some(index) = self.index(path, filter.sort) {
                    // Only MariaDB and MySQL read the hint.
                    all.force_index(index, IndexHintScope::All);
                }
                all.and_where_option(match lead {
                    Some(lead) => Some(lead.leading(db)),
                    None => self.listed.map(facet::is_listed),
                });
                let created_at = entity::Column::CreatedAt.into_expr();
                (all, created_at, entity::Column::Id.into_expr())
            }
        };
        let key = match filter.sort {
            Sort::NewestFirst | Sort::OldestFirst => created_at,
            Sort::ClosesFirst => entity::Column::ClosesOrder.into_expr(),
        };
        query
            .expr_as(key.clone(), "list_key")
            .expr_as(id.clone(), "list_id");
        if !self.condition.is_empty() {
            query.and_where(db::unindexed(db, self.condition.clone().into()));
        }
        if !filter.deleted {
            query.and_where(entity::Column::DeletedAt.is_null());
        }
        if let Some(lead) = lead
            && let Some(listed) = self.listed.filter(|_| lead.listed().is_none())
        {
            query.and_where(db::unindexed(db, facet::is_listed(listed)));
        }
        for (other, facet) in self.facets.iter().enumerate() {
            if place != Some(other) {
                query.and_where(facet.beside(lead, db));
            }
        }
        let prefix = match lead {
            _ if !db::is_led_by_rows(db) => Vec::new(),
            Some(lead) => lead.prefix(),
            None => self.listed.map(facet::listed_flag).into_iter().collect(),
        };
        let beyond = after.map(|last| beyond(last, filter.sort, prefix, (&key, &id)).into());
        if let Path::Few(_) = path {
            // The index has another order than the list, so it does not help to find the place.
            let beyond = beyond.map(|beyond| db::unindexed(db, beyond));
            return query.and_where_option(beyond).take();
        }
        let order = filter.sort.order();
        query
            .and_where_option(beyond)
            .order_by_expr(key, order.clone())
            .order_by_expr(id, order)
            .limit(limit)
            .take()
    }

    /// The facet whose index the path follows.
    fn lead(&self, path: Path) -> Option<usize> {
        match path {
            Path::Facet(lead) | Path::Few(lead) => Some(lead),
            Path::Order => {
                let is_status = |facet: &Facet| matches!(facet, Facet::Sealed(..));
                self.facets.iter().position(is_status)
            }
        }
    }

    /// The index of the questions that the path follows; none if the engine chooses it.
    fn index(&self, path: Path, sort: Sort) -> Option<&'static str> {
        let lead = self.lead(path);
        let (is_by_status, is_by_end) = (lead.is_some(), sort == Sort::ClosesFirst);
        match (path, self.listed.is_some()) {
            (Path::Order, true) if is_by_end => Some(match is_by_status {
                true => "questions_listed_status_closes",
                false => "questions_listed_closes",
            }),
            (Path::Order, false) if is_by_end => Some(match is_by_status {
                true => "questions_status_closes",
                false => "questions_closes",
            }),
            (Path::Order, true) if !is_by_status => Some("questions_listed_created"),
            _ => lead.and_then(|lead| self.facets[lead].index()),
        }
    }
}

/// The condition for questions after the last one of the previous page. `prefix` are the columns of the
/// index before those of the order, with their values: with them no other index leads to the place,
/// however few questions the engine expects there.
fn beyond(
    last: Cursor,
    sort: Sort,
    prefix: Vec<(Expr, Expr)>,
    (key, id): (&Expr, &Expr),
) -> Condition {
    // MySQL can seek in an index by a column, but not by a row value.
    let column = facet::from(key.clone(), &sort.order(), last.key);
    let column = Some(column).filter(|_| prefix.is_empty());
    let (mut columns, mut values): (Vec<Expr>, Vec<Expr>) = prefix.into_iter().unzip();
    columns.extend([key.clone(), id.clone()]);
    values.extend([Expr::value(last.key), Expr::value(last.id)]);
    let (row, last) = (Expr::tuple(columns), Expr::tuple(values));
    let row = match sort {
        Sort::NewestFirst => row.lt(last),
        Sort::OldestFirst | Sort::ClosesFirst => row.gt(last),
    };
    Condition::all().add_option(column).add(row)
}

/// Questions that have a term, in the order of the index of terms: by creation.
fn with_term(db: &impl ConnectionTrait, term: &str) -> SelectStatement {
    let id = term::Column::QuestionId.into_expr();
    let same = id.equals((entity::Entity, entity::Column::Id));
    Query::select()
        .from(term::Entity)
        .join(db::join_type(db), entity::Entity, same)
        .and_where(term::Column::Term.eq(term))
        .take()
}
