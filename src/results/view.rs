//! What is shown of a poll: read once for all who ask, and rendered once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use sea_orm::DbErr;
use uuid::Uuid;

use super::objects::Results;
use super::poll::Stamp;
use super::shared::{Key, Most, SharedReader};
use super::{Poll, are_visible, depends_on_ballot, picture, poll, results};
use crate::background;
use crate::ballots;
use crate::clock::{Clock, Time};
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::fair::FairSemaphore;
use crate::http::conditional::entity_tag;
use crate::http::reply::Rendered;
use crate::network::Network;
use crate::page::Cursor;
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
    pub poll: Arc<Poll>,
    /// When it was read, or found to be the same still.
    pub now: Time,
    /// Whether the query before found nothing else.
    steady: bool,
    drawn: Arc<Drawn>,
    results: OnceLock<Rendered>,
}

/// The answers that stay the same until the poll changes, or its status.
#[derive(Debug, Default)]
struct Drawn {
    with_numbers: OnceLock<Rendered>,
    without_numbers: OnceLock<Rendered>,
    picture: OnceLock<Rendered>,
}

impl View {
    fn new(poll: Poll, now: Time, steady: bool) -> View {
        View {
            poll: Arc::new(poll),
            now,
            steady,
            drawn: Arc::default(),
            results: OnceLock::new(),
        }
    }

    /// The same poll at a later moment.
    fn again(&self, now: Time) -> View {
        let question = &self.poll.question;
        let drawn = match question.status(now) == question.status(self.now) {
            true => self.drawn.clone(),
            false => Arc::default(),
        };
        View {
            poll: self.poll.clone(),
            now,
            steady: true,
            drawn,
            results: OnceLock::new(),
        }
    }

    /// The question, with its numbers or without.
    pub fn question(&self, numbers: bool) -> Result<Rendered, Failure> {
        let rendered = if numbers {
            &self.drawn.with_numbers
        } else {
            &self.drawn.without_numbers
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
            Ok(Rendered::new(rendered.body, Some(format!("W/{tag}"))))
        })
    }

    /// The results as a picture, in SVG.
    pub fn picture(&self) -> Result<Rendered, Failure> {
        once(&self.drawn.picture, || {
            let question = &self.poll.question;
            let results = results::results(&self.poll, self.now);
            let picture = picture::picture(&question.question_text, &results);
            let tag = entity_tag(question.revision, picture.as_bytes());
            Ok(Rendered::new(picture, Some(tag)))
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
    let rendered = render()?.for_many();
    Ok(cell.get_or_init(|| rendered).clone())
}

/// A page of a list: what it asks for, after which item, and how many.
#[derive(Debug, Clone)]
pub struct PageKey {
    pub filter: Filter,
    pub after: Option<Cursor>,
    pub limit: u32,
    /// Who asks. It is the same page for all others, too.
    pub network: Network,
    /// Whether it is read for this network alone.
    pub alone: bool,
}

impl PageKey {
    fn page(&self) -> (&Filter, Option<Cursor>, u32, Option<Network>) {
        let alone = Some(self.network).filter(|_| self.alone);
        (&self.filter, self.after, self.limit, alone)
    }
}

impl PartialEq for PageKey {
    fn eq(&self, other: &PageKey) -> bool {
        self.page() == other.page()
    }
}

impl Eq for PageKey {}

impl Hash for PageKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.page().hash(state);
    }
}

/// A page of polls.
#[derive(Debug)]
pub struct PageView {
    pub views: Vec<Arc<View>>,
    /// The last item, where there are more after it.
    pub last: Option<Cursor>,
    /// With the numbers that the first who asked may see.
    rendered: OnceLock<(Vec<bool>, Rendered)>,
}

impl PageView {
    /// The page, with the numbers or without as `numbers` has it for each view: as `render` makes
    /// it, once for those who see the same.
    pub fn rendered(
        &self,
        numbers: Vec<bool>,
        render: impl FnOnce(&[bool]) -> Result<Rendered, Failure>,
    ) -> Result<Rendered, Failure> {
        match self.rendered.get() {
            Some((seen, rendered)) if *seen == numbers => Ok(rendered.clone()),
            Some(_) => render(&numbers),
            None => {
                let rendered = render(&numbers)?.for_many();
                // Somebody else may have been quicker.
                let _ = self.rendered.set((numbers, rendered.clone()));
                Ok(rendered)
            }
        }
    }
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
            SharedReader::new("question", QUESTIONS, move |keys| {
                let (db, clock) = (db.clone(), clock.clone());
                async move {
                    let ids: Vec<Uuid> = keys.iter().map(|key| key.key).collect();
                    let last = keys.into_iter().filter_map(|key| key.last.flatten());
                    let mut views = read(&db, &clock, &ids, last).await?;
                    Ok(ids.iter().map(|id| views.remove(id)).collect())
                }
            })
        };
        let pages = {
            let pages = Pages {
                db: db.clone(),
                clock,
                large: Arc::default(),
                turns: FairSemaphore::new(pages_at_once(), PAGES_WAITING),
                large_turns: FairSemaphore::new(1, LARGE_PAGES_WAITING),
            };
            SharedReader::new("questions", PAGES, move |keys| {
                let pages = pages.clone();
                async move {
                    let mut read = Vec::with_capacity(keys.len());
                    for key in keys {
                        read.push(Arc::new(pages.page(key).await?));
                    }
                    Ok(read)
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
    pub async fn page(&self, mut key: PageKey) -> Result<Arc<PageView>, Failure> {
        match self.pages.read(key.clone()).await {
            // It may be another's queue that was full: whoever asked first waits for all.
            Err(failure) if failure.code == Code::Overloaded => {
                key.alone = true;
                Box::pin(self.pages.read(key)).await
            }
            read => read,
        }
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
                Box::pin(ballots::voted_on(self.db.read(), caller.id, ids)).await?
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

/// Reads the polls with these ids. Of those that have not changed lately, as far as was seen
/// `last`, the database is asked first whether they still are the same.
async fn read(
    db: &Db,
    clock: &Clock,
    ids: &[Uuid],
    last: impl Iterator<Item = Arc<View>>,
) -> Result<HashMap<Uuid, Arc<View>>, DbErr> {
    let last: HashMap<Uuid, Arc<View>> = last.map(|view| (view.poll.question.id, view)).collect();
    let seen = |stamp: Stamp| {
        last.get(&stamp.id)
            .filter(|view| view.poll.stamp() == stamp)
    };
    let steady = last.iter().filter(|(_, view)| view.steady);
    let steady: Vec<Uuid> = steady.map(|(id, _)| *id).collect();
    let mut views = HashMap::with_capacity(ids.len());
    if !steady.is_empty() {
        let stamps = poll::stamps(db.read(), steady).await?;
        let now = clock.now();
        for view in stamps.into_iter().filter_map(seen) {
            views.insert(view.poll.question.id, Arc::new(view.again(now)));
        }
    }
    let others = ids.iter().copied().filter(|id| !views.contains_key(id));
    let polls = poll::read(db.read(), &others.collect::<Vec<_>>()).await?;
    let now = clock.now();
    for poll in polls {
        let id = poll.question.id;
        let view = match seen(poll.stamp()) {
            Some(view) => view.again(now),
            None => View::new(poll, now, !last.contains_key(&id)),
        };
        views.insert(id, Arc::new(view));
    }
    Ok(views)
}

/// How many bytes of text a page of questions has at most, but for the last question. A client
/// that asks for many large questions gets fewer and a cursor.
const PAGE_BYTES: usize = 1 << 20;

/// How many questions of a page are read before it is known how large they are.
const FIRST_PIECE: usize = 20;

/// About how many bytes a question takes beside its texts, and each of its choices.
const QUESTION_BYTES: usize = 500;
const CHOICE_BYTES: usize = 120;

fn bytes_of(poll: &Poll) -> usize {
    let question = &poll.question;
    let description = question.description.as_ref().map_or(0, String::len);
    let choices = poll.choices.iter();
    let choices = choices.map(|choice| choice.choice_text.len() + CHOICE_BYTES);
    QUESTION_BYTES + question.question_text.len() + description + choices.sum::<usize>()
}

/// From so many bytes on a question is remembered as a large one.
const LARGE_QUESTION: usize = 16 * 1024;

/// How many large questions are remembered.
const LARGE_QUESTIONS: usize = 10_000;

/// From so many bytes on, reading a page takes so long that other requests would notice.
const LARGE_PAGE: usize = 256 * 1024;

/// How many pages of one network wait for their turn, large ones and others, and for how long.
const PAGES_WAITING: usize = 64;
const LARGE_PAGES_WAITING: usize = 8;
const PATIENCE: Duration = Duration::from_secs(2);

/// How many pages are read at once: more than a core each only wait for the database, and some of
/// its connections are for other reads.
fn pages_at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores + 1).clamp(3, 8)
}

/// Reads pages, a few at once, for all networks in turn. Large ones are read one after the other,
/// on a thread of low priority. Clones are one.
#[derive(Clone)]
struct Pages {
    db: Db,
    clock: Clock,
    /// The bytes of large questions, as far as they were seen.
    large: Arc<Mutex<HashMap<Uuid, usize>>>,
    turns: Arc<FairSemaphore>,
    large_turns: Arc<FairSemaphore>,
}

impl Pages {
    async fn page(&self, wanted: Key<PageKey, Arc<PageView>>) -> Result<PageView, Failure> {
        let Key { key, last } = wanted;
        let overloaded = || Failure::overloaded("Too many lists are being read.");
        // A client that has hung up leaves its query behind.
        let turn = self.turns.acquire(key.network, PATIENCE).await;
        let turn = turn.ok_or_else(overloaded)?;
        let limit = u64::from(key.limit);
        // One more than asked for tells whether there is another page.
        let (db, now) = (self.db.read(), self.clock.now());
        let keys = list::keys(db, &key.filter, key.after, limit + 1, now).await?;
        let known: usize = {
            let large = self.large.lock();
            let bytes = |key: &Cursor| large.get(&key.id);
            keys.iter().filter_map(bytes).sum()
        };
        if known < LARGE_PAGE {
            return Ok(self.read(key, keys, last).await?);
        }
        drop(turn);
        let turn = self.large_turns.acquire(key.network, PATIENCE).await;
        let _turn = turn.ok_or_else(overloaded)?;
        let pages = self.clone();
        let reading = background::spawn(async move {
            let page = pages.read(key, keys, last).await?;
            for view in &page.views {
                // Most see the numbers.
                view.question(true)?;
            }
            Ok(page)
        });
        reading.await.map_err(Failure::internal)?
    }

    async fn read(
        &self,
        key: PageKey,
        mut keys: Vec<Cursor>,
        last: Option<Arc<PageView>>,
    ) -> Result<PageView, DbErr> {
        let more = keys.len() > key.limit as usize;
        keys.truncate(key.limit as usize);
        let (mut views, mut bytes, mut taken) = (Vec::with_capacity(keys.len()), 0, 0);
        while taken < keys.len() && bytes < PAGE_BYTES {
            // After the first questions, as many as fit if the others are like them.
            let fit = (PAGE_BYTES - bytes) / (bytes / taken.max(1)).max(1);
            let piece = if taken == 0 { FIRST_PIECE } else { fit.max(1) };
            let piece = &keys[taken..keys.len().min(taken + piece)];
            let ids: Vec<Uuid> = piece.iter().map(|key| key.id).collect();
            let last_views = last.iter().flat_map(|page| page.views.iter().cloned());
            let seen = last_views.filter(|view| ids.contains(&view.poll.question.id));
            let mut found = read(&self.db, &self.clock, &ids, seen).await?;
            for id in ids {
                if bytes >= PAGE_BYTES {
                    break;
                }
                taken += 1;
                // It may have been deleted, or restored, since the keys were read.
                let view = found.remove(&id);
                let view = view.filter(|view| view.is_deleted() == key.filter.deleted);
                if let Some(view) = view {
                    let size = bytes_of(&view.poll);
                    self.remember(id, size);
                    bytes += size;
                    views.push(view);
                }
            }
        }
        let more = more || taken < keys.len();
        let last = taken.checked_sub(1).map(|last| keys[last]);
        Ok(PageView {
            views,
            last: last.filter(|_| more),
            rendered: OnceLock::new(),
        })
    }

    fn remember(&self, id: Uuid, bytes: usize) {
        if bytes < LARGE_QUESTION {
            return;
        }
        let mut large = self.large.lock();
        if large.len() >= LARGE_QUESTIONS {
            large.clear();
        }
        large.insert(id, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::{Question, Visibility};

    #[test]
    fn what_the_clock_does_not_change_is_drawn_once() {
        let end = Time(100);
        let question = Question {
            id: Uuid::nil(),
            author_id: Uuid::nil(),
            question_text: "Which one?".to_owned(),
            description: None,
            min_choices: 1,
            max_choices: 1,
            allow_change: true,
            results_visibility: Visibility::Always,
            opens_at: None,
            closes_at: Some(end),
            closes_order: end,
            closed_at: None,
            sealed_at: None,
            deleted_at: None,
            revision: 1,
            created_at: Time(0),
            updated_at: Time(0),
        };
        let poll = Poll {
            question,
            author_name: None,
            choices: Vec::new(),
            ballot_count: 0,
            version: 0,
        };
        let view = View::new(poll, Time(10), false);
        let drawn = |view: &View| view.question(true).unwrap().body;
        let later = view.again(Time(99));
        assert_eq!(drawn(&later).as_ptr(), drawn(&view).as_ptr());
        let closed = view.again(end);
        assert_ne!(drawn(&closed), drawn(&view));
        assert!(!view.steady && later.steady);
        // The results tell when they were read.
        let results = |view: &View| view.results().unwrap();
        assert_ne!(results(&later).body, results(&view).body);
        assert_eq!(results(&later).etag, results(&view).etag);
    }
    #[test]
    fn a_page_is_shown_again_only_with_the_same_numbers() {
        let page = PageView {
            views: Vec::new(),
            last: None,
            rendered: OnceLock::new(),
        };
        let shown = |numbers: bool, text: &'static str| {
            let render = |_: &[bool]| Ok(Rendered::new(text, None));
            page.rendered(vec![numbers], render).unwrap().body
        };
        assert_eq!(shown(true, "with numbers"), "with numbers");
        assert_eq!(shown(false, "without"), "without");
        assert_eq!(shown(true, "not rendered again"), "with numbers");
    }
}
