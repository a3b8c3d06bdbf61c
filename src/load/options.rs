use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method};
use uuid::Uuid;

use super::mistake::Mistake;
use crate::tally::Method as VotingMethod;

/// What to send, where to, how much, and how.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// For get and post-file the page to load, else the address of a polls server
    #[arg(value_name = "URL")]
    pub url: String,

    /// What to send
    #[arg(value_enum, default_value_t = Scenario::Get, hide_default_value = true)]
    pub scenario: Scenario,

    /// The number of concurrent clients, each with its own connection; for watch, of watchers
    #[arg(short, long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: u32,

    /// The length of a round; default: 10s, or without end if --count is given
    #[arg(short, long, value_name = "DURATION", value_parser = span)]
    pub duration: Option<Duration>,

    /// The number of requests in a round
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// The number of rounds
    #[arg(short, long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// The pause between two rounds
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub pause: Duration,

    /// Send so many requests a second, even if the server does not keep up
    ///
    /// Latency is measured from the moment at which a request was due, so that delays in sending
    /// are included. Without --rate each client sends its next request as soon as it has the answer
    /// to the last one.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,

    /// How long to wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = span)]
    pub timeout: Duration,

    /// Open a new connection for each request
    #[arg(long)]
    pub no_keep_alive: bool,

    /// Use HTTP/2 without negotiation ("prior knowledge")
    #[arg(long, conflicts_with = "no_keep_alive")]
    pub http2: bool,

    /// The address of another process of the same server; connections are spread over all of them
    #[arg(long, value_name = "URL", conflicts_with = "unix_socket")]
    pub also: Vec<String>,

    /// Connect to this unix socket instead of the URL's host
    #[arg(long, value_name = "SOCKET")]
    pub unix_socket: Option<PathBuf>,

    /// The number of threads that send; default: one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,

    /// An additional header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,

    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,

    /// The method of get
    #[arg(
        short = 'X',
        long,
        value_name = "METHOD",
        help_heading = "Options of get and post-file"
    )]
    pub method: Option<Method>,

    /// The body of get; @FILE sends a file
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Options of get and post-file"
    )]
    pub body: Option<String>,

    /// The file that post-file uploads
    #[arg(
        long,
        value_name = "FILE",
        required_if_eq("scenario", "post-file"),
        help_heading = "Options of get and post-file"
    )]
    pub file: Option<PathBuf>,

    /// The name of the form field for the file
    #[arg(
        long,
        value_name = "NAME",
        default_value = "file",
        help_heading = "Options of get and post-file"
    )]
    pub field: String,

    /// A question to read or to vote on; may be repeated; default: the newest for reading, new ones
    /// for voting
    #[arg(long = "question", value_name = "ID", conflicts_with = "questions", help_heading = POLLS)]
    pub question: Vec<Uuid>,

    /// The number of questions
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = POLLS,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub questions: u32,

    /// The voting method of new questions; default: multiple_choice
    #[arg(long = "voting-method", value_name = "METHOD", conflicts_with = "question", help_heading = POLLS)]
    pub voting_method: Option<VotingMethod>,

    /// The number of questions in a page of list
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = POLLS,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,

    /// The number of users to register and sign in; default: one for each client that sends
    /// requests
    #[arg(long, value_name = "N", conflicts_with = "tokens", help_heading = POLLS,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub users: Option<u32>,

    /// The number of clients that vote in watch, each with its own connection
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = POLLS,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub voters: u32,

    /// A file of users' access tokens, as `polls token --all` prints them
    #[arg(long, value_name = "FILE", help_heading = POLLS)]
    pub tokens: Option<PathBuf>,

    /// Vote as guests, on questions on which anyone may vote
    #[arg(long, help_heading = POLLS)]
    pub guests: bool,

    /// The account that signs in, instead of the users; may be repeated
    #[arg(long = "login", value_name = "EMAIL", requires = "password", help_heading = POLLS)]
    pub logins: Vec<String>,

    /// The password of the accounts that sign in but were not registered by this run; `polls seed`
    /// prints it
    #[arg(long, value_name = "PASSWORD", help_heading = POLLS)]
    pub password: Option<String>,

    /// Change ballots once every user has voted, instead of ending the round
    #[arg(long, help_heading = POLLS)]
    pub revote: bool,
}

const POLLS: &str = "Options of the polls scenarios";

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The page of the URL; the default
    Get,
    /// A question with its choices
    Read,
    /// A question's results
    Results,
    /// A page of the list of questions
    List,
    /// Ballots, each by another user; at the end the server's count must equal what it acknowledged
    Vote,
    /// Ballots on one question by --voters, while all clients watch its live results
    Watch,
    /// Sign-ins with email address and password
    SignIn,
    /// 100 reads, 10 results, 5 ballots and 1 sign-in
    Mixed,
    /// The upload of a file in a form, to the URL
    PostFile,
}

impl Scenario {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Get => "get",
            Scenario::Read => "read",
            Scenario::Results => "results",
            Scenario::List => "list",
            Scenario::Vote => "vote",
            Scenario::Watch => "watch",
            Scenario::SignIn => "sign-in",
            Scenario::Mixed => "mixed",
            Scenario::PostFile => "post-file",
        }
    }

    /// Whether the request is for the URL itself, on any server, and not for the API of polls.
    pub fn is_plain(self) -> bool {
        matches!(self, Scenario::Get | Scenario::PostFile)
    }
}

impl Options {
    /// How many clients send requests.
    pub fn senders(&self) -> u32 {
        match self.scenario {
            Scenario::Watch => self.voters,
            _ => self.clients,
        }
    }

    /// The length of a round, unless its count ends it earlier.
    pub fn round(&self) -> Option<Duration> {
        self.duration.or(match self.count {
            Some(_) => None,
            None => Some(Duration::from_secs(10)),
        })
    }

    /// The body of `get`.
    pub fn body(&self) -> Result<Bytes, Mistake> {
        match self.body.as_deref() {
            None => Ok(Bytes::new()),
            Some(text) => match text.strip_prefix('@') {
                None => Ok(Bytes::copy_from_slice(text.as_bytes())),
                Some(path) => read(path.as_ref()).map(Bytes::from),
            },
        }
    }
}

/// A file that the options name.
pub(super) fn read(path: &std::path::Path) -> Result<Vec<u8>, Mistake> {
    fs::read(path).map_err(|source| Mistake::File {
        path: path.to_owned(),
        source,
    })
}

fn span(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if span.is_zero() => Err("must be longer than 0".to_owned()),
        Ok(span) => Ok(span),
        Err(error) => Err(error.to_string()),
    }
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let range = 0.001..=10_000_000.0;
    let rate = text.parse::<f64>().ok();
    rate.filter(|rate| range.contains(rate))
        .ok_or("must be a number of requests from 0.001 to 10000000")
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let expected = "write NAME: VALUE, such as `accept: text/html`";
    let (name, value) = text.split_once(':').ok_or(expected)?;
    let name = name.trim().parse().map_err(|_| expected)?;
    Ok((name, value.trim().parse().map_err(|_| expected)?))
}
