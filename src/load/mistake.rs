use std::io;
use std::path::PathBuf;

use http::StatusCode;

/// Why nothing could be measured, or why a run has failed.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    #[error("{url} cannot be loaded: {reason}")]
    Url { url: String, reason: String },

    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },

    #[error("{0}")]
    Options(String),

    #[error("no server answers at {address}")]
    Connect { address: String, source: io::Error },

    #[error("{call} got no answer")]
    NoAnswer {
        call: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    #[error("{call} was answered {status}: {detail}")]
    Refused {
        call: String,
        status: StatusCode,
        detail: String,
    },

    #[error("the answer to {call} is not that of the polls API")]
    Unexpected { call: String },

    #[error("{0}")]
    Unwatched(String),

    #[error("not all watchers saw all ballots:\n{0}")]
    Missed(String),

    #[error("no request succeeded")]
    NothingSucceeded,

    #[error("the server's count differs from what it acknowledged:\n{0}")]
    Miscounted(String),

    #[error("interrupted")]
    Interrupted,

    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}
