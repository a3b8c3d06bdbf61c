//! The options of each command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use crate::config::Flag;
use crate::tally::Method;

/// Where the server listens.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeFlags {
    /// The IP address to listen on, as server.host; 0.0.0.0 for every network
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,

    /// The port to listen on, as server.port; 0 picks a free one
    #[arg(long, value_name = "PORT")]
    port: Option<String>,

    /// A unix socket to listen on instead, as server.path
    #[arg(long, value_name = "SOCKET")]
    path: Option<String>,
}

impl ServeFlags {
    pub(super) fn settings(&self) -> Vec<Flag> {
        [
            ("host", &self.host),
            ("port", &self.port),
            ("path", &self.path),
        ]
        .into_iter()
        .filter_map(|(name, value)| {
            Some(Flag {
                name: format!("--{name}"),
                key: format!("server.{name}"),
                value: value.clone()?,
            })
        })
        .collect()
    }
}

#[derive(Debug, Clone, Args)]
pub struct Ready {
    #[command(flatten)]
    pub(super) at: ServeFlags,

    /// How long to go on asking
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Migrate {
    /// Bring the database up to date; harmless where it is
    Up,
    /// Take back the latest changes, with the data in them
    ///
    /// Names what is lost and asks before it begins. Refuses while a server or anybody else is
    /// connected to the database.
    Down {
        /// How many changes
        #[arg(long, value_name = "N", default_value_t = 1)]
        steps: u32,

        /// Do not ask; needed where there is no terminal
        #[arg(long)]
        yes: bool,
    },
    /// List the changes and whether they have been made
    Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Backup {
    /// The file to make
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Restore {
    /// A file that `polls backup` has made
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Seed {
    /// How many users to make instead of the tutorial's
    #[arg(long, value_name = "N")]
    pub users: Option<u32>,

    /// How many guests to make, who vote without an account
    #[arg(long, value_name = "G", requires = "users", default_value_t = 0)]
    pub guests: u32,

    /// How many questions those users ask
    #[arg(long, value_name = "M", requires = "users")]
    pub questions: Option<u32>,

    /// How many choices each question has
    #[arg(long, value_name = "K", requires = "questions", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(2..=100))]
    pub choices: u32,

    /// How many ballots those users cast on those questions, at most one each on each
    #[arg(long, value_name = "B", requires = "questions", default_value_t = 0)]
    pub ballots: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Openapi {
    /// Compare with openapi/polls.json instead of writing; exit code 1 if they differ
    #[arg(long)]
    pub check: bool,

    /// Where to write; default: standard output
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration is valid, or everything that is wrong with it (exit code 2)
    Check,
    /// Show every setting and the layer it is from, secrets masked
    Print,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum UserCommand {
    /// Make an account; asks for the password, or reads a line of standard input
    Create(NewUser),
    /// Set a new password, asked for likewise; ends all sessions
    Passwd(Account),
    /// Make an account an admin
    Promote(Account),
    /// Make an admin an ordinary user
    Demote(Account),
    /// Keep an account from signing in, and end its sessions
    Disable(Account),
    /// Let a disabled account sign in again
    Enable(Account),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NewUser {
    /// What others see
    #[arg(long)]
    pub name: String,

    /// To sign in with
    #[arg(long)]
    pub email: String,

    /// Also to sign in with
    #[arg(long)]
    pub phone: Option<String>,

    /// Make it an admin
    #[arg(long)]
    pub admin: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Account {
    /// The account's email address or phone number
    #[arg(value_name = "EMAIL_OR_PHONE")]
    pub login: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum MailCommand {
    /// Send a message with the settings of mail.*, and show the mail server's answer
    ///
    /// Exit code 1 if the mail server cannot be reached or does not accept the message. Needs no
    /// database.
    Test {
        /// The email address to send it to
        #[arg(value_name = "EMAIL")]
        to: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum KeysCommand {
    /// Sign with a new key from now on; the old one is good until its tokens have expired
    Rotate,
    /// Sign with a new key, and refuse all access tokens of other keys
    ///
    /// For a key that was stolen. Running servers follow within a second. Nobody is signed out:
    /// refresh tokens go on, and get access tokens of the new key. Refuses where auth.key is
    /// configured.
    Revoke,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group(ArgGroup::new("whom").required(true).args(["user", "all", "guests"])))]
pub struct TokenArguments {
    /// A token for this account
    #[arg(long, value_name = "EMAIL_OR_PHONE")]
    pub user: Option<String>,

    /// A token for every account but admins
    #[arg(long)]
    pub all: bool,

    /// A token for every guest
    #[arg(long)]
    pub guests: bool,

    /// How long the tokens are good for
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub ttl: Duration,
}

/// What to count, and how.
#[derive(Debug, Args)]
pub struct Tally {
    /// A .blt, .csv or .json file.
    pub file: PathBuf,

    /// Count by this method, whatever the file says: multiple_choice, instant_runoff,
    /// single_transferable_vote, ranked_pairs, borda, score or star.
    #[arg(long)]
    pub method: Option<Method>,

    /// How many are elected, whatever the file says.
    #[arg(long, value_name = "NUMBER")]
    pub seats: Option<usize>,

    /// The choices in the order in which they were drawn, for ties that only a lot can break.
    #[arg(long, value_name = "NAMES")]
    pub lot: Option<String>,

    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Recount {
    /// Only compare; exit code 1 if a tally differs
    #[arg(long)]
    pub check: bool,
}
