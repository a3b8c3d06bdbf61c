use std::io;
use std::path::PathBuf;

use http::StatusCode;

/// Why there was nothing to measure, or why what was measured must not be believed.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    #[error("{url} is no address to load: {reason}")]
    Url { url: String, reason: String },

    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },

    #[error("{0}")]
    Options(String),

    #[error("nobody answers at {address}: is the server running there?")]
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

    #[error("{call} was answered with something else than the API of polls has")]
    Unexpected { call: String },

    #[error("{0}")]
    Unwatched(String),

    #[error("the results did not reach everybody who watched them:\n{0}")]
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
