use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method};
use uuid::Uuid;

use super::mistake::Mistake;

/// What to send where, how much of it, and how.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where: a page for get and post-file, else the address of a polls server
    #[arg(value_name = "URL")]
    pub url: String,

    /// What is sent
    #[arg(value_enum, default_value_t = Scenario::Get, hide_default_value = true)]
    pub scenario: Scenario,

    /// How many clients there are at once, each on its own connection; in watch, those who watch
    #[arg(short, long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: u32,

    /// How long a round takes; without --count 10s
    #[arg(short, long, value_name = "DURATION", value_parser = span)]
    pub duration: Option<Duration>,

    /// How many requests a round has in all
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// How many rounds there are
    #[arg(short, long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// The pause between two rounds
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub pause: Duration,

    /// Send that many requests a second, whether the server keeps up or not
    ///
    /// Latency counts from the moment at which a request was due, so that the waiting of those
    /// that could not be sent in time is not hidden. Without it each client sends its next request
    /// when it has its answer.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,

    /// How long an answer may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = span)]
    pub timeout: Duration,

    /// Open a connection for each request
    #[arg(long)]
    pub no_keep_alive: bool,

    /// Speak HTTP/2, without asking first ("prior knowledge")
    #[arg(long, conflicts_with = "no_keep_alive")]
    pub http2: bool,

    /// Where another process of the same server listens; connections are spread over all of them
    #[arg(long, value_name = "URL", conflicts_with = "unix_socket")]
    pub also: Vec<String>,

    /// Connect to this unix socket, whatever the URL's host
    #[arg(long, value_name = "SOCKET")]
    pub unix_socket: Option<PathBuf>,

    /// How many threads send; default: one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,

    /// A header to send along; may be repeated
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

    /// What get sends as body; @FILE sends a file
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

    /// The name of the form's field that has the file
    #[arg(
        long,
        value_name = "NAME",
        default_value = "file",
        help_heading = "Options of get and post-file"
    )]
    pub field: String,

    /// The questions to read or to vote on; default: the newest for reading, new ones for voting
    #[arg(long = "question", value_name = "ID", conflicts_with = "questions", help_heading = POLLS)]
    pub question: Vec<Uuid>,

    /// How many questions
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = POLLS,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub questions: u32,

    /// How many questions a list has
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = POLLS,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,

    /// How many users to register and sign in; default: one for each client that sends requests
    #[arg(long, value_name = "N", conflicts_with = "tokens", help_heading = POLLS,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub users: Option<u32>,

    /// How many vote, each on its own connection, while others watch
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = POLLS,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub voters: u32,

    /// Users' access tokens, as `polls token --all` prints them
    #[arg(long, value_name = "FILE", help_heading = POLLS)]
    pub tokens: Option<PathBuf>,

    /// Who signs in, instead of the users; may be repeated
    #[arg(long = "login", value_name = "EMAIL", requires = "password", help_heading = POLLS)]
    pub logins: Vec<String>,

    /// The password of those who sign in and were not registered by this run, as `polls seed`
    /// prints it
    #[arg(long, value_name = "PASSWORD", help_heading = POLLS)]
    pub password: Option<String>,

    /// Once every user has voted, let them change their ballots; else the round ends there
    #[arg(long, help_heading = POLLS)]
    pub revote: bool,
}

const POLLS: &str = "Options of the polls scenarios";

/// What is sent.
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
    /// Ballots, each of another user; at the end acknowledged must equal counted
    Vote,
    /// Ballots on one question by --voters, while all clients watch its results live
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

    /// Whether it goes to the URL itself, on whatever server, and not to the API of polls.
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

    /// How long a round takes, where it is not over earlier for its count.
    pub fn round(&self) -> Option<Duration> {
        self.duration.or(match self.count {
            Some(_) => None,
            None => Some(Duration::from_secs(10)),
        })
    }

    /// What `get` sends as body.
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
        Ok(span) if span.is_zero() => Err("must be longer than nothing".to_owned()),
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
