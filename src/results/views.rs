//! The reads of questions, each query shared by all who wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::counts::Counts;
use super::pages::{PageReader, PageView};
use super::poll::{self, Stamp};
use super::shared::{ReadLimits, SharedReader};
use super::{PageQuery, Poll, View, are_visible, depends_on_ballot, hidden};
use crate::ballots;
use crate::clock::Clock;
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::page::{Cursor, Page, PageRequest};
use crate::questions::closing::LotState;
use crate::questions::{self, entity};
use crate::rendered::Rendered;
use crate::tally::TieBreak;
use crate::users::Caller;

/// Limits for single questions: more than four queries at once gain nothing.
const QUESTIONS: ReadLimits = ReadLimits {
    queries: 4,
    keys_per_query: 64,
};

/// Limits for pages: they are not queued here; [`PageReader`] does that.
const PAGES: ReadLimits = ReadLimits {
    queries: usize::MAX,
    keys_per_query: 1,
};

/// Reads polls, each query shared by all who wait for it.
#[derive(Clone)]
pub struct Views {
    db: Db,
    questions: SharedReader<Uuid, Option<Arc<View>>>,
    pages: SharedReader<PageQuery, Arc<PageView>>,
    counts: Counts,
}

impl Views {
    pub fn new(db: Db, clock: Clock) -> Views {
        let questions = {
            let (db, clock) = (db.clone(), clock.clone());
            SharedReader::new("question", QUESTIONS, move |lookups| {
                let (db, clock) = (db.clone(), clock.clone());
                async move {
                    let ids: Vec<Uuid> = lookups.iter().map(|lookup| lookup.key).collect();
                    let previous = lookups.into_iter();
                    let previous = previous.filter_map(|lookup| lookup.previous.flatten());
                    let mut views = read(&db, &clock, &ids, previous).await?;
                    Ok(ids.iter().map(|id| views.remove(id)).collect())
                }
            })
        };
        let counts = Counts::new(db.clone(), clock.clone());
        let reader = PageReader::new(db.clone(), clock);
        let pages = SharedReader::new("questions", PAGES, move |lookups| {
            let reader = reader.clone();
            async move {
                let mut read = Vec::with_capacity(lookups.len());
                for lookup in lookups {
                    read.push(Arc::new(reader.page(lookup).await?));
                }
                Ok(read)
            }
        });
        Views {
            db,
            questions,
            pages,
            counts,
        }
    }

    /// The poll, if the caller may know of it: only its author and admins see a deleted one.
    pub async fn find(&self, id: Uuid, caller: Option<Caller>) -> Result<Arc<View>, Failure> {
        let view = self
            .questions
            .read(id)
            .await?
            .ok_or_else(questions::not_found)?;
        known(view, caller)
    }

    /// The poll with its ballots counted, for its results, if the caller may see them.
    /// [`Code::ResultsHidden`].
    pub async fn find_results(
        &self,
        id: Uuid,
        caller: Option<Caller>,
    ) -> Result<Arc<View>, Failure> {
        let view = self.find(id, caller).await?;
        self.require_visible(&view, caller).await?;
        if view.is_counted() {
            return Ok(view);
        }
        let view = known(self.counted(view).await?, caller)?;
        // The question may have been reopened meanwhile, or the ballot withdrawn.
        self.require_visible(&view, caller).await?;
        Ok(view)
    }

    /// [`Code::ResultsHidden`] unless the caller may see the numbers of this one.
    pub async fn require_visible(
        &self,
        view: &Arc<View>,
        caller: Option<Caller>,
    ) -> Result<(), Failure> {
        match self.is_visible(view, caller).await? {
            true => Ok(()),
            false => Err(hidden()),
        }
    }

    /// Whether the lot of a question has been drawn.
    pub async fn lot_state(&self, id: Uuid) -> Result<LotState, Failure> {
        let view = self.latest(id).await?.ok_or_else(questions::not_found)?;
        let question = &view.poll.question;
        let may_be_drawn = question.is_final() && question.effective_tie_break() == TieBreak::Lot;
        let view = match may_be_drawn {
            true => self.counted(view).await?,
            false => view,
        };
        Ok(LotState {
            sealed_at: view.poll.question.sealed_at,
            is_drawn: may_be_drawn && view.count()?.outcome.decided_by_lot,
        })
    }

    /// The same view with its ballots counted, or a later one. [`Code::Overloaded`] if that takes too
    /// long.
    pub async fn counted(&self, view: Arc<View>) -> Result<Arc<View>, Failure> {
        let counted = self.counts.counted(view).await?;
        counted.ok_or_else(questions::not_found)
    }

    /// The poll, even a deleted one: the caller of this method decides what is shown of it.
    pub async fn latest(&self, id: Uuid) -> Result<Option<Arc<View>>, Failure> {
        self.questions.read(id).await
    }

    /// A page of a list, as the caller may see it.
    pub async fn list(
        &self,
        query: PageQuery,
        caller: Option<Caller>,
    ) -> Result<Rendered, Failure> {
        let page = match self.pages.read(query.clone()).await {
            // The queue of another network may have been full: the first that asks for a page
            // waits in its network's queue for all who share the read.
            Err(failure) if failure.code == Code::Overloaded => {
                Box::pin(self.pages.read(query.unshared())).await
            }
            page => page,
        }?;
        let numbers = self.visible(&page.views, caller).await?;
        page.rendered(numbers)
    }

    /// A page of all questions of an author, deleted ones too, newest first.
    pub async fn asked_by(&self, author: Uuid, page: PageRequest) -> Result<Page<Poll>, Failure> {
        let asked = entity::Entity::find().filter(entity::Column::AuthorId.eq(author));
        let columns = (entity::Column::CreatedAt, entity::Column::Id);
        let cursor = |question: &entity::Model| Cursor {
            key: question.created_at.0,
            id: question.id,
        };
        let db = self.db.read();
        let asked = page.newest_first(db, asked, columns, cursor).await?;
        let ids: Vec<Uuid> = asked.items.iter().map(|question| question.id).collect();
        Ok(Page {
            items: poll::read(db, &ids).await?,
            next: asked.next,
        })
    }

    /// For each view, whether the caller may see its numbers.
    async fn visible(
        &self,
        views: &[Arc<View>],
        caller: Option<Caller>,
    ) -> Result<Vec<bool>, DbErr> {
        let undecided =
            |view: &&Arc<View>| depends_on_ballot(&view.poll.question, caller, view.read_at);
        let ids: Vec<Uuid> = views
            .iter()
            .filter(undecided)
            .map(|view| view.poll.question.id)
            .collect();
        let voted = match caller {
            Some(caller) if !ids.is_empty() => {
                // In a box: it is rare, and every request would need room for it otherwise.
                Box::pin(ballots::voted_on(self.db.read(), caller.id, ids)).await?
            }
            _ => Default::default(),
        };
        let visible = |view: &Arc<View>| {
            let question = &view.poll.question;
            are_visible(question, caller, voted.contains(&question.id), view.read_at)
        };
        Ok(views.iter().map(visible).collect())
    }

    /// Whether the caller may see the numbers of this one.
    pub async fn is_visible(
        &self,
        view: &Arc<View>,
        caller: Option<Caller>,
    ) -> Result<bool, DbErr> {
        let visible = self.visible(std::slice::from_ref(view), caller).await?;
        Ok(visible.first().copied().unwrap_or(false))
    }
}

/// The view, if the caller may know of its question.
fn known(view: Arc<View>, caller: Option<Caller>) -> Result<Arc<View>, Failure> {
    let may_change = |caller: Caller| view.poll.question.may_be_changed_by(caller);
    if view.is_deleted() && !caller.is_some_and(may_change) {
        return Err(questions::not_found());
    }
    Ok(view)
}

/// Reads the polls with these ids. `previous` are the views that the previous query has found: if
/// that query found a poll unchanged, its stamp is compared first, and the whole poll is read only
/// if the stamp has changed.
pub(super) async fn read(
    db: &Db,
    clock: &Clock,
    ids: &[Uuid],
    previous: impl Iterator<Item = Arc<View>>,
) -> Result<HashMap<Uuid, Arc<View>>, DbErr> {
    let previous = previous.map(|view| (view.poll.question.id, view));
    let previous: HashMap<Uuid, Arc<View>> = previous.collect();
    let unchanged = |stamp: Stamp| {
        let view = previous.get(&stamp.id);
        view.filter(|view| view.poll.stamp() == stamp)
    };
    let mut views = HashMap::with_capacity(ids.len());
    let steady = previous.iter().filter(|(_, view)| view.is_unchanged);
    let steady: Vec<Uuid> = steady.map(|(id, _)| *id).collect();
    if !steady.is_empty() {
        let stamps = poll::stamps(db.read(), steady).await?;
        let now = clock.now();
        for view in stamps.into_iter().filter_map(unchanged) {
            views.insert(view.poll.question.id, Arc::new(view.unchanged_at(now)));
        }
    }
    let others = ids.iter().copied().filter(|id| !views.contains_key(id));
    let polls = poll::read(db.read(), &others.collect::<Vec<_>>()).await?;
    let now = clock.now();
    for poll in polls {
        let id = poll.question.id;
        let view = match unchanged(poll.stamp()) {
            Some(view) => view.unchanged_at(now),
            None => View::new(poll, now, !previous.contains_key(&id)),
        };
        views.insert(id, Arc::new(view));
    }
    Ok(views)
}
