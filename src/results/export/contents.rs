//! What the ballots on a question say, without who has cast them.
//!
//! Ballots are read in passes over all of them. A pass keeps the next ones in the order of what they
//! say, as many as fit into some megabytes, so most questions need one pass. That way nothing but the
//! content of a ballot decides its place in a file, and memory is bounded however many differ.

use std::collections::BTreeMap;

use sea_orm::{DbErr, EntityTrait as _, QueryResult};
use uuid::Uuid;

use crate::ballots::{method, profile};
use crate::clock::Time;
use crate::db::{self, Db, PACKED, Packed};
use crate::failure::{Code, Failure};
use crate::questions::{choices, entity};
use crate::results::Poll;
use crate::tally::{BallotKind, Method};

/// How many bytes the contents that one pass keeps may take.
const KEPT: usize = 4 << 20;

/// About how many bytes an entry takes beside its content.
const ENTRY: usize = 64;

/// What a ballot says: the place of each choice that it names, best first; with scores in the order of
/// places, each followed by its score. Empty for an abstention.
pub(super) type Content = Vec<u8>;

/// The ballots on a question that is sealed, in the order of their contents.
pub(super) struct Contents {
    question: Uuid,
    method: Method,
    /// While this stays, nothing is counted.
    sealed_at: Option<Time>,
    /// The place of each choice in their order, by its number in what is read: its ordinal in a
    /// profile, its position in sets.
    places: Vec<Option<u8>>,
    abstentions: u64,
    /// The last content of the passes before; none before the first pass.
    last: Option<Content>,
    is_done: bool,
}

impl Contents {
    pub(super) async fn of(db: &Db, poll: &Poll) -> Result<Contents, DbErr> {
        let question = &poll.question;
        let mut places = vec![None; usize::from(u8::MAX) + 1];
        for (place, choice) in (0..).zip(choices::of(db.read(), question.id).await?) {
            let number = match method::keeps_profile(question.method) {
                true => choice.ordinal,
                false => Some(choice.position),
            };
            let number = number.and_then(|number| usize::try_from(number).ok());
            if let Some(entry) = number.and_then(|number| places.get_mut(number)) {
                *entry = Some(place);
            }
        }
        Ok(Contents {
            question: question.id,
            method: question.method,
            sealed_at: question.sealed_at,
            places,
            abstentions: u64::try_from(poll.abstentions).unwrap_or(0),
            last: None,
            is_done: false,
        })
    }

    /// The next contents, each with the number of ballots; none after the last.
    /// [`Code::VotingOpen`] if the question has been reopened.
    pub(super) async fn next(&mut self, db: &Db) -> Result<Counted, Failure> {
        if self.is_done {
            return Ok(Counted::default());
        }
        let mut pass = match method::keeps_profile(self.method) {
            true => self.pass_over_profile(db).await?,
            false => self.pass_over_marks(db).await?,
        };
        self.require_sealed(db).await?;
        if self.last.is_none() && self.abstentions > 0 {
            pass.add(Content::new(), self.abstentions);
        }
        self.is_done = pass.end.is_none();
        let last = pass.kept.last_key_value();
        self.last = last.map(|(content, _)| content.clone());
        Ok(pass.kept.into_iter().collect())
    }

    async fn pass_over_profile(&self, db: &Db) -> Result<Pass, DbErr> {
        let reader = db.read();
        let rows = profile::size(reader, (self.question, self.method))
            .await?
            .ballots;
        let sql = profile::ballots_sql(reader, rows);
        let sql = db::document_rows(reader, &[(&PACKED, &sql)]);
        let statement = db::statement(reader, &sql, [self.question.into()]);
        let take = |pass: &mut Pass, row: QueryResult| {
            for packed in db::documents_of::<Packed>(&row, 0)? {
                packed.unpack(|key, ballots| {
                    let content = self.content(key).ok_or_else(unknown_choice)?;
                    pass.add(content, u64::try_from(ballots).unwrap_or(0));
                    Ok(())
                })?;
            }
            Ok(())
        };
        reader.fold(statement, || self.pass(), take).await
    }

    async fn pass_over_marks(&self, db: &Db) -> Result<Pass, DbErr> {
        let reader = db.read();
        let sql = profile::sets_sql(reader);
        let statement = db::statement(reader, &sql, [self.question.into()]);
        let take = |pass: &mut Pass, row: QueryResult| {
            let positions: String = row.try_get_by_index(0)?;
            let positions = positions.split(',').map(str::parse);
            let key: Option<Vec<u8>> = positions.map(Result::ok).collect();
            let content = key.and_then(|key| self.content(&key));
            pass.add(content.ok_or_else(unknown_choice)?, 1);
            Ok(())
        };
        reader.fold(statement, || self.pass(), take).await
    }

    fn pass(&self) -> Pass {
        Pass::after(self.last.clone(), KEPT)
    }

    /// The content of a ballot with this [key](profile); a set has its choices in any order.
    fn content(&self, key: &[u8]) -> Option<Content> {
        let place = |number: &u8| self.places[usize::from(*number)];
        match self.method.ballot_kind() {
            BallotKind::Ranking => key.iter().map(place).collect(),
            BallotKind::Set => {
                let content: Option<Content> = key.iter().map(place).collect();
                content.map(|mut content| {
                    content.sort_unstable();
                    content
                })
            }
            BallotKind::Scores => {
                let pairs = key.chunks_exact(2);
                let pairs = pairs.map(|pair| Some([place(&pair[0])?, pair[1]]));
                let mut pairs: Vec<[u8; 2]> = pairs.collect::<Option<_>>()?;
                pairs.sort_unstable();
                Some(pairs.concat())
            }
        }
    }

    /// What a content says: the places of the choices, each with its rank or score; 1 in a set.
    pub(super) fn marks(&self, content: &[u8]) -> Vec<(usize, i32)> {
        let place = |place: &u8| usize::from(*place);
        match self.method.ballot_kind() {
            BallotKind::Set => content.iter().map(|choice| (place(choice), 1)).collect(),
            BallotKind::Ranking => content.iter().map(place).zip(1..).collect(),
            BallotKind::Scores => {
                let pairs = content.chunks_exact(2);
                pairs
                    .map(|pair| (place(&pair[0]), pair[1].into()))
                    .collect()
            }
        }
    }

    async fn require_sealed(&self, db: &Db) -> Result<(), Failure> {
        let question = entity::Entity::find_by_id(self.question);
        let question = question.one(db.read()).await?;
        if question.is_some_and(|question| question.sealed_at == self.sealed_at) {
            return Ok(());
        }
        let detail = "Voting on this question has gone on meanwhile.";
        Err(Failure::new(Code::VotingOpen, detail))
    }
}

fn unknown_choice() -> DbErr {
    DbErr::Type("a choice that is voted for has no ordinal".to_owned())
}

/// Contents, each with the number of ballots, one behind the other in little memory: they may wait for
/// a slow reader.
#[derive(Default)]
pub(super) struct Counted(Vec<u8>);

impl Counted {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (number, after) = rest.split_first_chunk()?;
            let (length, after) = after.split_first()?;
            let (content, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some((content, u64::from_le_bytes(*number)))
        })
    }
}

impl FromIterator<(Content, u64)> for Counted {
    fn from_iter<I: IntoIterator<Item = (Content, u64)>>(contents: I) -> Counted {
        let mut bytes = Vec::new();
        for (content, number) in contents {
            bytes.extend(number.to_le_bytes());
            // At most a hundred choices, each with a score.
            bytes.push(u8::try_from(content.len()).unwrap_or(u8::MAX));
            bytes.extend(content);
        }
        Counted(bytes)
    }
}

/// The contents that one pass keeps.
struct Pass {
    after: Option<Content>,
    kept: BTreeMap<Content, u64>,
    /// How many bytes they take.
    bytes: usize,
    most: usize,
    /// The first content that there was no room for, if there was one.
    end: Option<Content>,
}

impl Pass {
    /// The contents after this one, which take at most so many bytes.
    fn after(after: Option<Content>, most: usize) -> Pass {
        Pass {
            after,
            kept: BTreeMap::new(),
            bytes: 0,
            most,
            end: None,
        }
    }

    fn add(&mut self, content: Content, count: u64) {
        let is_before = self.after.as_ref().is_some_and(|after| content <= *after);
        // A content that was given up must not come in again, without what was counted of it.
        let is_beyond = self.end.as_ref().is_some_and(|end| content >= *end);
        if is_before || is_beyond {
            return;
        }
        let size = content.len() + ENTRY;
        let known = self.kept.len();
        *self.kept.entry(content).or_default() += count;
        if self.kept.len() > known {
            self.bytes += size;
        }
        while self.bytes > self.most && self.kept.len() > 1 {
            if let Some((content, _)) = self.kept.pop_last() {
                self.bytes -= content.len() + ENTRY;
                self.end = Some(content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contents of different lengths, in a random order and many of them alike.
    fn contents() -> Vec<Content> {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8
        };
        let content = |_| (0..next() % 6).map(|_| next() % 7).collect();
        (0..3_000).map(content).collect()
    }

    #[test]
    fn contents_are_read_as_they_were_collected() {
        let all: Vec<(Content, u64)> = vec![
            (vec![], 3),
            (vec![7], u64::MAX),
            ((0..200).collect(), 1),
            (vec![0, 0], 0),
        ];
        let counted: Counted = all.clone().into_iter().collect();
        let read = counted
            .iter()
            .map(|(content, number)| (content.to_vec(), number));
        assert!(read.eq(all));
        assert!(Counted::default().iter().next().is_none());
    }

    #[test]
    fn passes_in_bounded_memory_find_every_content_once_and_in_order() {
        let all = contents();
        let mut expected = BTreeMap::<Content, u64>::new();
        for content in &all {
            *expected.entry(content.clone()).or_default() += 1;
        }
        for most in [1, 1_000, 50_000, KEPT] {
            let (mut found, mut last, mut passes) = (Vec::new(), None, 0);
            loop {
                let mut pass = Pass::after(last.take(), most);
                for content in &all {
                    pass.add(content.clone(), 1);
                    assert!(pass.bytes <= most || pass.kept.len() == 1);
                }
                passes += 1;
                let is_cut = pass.end.is_some();
                found.extend(pass.kept);
                last = found.last().map(|(content, _)| content.clone());
                if !is_cut {
                    break;
                }
                assert!(passes <= expected.len(), "no end");
            }
            assert!(found.into_iter().eq(expected.clone()), "{most}");
            assert_eq!(passes == 1, most == KEPT);
        }
    }
}
