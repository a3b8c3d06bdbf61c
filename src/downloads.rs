//! Long answers that are written while they are sent.
//!
//! A download is written by a task of its own, which waits until its reader has taken the piece
//! before: however long it is, and however slow the reader, a few pieces are in memory. The task ends
//! with its reader. Whatever it reads from the database it reads in short turns, a few at once and
//! for all networks alternately. How many downloads may be under way is limited, in all and for each
//! network.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::failure::Failure;
use crate::fair::{FairSemaphore, Permit};
use crate::network::Network;

/// From how many bytes on a piece is handed on.
const PIECE: usize = 64 * 1024;

/// How many downloads read from the database at once.
const TURNS: usize = 2;

/// How many downloads of one network may wait for their turns, and for how long.
const QUEUE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

/// How many downloads may be under way, in all and for each network.
const MOST: usize = 64;
const MOST_PER_NETWORK: usize = 8;

/// What is downloaded.
pub trait Content: Send + 'static {
    fn write(self, pieces: &mut Pieces) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Begins downloads. Clones share their limits.
#[derive(Clone)]
pub struct Downloads {
    turns: Arc<FairSemaphore>,
    /// How many are under way, by network.
    underway: Arc<Mutex<HashMap<Network, usize>>>,
}

impl Default for Downloads {
    fn default() -> Downloads {
        Downloads {
            turns: FairSemaphore::new(TURNS, QUEUE),
            underway: Arc::default(),
        }
    }
}

impl Downloads {
    /// Begins to write, and returns once the first piece is there, so that a failure until then can
    /// be answered as such. [`Code::Overloaded`](crate::failure::Code::Overloaded) where too many
    /// downloads are under way.
    pub async fn begin(
        &self,
        network: Network,
        content: impl Content,
    ) -> Result<Download, Failure> {
        let counted = self.count(network)?;
        let (sender, mut pieces) = mpsc::channel(1);
        let mut writer = Pieces {
            turns: self.turns.clone(),
            network,
            written: Vec::new(),
            sender,
        };
        let writing = tokio::spawn(async move {
            let outcome = match content.write(&mut writer).await {
                Ok(()) => Ok(std::mem::take(&mut writer.written).into()),
                Err(failure) => Err(failure),
            };
            writer.send(outcome).await;
        });
        let writing = AbortOnDropHandle::new(writing);
        let first = match pieces.recv().await {
            Some(first) => first?,
            None => return Err(Failure::internal("a download ended without a word")),
        };
        Ok(Download {
            first: Some(first),
            rest: pieces,
            _writing: writing,
            _counted: counted,
        })
    }

    fn count(&self, network: Network) -> Result<Counted, Failure> {
        let mut underway = self.underway.lock();
        let all: usize = underway.values().sum();
        // One client may have all networks of a site, so the site counts as one network.
        let of_network = underway.entry(network.site()).or_default();
        if all >= MOST || *of_network >= MOST_PER_NETWORK {
            let detail = "Too many files are being downloaded.";
            return Err(Failure::overloaded(detail));
        }
        *of_network += 1;
        Ok(Counted {
            underway: self.underway.clone(),
            network: network.site(),
        })
    }
}

/// A download that is under way, until it is dropped.
struct Counted {
    underway: Arc<Mutex<HashMap<Network, usize>>>,
    network: Network,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut underway = self.underway.lock();
        if let Some(of_network) = underway.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                underway.remove(&self.network);
            }
        }
    }
}

/// Takes what is written, and hands it on piece by piece.
pub struct Pieces {
    turns: Arc<FairSemaphore>,
    network: Network,
    written: Vec<u8>,
    sender: mpsc::Sender<Result<Bytes, Failure>>,
}

impl Pieces {
    /// A turn to read from the database. [`Code::Overloaded`](crate::failure::Code::Overloaded)
    /// where it does not come in time.
    pub async fn turn(&self) -> Result<Permit, Failure> {
        let turn = self.turns.acquire(self.network, PATIENCE).await;
        turn.ok_or_else(|| Failure::overloaded("Too many files are being written."))
    }

    /// Writes a part, which should be small, and then waits until there is room for another one.
    pub async fn write(&mut self, part: impl FnOnce(&mut Vec<u8>)) {
        part(&mut self.written);
        if self.written.len() >= PIECE {
            let piece = std::mem::take(&mut self.written);
            self.send(Ok(piece.into())).await;
        }
    }

    async fn send(&self, piece: Result<Bytes, Failure>) {
        // Without a reader this task is about to be aborted.
        let _ = self.sender.send(piece).await;
    }
}

/// The pieces of a download. After a failure there are no more.
pub struct Download {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Result<Bytes, Failure>>,
    _writing: AbortOnDropHandle<()>,
    _counted: Counted,
}

impl Stream for Download {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => self.rest.poll_recv(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt as _;

    use super::*;
    use crate::failure::Code;

    /// So many parts of 1,000 bytes, then an end.
    struct Parts {
        parts: usize,
        end: Result<(), Failure>,
        written: Arc<AtomicUsize>,
    }

    impl Content for Parts {
        async fn write(self, pieces: &mut Pieces) -> Result<(), Failure> {
            for _ in 0..self.parts {
                pieces.write(|out| out.extend([b'x'; 1_000])).await;
                self.written.fetch_add(1_000, Ordering::Relaxed);
            }
            self.end
        }
    }

    async fn begin(
        parts: usize,
        end: Result<(), Failure>,
    ) -> (Result<Download, Failure>, Arc<AtomicUsize>) {
        let written = Arc::<AtomicUsize>::default();
        let content = Parts {
            parts,
            end,
            written: written.clone(),
        };
        let downloads = Downloads::default();
        let begun = downloads.begin(Network::of(None), content).await;
        (begun, written)
    }

    #[tokio::test]
    async fn what_nobody_takes_is_not_written() {
        let (download, written) = begin(10_000, Ok(())).await;
        let mut download = download.unwrap();
        let mut taken = 0;
        while let Some(piece) = download.next().await {
            taken += piece.unwrap().len();
            // The writer goes as far as it can.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let ahead = written.load(Ordering::Relaxed) - taken;
            assert!(ahead <= 3 * (PIECE + 1_000), "{ahead} bytes ahead");
        }
        assert_eq!(taken, 10_000_000);
    }

    #[tokio::test]
    async fn an_early_failure_is_no_download_and_a_late_one_ends_it() {
        let failure = || Err(Failure::overloaded("Later."));
        let (early, _) = begin(1, failure()).await;
        assert_eq!(early.err().unwrap().code, Code::Overloaded);
        let (late, _) = begin(200, failure()).await;
        let pieces: Vec<_> = late.unwrap().collect().await;
        let (last, others) = pieces.split_last().unwrap();
        assert!(last.is_err() && others.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn downloads_are_limited_in_all_and_for_each_network() {
        let downloads = Downloads::default();
        let begin = async |network: u8| {
            let address = Some(std::net::IpAddr::from([192, 0, 2, network]));
            let content = Parts {
                parts: 1,
                end: Ok(()),
                written: Arc::default(),
            };
            downloads.begin(Network::of(address), content).await
        };
        let mut underway = Vec::new();
        for _ in 0..MOST_PER_NETWORK {
            underway.push(begin(0).await.unwrap());
        }
        assert_eq!(begin(0).await.err().unwrap().code, Code::Overloaded);
        for network in 0..MOST - MOST_PER_NETWORK {
            underway.push(begin(1 + network as u8 / 4).await.unwrap());
        }
        assert_eq!(begin(255).await.err().unwrap().code, Code::Overloaded);
        drop(underway.swap_remove(0));
        drop(begin(255).await.unwrap());
        underway.clear();
        assert!(downloads.underway.lock().is_empty());
    }

    #[tokio::test]
    async fn nothing_is_written_for_a_reader_that_has_gone() {
        let (download, written) = begin(10_000, Ok(())).await;
        drop(download);
        let alive = Arc::downgrade(&written);
        drop(written);
        while alive.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
