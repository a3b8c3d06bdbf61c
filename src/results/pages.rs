//! Pages of questions: read in turn for all networks, bounded in size, rendered once for all who
//! see the same.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use sea_orm::DbErr;
use serde::Serialize;
use uuid::Uuid;

use super::list::{self, Filter};
use super::shared::Lookup;
use super::views::read;
use super::{Poll, View};
use crate::background;
use crate::clock::Clock;
use crate::db::Db;
use crate::failure::Failure;
use crate::fair::FairSemaphore;
use crate::network::Network;
use crate::page::{Cursor, Page, PageMeta, PageRequest};
use crate::rendered::Rendered;

/// Which page of which list is asked for, and from where.
///
/// Queries are equal, and share one read, if they ask for the same page, whatever their networks
/// are; unless `is_shared` is false.
#[derive(Debug, Clone)]
pub struct PageQuery {
    pub filter: Filter,
    pub page: PageRequest,
    /// The network of the client, which waits for its turn.
    pub network: Network,
    /// Whether clients of other networks may share the read.
    is_shared: bool,
}

impl PageQuery {
    pub fn new(filter: Filter, page: PageRequest, network: Network) -> PageQuery {
        PageQuery {
            filter,
            page,
            network,
            is_shared: true,
        }
    }

    /// The same page, read for the client's network alone.
    pub(super) fn unshared(self) -> PageQuery {
        PageQuery {
            is_shared: false,
            ..self
        }
    }

    fn key(&self) -> (&Filter, PageRequest, Option<Network>) {
        let network = Some(self.network).filter(|_| !self.is_shared);
        (&self.filter, self.page, network)
    }
}

impl PartialEq for PageQuery {
    fn eq(&self, other: &PageQuery) -> bool {
        self.key() == other.key()
    }
}

impl Eq for PageQuery {}

impl Hash for PageQuery {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// A page of polls, and the answer made from it.
#[derive(Debug)]
pub struct PageView {
    pub views: Vec<Arc<View>>,
    /// The last item, if there are more after it, as the opaque cursor.
    next_cursor: Option<String>,
    /// The answer for the first client: for each view whether its numbers are shown, and the body.
    rendered: OnceLock<(Vec<bool>, Rendered)>,
}

impl PageView {
    fn new(views: Vec<Arc<View>>, next_cursor: Option<String>) -> PageView {
        PageView {
            views,
            next_cursor,
            rendered: OnceLock::new(),
        }
    }

    /// The page, each view with its numbers or without as `numbers` says. It is rendered once for
    /// all clients that see the same numbers as the first one.
    pub(super) fn rendered(&self, numbers: Vec<bool>) -> Result<Rendered, Failure> {
        match self.rendered.get() {
            Some((seen, rendered)) if *seen == numbers => Ok(rendered.clone()),
            Some(_) => self.render(&numbers),
            None => {
                let rendered = self.render(&numbers)?.for_many();
                // Another client may have been first meanwhile.
                let _ = self.rendered.set((numbers, rendered.clone()));
                Ok(rendered)
            }
        }
    }

    fn render(&self, numbers: &[bool]) -> Result<Rendered, Failure> {
        let questions = self.views.iter().zip(numbers);
        let data = questions.map(|(view, numbers)| view.question(*numbers));
        Rendered::plain(&RenderedPage {
            data: data.collect::<Result<_, _>>()?,
            meta: PageMeta {
                next_cursor: self.next_cursor.clone(),
            },
        })
    }
}

/// A [`QuestionPage`](super::objects::QuestionPage) whose questions are rendered already.
#[derive(Serialize)]
struct RenderedPage {
    data: Vec<Rendered>,
    meta: PageMeta,
}

/// A page ends with the question that reaches this size in bytes. A client that asks for many
/// large questions gets fewer and a cursor.
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

/// The size in bytes from which on a question is remembered as a large one.
const LARGE_QUESTION: usize = 16 * 1024;

/// How many large questions are remembered.
const LARGE_QUESTIONS: usize = 10_000;

/// The size in bytes from which on reading a page would delay other requests noticeably.
const LARGE_PAGE: usize = 256 * 1024;

/// How many pages of one network wait for their turn, large ones and others, and for how long.
const PAGES_WAITING: usize = 64;
const LARGE_PAGES_WAITING: usize = 8;
const PATIENCE: Duration = Duration::from_secs(2);

/// How many pages are read at once. More of them than cores would only wait for the database, and
/// some connections have to be left for other reads.
fn pages_at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores + 1).clamp(3, 8)
}

/// Reads pages, a few at once, for all networks in turn. Large ones are read one after the other,
/// on a thread of low priority. Clones share the turns.
#[derive(Clone)]
pub(super) struct PageReader {
    db: Db,
    clock: Clock,
    /// The sizes in bytes of the large questions that were read lately.
    large: Arc<Mutex<HashMap<Uuid, usize>>>,
    turns: Arc<FairSemaphore>,
    large_turns: Arc<FairSemaphore>,
}

impl PageReader {
    pub(super) fn new(db: Db, clock: Clock) -> PageReader {
        PageReader {
            db,
            clock,
            large: Arc::default(),
            turns: FairSemaphore::new(pages_at_once(), PAGES_WAITING),
            large_turns: FairSemaphore::new(1, LARGE_PAGES_WAITING),
        }
    }

    /// Reads a page. [`Code::Overloaded`](crate::failure::Code::Overloaded) where too many of the
    /// network wait, or the turn does not come in time.
    pub(super) async fn page(
        &self,
        lookup: Lookup<PageQuery, Arc<PageView>>,
    ) -> Result<PageView, Failure> {
        let Lookup {
            key: query,
            previous,
        } = lookup;
        let overloaded = || Failure::overloaded("Too many lists are being read.");
        // A client that has hung up leaves its query behind.
        let turn = self.turns.acquire(query.network, PATIENCE).await;
        let turn = turn.ok_or_else(overloaded)?;
        let keys = list::keys(self.db.read(), &query.filter, query.page, self.clock.now()).await?;
        let known: usize = {
            let large = self.large.lock();
            let bytes = |key: &Cursor| large.get(&key.id);
            keys.iter().filter_map(bytes).sum()
        };
        if known < LARGE_PAGE {
            return Ok(self.read(query, keys, previous).await?);
        }
        drop(turn);
        let turn = self.large_turns.acquire(query.network, PATIENCE).await;
        let _turn = turn.ok_or_else(overloaded)?;
        let reader = self.clone();
        let reading = background::spawn(async move {
            let page = reader.read(query, keys, previous).await?;
            for view in &page.views {
                // With the numbers, since most clients see them.
                view.question(true)?;
            }
            Ok(page)
        });
        reading.await.map_err(Failure::internal)?
    }

    async fn read(
        &self,
        query: PageQuery,
        keys: Vec<Cursor>,
        previous: Option<Arc<PageView>>,
    ) -> Result<PageView, DbErr> {
        let Page { items: keys, next } = Page::new(keys, query.page.limit, |key| *key);
        let (mut views, mut bytes, mut taken) = (Vec::with_capacity(keys.len()), 0, 0);
        while taken < keys.len() && bytes < PAGE_BYTES {
            // After the first questions, as many as fit if the others are like them.
            let fit = (PAGE_BYTES - bytes) / (bytes / taken.max(1)).max(1);
            let piece = if taken == 0 { FIRST_PIECE } else { fit.max(1) };
            let piece = &keys[taken..keys.len().min(taken + piece)];
            let ids: Vec<Uuid> = piece.iter().map(|key| key.id).collect();
            let seen = previous.iter().flat_map(|page| page.views.iter().cloned());
            let seen = seen.filter(|view| ids.contains(&view.poll.question.id));
            let mut found = read(&self.db, &self.clock, &ids, seen).await?;
            for id in ids {
                if bytes >= PAGE_BYTES {
                    break;
                }
                taken += 1;
                // It may have been deleted, or restored, since the keys were read, or unlisted.
                let view = found.remove(&id);
                let view = view.filter(|view| query.filter.still_shows(&view.poll.question));
                if let Some(view) = view {
                    let size = bytes_of(&view.poll);
                    self.remember(id, size);
                    bytes += size;
                    views.push(view);
                }
            }
        }
        let next = match taken < keys.len() {
            true => taken.checked_sub(1).map(|last| keys[last]),
            false => next,
        };
        let next_cursor = next.map(|next| next.encode(&query.filter.scope()));
        Ok(PageView::new(views, next_cursor))
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
    use poem_openapi::types::Example as _;

    use super::*;
    use crate::clock::Time;
    use crate::results::Poll;

    #[test]
    fn a_page_is_shown_again_only_with_the_same_numbers() {
        let view = View::new(Poll::example(), Time(0), false);
        let page = PageView::new(vec![Arc::new(view)], Some("abc".to_owned()));
        let shown = |with_numbers: bool| page.rendered(vec![with_numbers]).unwrap().body;
        let first = shown(true);
        assert!(first.ends_with(br#""meta":{"next_cursor":"abc"}}"#));
        let has_votes = |body: &[u8]| String::from_utf8_lossy(body).contains("votes");
        assert!(has_votes(&first) && !has_votes(&shown(false)));
        // Rendered once for all who see the same.
        assert_eq!(shown(true).as_ptr(), first.as_ptr());
    }
}
