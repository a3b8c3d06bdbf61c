//! Server-Sent Events, as far as a watcher needs them.

use serde::Deserialize;

/// Splits a stream of bytes into events, whatever the pieces in which it arrives.
#[derive(Debug, Default)]
pub struct Events {
    /// The bytes of an incomplete event.
    begun: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The results.
    Results { ballots: i64 },
    /// The last event of a stream.
    End { reason: String },
}

/// An event with other data than the API of polls sends.
#[derive(Debug, PartialEq, Eq)]
pub struct Unexpected;

/// The part of the results that a watcher needs.
#[derive(Deserialize)]
struct Results {
    ballot_count: i64,
}

#[derive(Deserialize)]
struct End {
    reason: String,
}

impl Events {
    pub fn arrive(&mut self, piece: &[u8]) {
        self.begun.extend_from_slice(piece);
    }

    /// The next event that is complete.
    pub fn next(&mut self) -> Option<Result<Event, Unexpected>> {
        loop {
            let end = self.begun.windows(2).position(|pair| pair == b"\n\n")? + 2;
            let event = Event::of(&self.begun[..end]).transpose();
            self.begun.drain(..end);
            // Comments and `retry:` are blocks, too, but no events.
            if event.is_some() {
                return event;
            }
        }
    }
}

impl Event {
    /// Reads a block of lines; None if it is no event.
    fn of(block: &[u8]) -> Result<Option<Event>, Unexpected> {
        let field = |name: &str| {
            let mut lines = block.split(|byte| *byte == b'\n');
            lines.find_map(|line| line.strip_prefix(name.as_bytes()))
        };
        let data = field("data: ").unwrap_or_default();
        let event = match field("event: ") {
            Some(b"results") => {
                serde_json::from_slice(data).map(|Results { ballot_count }| Event::Results {
                    ballots: ballot_count,
                })
            }
            Some(b"end") => {
                serde_json::from_slice(data).map(|End { reason }| Event::End { reason })
            }
            _ => return Ok(None),
        };
        event.map(Some).map_err(|_| Unexpected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1204\n\n\
        id: 17\nevent: results\ndata: {\"question_id\":\"q\",\"ballot_count\":6,\"choices\":[]}\n\n\
        :\n\n\
        event: end\ndata: {\"reason\":\"closed\"}\n\n";

    #[test]
    fn events_come_whole_from_any_pieces() {
        let expected = [
            Event::Results { ballots: 6 },
            Event::End {
                reason: "closed".to_owned(),
            },
        ];
        for length in 1..=STREAM.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for piece in STREAM.as_bytes().chunks(length) {
                events.arrive(piece);
                while let Some(event) = events.next() {
                    found.push(event.unwrap());
                }
            }
            assert_eq!(found, expected, "in pieces of {length}");
        }
    }

    #[test]
    fn an_event_without_the_ballot_count_is_an_error() {
        let mut events = Events::default();
        events.arrive(b"event: results\ndata: {\"choices\":[]}\n\n");
        assert_eq!(events.next(), Some(Err(Unexpected)));
        assert_eq!(events.next(), None);
    }
}
