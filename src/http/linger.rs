//! A connection that ends before its client has sent all of a request body.
//!
//! To close it at once would reset it: the client would fail in the middle of sending, and many
//! clients then do not read the answer that has arrived. So the server ends its own side and reads on
//! for a moment.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// For how long, and up to how many bytes, what the client sends is read and thrown away.
const TIME: Duration = Duration::from_secs(1);
const BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Linger {
    over: Pin<Box<Sleep>>,
    room: usize,
}

impl Linger {
    pub fn new() -> Linger {
        Linger {
            over: Box::pin(tokio::time::sleep(TIME)),
            room: BYTES,
        }
    }

    /// Reads until the client has ended its side, or the time or the room is used up.
    pub fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if self.over.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            let mut buffer = ReadBuf::uninit(&mut buffer);
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            let size = buffer.filled().len();
            match (read, self.room.checked_sub(size)) {
                (Ok(()), Some(room)) if size > 0 => self.room = room,
                _ => return Poll::Ready(()),
            }
        }
    }
}
