//! What is shown of a poll: read once for all who ask, and rendered once.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use sea_orm::DbErr;
use uuid::Uuid;

use super::objects::Results;
use super::shared::{Most, SharedReader};
use super::{Poll, are_visible, depends_on_ballot, picture, poll, results};
use crate::ballots;
use crate::clock::{Clock, Time};
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::http::conditional::entity_tag;
use crate::http::page::Cursor;
use crate::http::reply::Rendered;
use crate::questions;
use crate::questions::api::objects::Question;
use crate::questions::list::{self, Filter};
use crate::users::Caller;

/// Of questions. Four queries keep a database busy.
const QUESTIONS: Most = Most {
    queries: 4,
    keys: 64,
};

/// Of pages, none of which is to wait for another.
const PAGES: Most = Most {
    queries: usize::MAX,
    keys: 1,
};

/// A poll as it was at one moment, and the answers made from it.
#[derive(Debug)]
pub struct View {
    pub poll: Poll,
    /// When it was read.
    pub now: Time,
    with_numbers: OnceLock<Rendered>,
    without_numbers: OnceLock<Rendered>,
    results: OnceLock<Rendered>,
    picture: OnceLock<Rendered>,
}

impl View {
    fn new(poll: Poll, now: Time) -> View {
        View {
            poll,
            now,
            with_numbers: OnceLock::new(),
            without_numbers: OnceLock::new(),
            results: OnceLock::new(),
            picture: OnceLock::new(),
        }
    }

    /// The question, with its numbers or without.
    pub fn question(&self, numbers: bool) -> Result<Rendered, Failure> {
        let rendered = if numbers {
            &self.with_numbers
        } else {
            &self.without_numbers
        };
        once(rendered, || {
            let question = Question::of(&self.poll, numbers, self.now);
            Rendered::tagged(&question, question.revision)
        })
    }

    /// The results. Their tag leaves out the time at which they were read, and so is weak.
    pub fn results(&self) -> Result<Rendered, Failure> {
        once(&self.results, || {
            let mut results = Results::from(results::results(&self.poll, self.now));
            let rendered = Rendered::plain(&results)?;
            results.as_of = Time(0);
            let timeless = Rendered::plain(&results)?;
            let tag = entity_tag(self.poll.question.revision, &timeless.body);
            Ok(Rendered {
                etag: Some(format!("W/{tag}")),
                ..rendered
            })
        })
    }

    /// The results as a picture, in SVG.
    pub fn picture(&self) -> Result<Rendered, Failure> {
        once(&self.picture, || {
            let question = &self.poll.question;
            let results = results::results(&self.poll, self.now);
            let picture = picture::picture(&question.question_text, &results);
            Ok(Rendered {
                etag: Some(entity_tag(question.revision, picture.as_bytes())),
                body: picture.into(),
            })
        })
    }

    fn is_deleted(&self) -> bool {
        self.poll.question.deleted_at.is_some()
    }
}

fn once(
    cell: &OnceLock<Rendered>,
    render: impl FnOnce() -> Result<Rendered, Failure>,
) -> Result<Rendered, Failure> {
    if let Some(rendered) = cell.get() {
        return Ok(rendered.clone());
    }
    let rendered = render()?;
    Ok(cell.get_or_init(|| rendered).clone())
}

/// A page of a list: what it asks for, after which item, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageKey {
    pub filter: Filter,
    pub after: Option<Cursor>,
    pub limit: u32,
}

/// A page of polls.
#[derive(Debug)]
pub struct PageView {
    pub views: Vec<Arc<View>>,
    /// The last item, where there are more after it.
    pub last: Option<Cursor>,
}

/// Reads polls, each query shared by all who wait for it.
#[derive(Clone)]
pub struct Views {
    db: Db,
    one: SharedReader<Uuid, Option<Arc<View>>>,
    pages: SharedReader<PageKey, Arc<PageView>>,
}

impl Views {
    pub fn new(db: Db, clock: Clock) -> Views {
        let one = {
            let (db, clock) = (db.clone(), clock.clone());
            SharedReader::new("question", QUESTIONS, move |ids| {
                let (db, clock) = (db.clone(), clock.clone());
                async move {
                    let views = read(&db, &clock, &ids).await?;
                    let views = views.into_iter().map(|view| (view.poll.question.id, view));
                    let mut views: HashMap<Uuid, Arc<View>> = views.collect();
                    Ok(ids.iter().map(|id| views.remove(id)).collect())
                }
            })
        };
        let pages = {
            let db = db.clone();
            SharedReader::new("questions", PAGES, move |keys: Vec<PageKey>| {
                let (db, clock) = (db.clone(), clock.clone());
                async move {
                    let mut pages = Vec::with_capacity(keys.len());
                    for key in &keys {
                        pages.push(Arc::new(page(&db, &clock, key).await?));
                    }
                    Ok(pages)
                }
            })
        };
        Views { db, one, pages }
    }

    /// The poll, for one who may know of it: a deleted one only for its author and admins.
    pub async fn find(&self, id: Uuid, caller: Option<Caller>) -> Result<Arc<View>, Failure> {
        let view = self.one.read(id).await?.ok_or_else(questions::not_found)?;
        let may_change = |caller: Caller| view.poll.question.may_be_changed_by(caller);
        if view.is_deleted() && !caller.is_some_and(may_change) {
            return Err(questions::not_found());
        }
        Ok(view)
    }

    /// The poll for whoever knows what may be shown of it, deleted ones included.
    pub async fn latest(&self, id: Uuid) -> Result<Option<Arc<View>>, Failure> {
        self.one.read(id).await
    }

    /// A page of polls.
    pub async fn page(&self, key: PageKey) -> Result<Arc<PageView>, Failure> {
        self.pages.read(key).await
    }

    /// For each view, whether the caller may see its numbers.
    pub async fn visible(
        &self,
        views: &[Arc<View>],
        caller: Option<Caller>,
    ) -> Result<Vec<bool>, DbErr> {
        let undecided =
            |view: &&Arc<View>| depends_on_ballot(&view.poll.question, caller, view.now);
        let ids: Vec<Uuid> = views
            .iter()
            .filter(undecided)
            .map(|view| view.poll.question.id)
            .collect();
        let voted = match caller {
            Some(caller) if !ids.is_empty() => {
                // In a box: it is rare, and every request would need room for it otherwise.
                Box::pin(ballots::on_any_of(self.db.read(), caller.id, ids)).await?
            }
            _ => Default::default(),
        };
        let visible = |view: &Arc<View>| {
            let question = &view.poll.question;
            are_visible(question, caller, voted.contains(&question.id), view.now)
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

/// The results are hidden from the caller.
pub fn hidden() -> Failure {
    Failure::new(
        Code::ResultsHidden,
        "The results of this question are not visible to you yet.",
    )
}

async fn read(db: &Db, clock: &Clock, ids: &[Uuid]) -> Result<Vec<Arc<View>>, DbErr> {
    let polls = poll::read(db.read(), ids).await?;
    let now = clock.now();
    Ok(polls
        .into_iter()
        .map(|poll| Arc::new(View::new(poll, now)))
        .collect())
}

async fn page(db: &Db, clock: &Clock, key: &PageKey) -> Result<PageView, DbErr> {
    let limit = u64::from(key.limit);
    // One more than asked for tells whether there is another page.
    let mut keys = list::keys(db.read(), &key.filter, key.after, limit + 1, clock.now()).await?;
    let more = keys.len() > key.limit as usize;
    keys.truncate(key.limit as usize);
    let last = keys.last().copied().filter(|_| more);
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id).collect();
    let mut views = read(db, clock, &ids).await?;
    // It may have been deleted, or restored, since the keys were read.
    views.retain(|view| view.is_deleted() == key.filter.deleted);
    Ok(PageView { views, last })
}
