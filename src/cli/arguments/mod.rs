//! The command line as it is parsed, and its help.

mod options;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Flag, Sources};
use crate::load;

pub use options::{
    Account, Backup, ConfigCommand, KeysCommand, MailCommand, Migrate, NewUser, Openapi, Ready,
    Recount, Restore, Seed, ServeFlags, Tally, TokenArguments, UserCommand,
};

/// A polls and voting API server.
///
/// Without a command it serves the API on http://127.0.0.1:8080 and keeps its data in polls.db, an
/// SQLite file in the working directory. Swagger UI is at /docs.
///
/// Settings come from a YAML file, the environment and the command line; later ones override earlier
/// ones. `polls config print` shows every setting and where it comes from.
#[derive(Debug, Parser)]
#[command(
    name = "polls",
    version,
    after_long_help = "Examples:
  polls                                      serve with the defaults
  polls --port 9000                          serve on another port
  polls --config polls.yaml config check     look for mistakes in a configuration
  POLLS__LOG__FILTER=debug polls             a setting from the environment

Exit codes: 0 done, 1 failed, 2 mistakes in the configuration or on the command line."
)]
pub struct Cli {
    /// The configuration file. Default: $POLLS_CONFIG, else ./config/polls.yaml, else
    /// /etc/polls/polls.yaml, whichever exists.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Change one setting, stronger than file and environment: --set auth.access_token_ttl=5m. May
    /// be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<Flag>,

    #[command(flatten)]
    serve: ServeFlags,

    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default)
    ///
    /// Creates or updates the database first, unless database.migrate is false. Stops on SIGTERM
    /// and Ctrl-C, after finishing the requests that have begun.
    #[command(after_long_help = "Examples:
  polls serve --host 0.0.0.0 --port 9000
  polls serve --path /run/polls.sock --set server.path_mode=666")]
    Serve(ServeFlags),

    /// Ask a running server whether it may take traffic; exit code 1 if not
    ///
    /// For health checks, and to wait for one process before the next is restarted.
    #[command(after_long_help = "Examples:
  polls ready --port 9101
  polls ready --path /run/polls/1.sock --wait 1m")]
    Ready(Ready),

    /// Change the tables of the database to this version's, or back
    #[command(subcommand)]
    Migrate(Migrate),

    /// Copy the SQLite database into a new file, while servers run
    ///
    /// The copy is of one moment, readable by its owner only, and checked before the command ends.
    /// A file that is there is never overwritten. Keep the copy as safe as the database: it has the
    /// signing keys and the hashes of the passwords.
    #[command(after_long_help = "Examples:
  polls backup /var/backups/polls-2026-04-15.db

For PostgreSQL use pg_dump or pg_basebackup, for MariaDB mariadb-dump --single-transaction or
mariadb-backup.")]
    Backup(Backup),

    /// Put a backup in the place of the SQLite database, while no server runs
    ///
    /// Checks the backup first and brings it to this version's schema. Ends all sessions and makes
    /// a new signing key, so that everybody has to sign in again. The database that was there is
    /// kept under a name that is printed.
    #[command(after_long_help = "Examples:
  polls restore /var/backups/polls-2026-04-15.db

Run it as the user of the servers and with their settings: where auth.key is configured, it stays the
key.")]
    Restore(Restore),

    /// Fill a database with sample data
    ///
    /// Without options: the tutorial's users, questions and ballots; prints the users' passwords
    /// once. With options: that many of each instead, to try the server under load.
    #[command(after_long_help = "Examples:
  polls seed
  polls seed --users 20000 --questions 50 --choices 4
  polls seed --users 1000 --questions 100 --ballots 100000")]
    Seed(Seed),

    /// Write the OpenAPI document
    #[command(after_long_help = "Examples:
  polls openapi                               to standard output
  polls openapi --output openapi/polls.json   bring the checked-in file up to date
  polls openapi --check                       fail if it is not")]
    Openapi(Openapi),

    /// Check the configuration, or show it
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Manage accounts
    #[command(
        subcommand,
        after_long_help = "Examples:
  polls user create --name Ada --email ada@example.org --admin
  polls user passwd ada@example.org < password.txt
  polls user promote +8616666666661"
    )]
    User(UserCommand),

    /// Manage the keys that sign access tokens
    #[command(
        subcommand,
        after_long_help = "Examples:
  polls keys rotate                           regularly, or to change auth.algorithm
  polls keys revoke                           after a key was stolen"
    )]
    Keys(KeysCommand),

    /// Try whether mail can be sent
    #[command(
        subcommand,
        after_long_help = "Examples:
  polls mail test you@example.org"
    )]
    Mail(MailCommand),

    /// Make access tokens without passwords, for operators
    ///
    /// Prints one `user_id token` a line. Each belongs to a session, which its user sees listed
    /// and can end.
    #[command(after_long_help = "Examples:
  polls token --user ada@example.org
  polls token --all --ttl 2h > tokens.txt     everybody but admins, for load tests")]
    Token(TokenArguments),

    /// Count all ballots anew, and mend the tallies where they differ
    #[command(after_long_help = "Examples:
  polls recount
  polls recount --check                       only compare; exit code 1 if they differ")]
    Recount(Recount),

    /// Count an election from a file, by any voting method
    ///
    /// The file is a .blt (rankings, as many counting programs write them), a .csv (scores, one
    /// ballot a line) or a .json. Prints who is elected and every round; needs no database. Settings
    /// that the format has no place for are comments: `# polls.method: ranked_pairs`.
    #[command(after_long_help = "Examples:
  polls tally council.blt
  polls tally council.blt --method single_transferable_vote --seats 3
  polls tally scores.csv --method star --json

Exit codes: 1 if the file is faulty, 2 if the options do not fit it, 3 if only a lot can decide: draw
the choices and name them with --lot.")]
    Tally(Tally),

    /// Load a server with requests, and measure it
    ///
    /// The scenarios get and post-file go to any HTTP server; the others to the API of polls, and
    /// make there what they need. `vote` checks at the end that every acknowledged ballot counts,
    /// `watch` also that everybody who watches has seen it.
    #[command(after_long_help = "Examples:
  polls load http://127.0.0.1:8080/healthz
  polls load http://127.0.0.1:8080 read -c 256 -d 30s
  polls load http://127.0.0.1:8080 vote --users 500
  polls load http://127.0.0.1:8080 vote --tokens tokens.txt --questions 1000
  polls load http://127.0.0.1:8080 watch -c 500 --users 3000 --rate 200
  polls load http://127.0.0.1:8080 mixed --rate 2000 --rounds 3 --pause 5s
  polls load http://127.0.0.1:9000/upload post-file --file photo.jpg --json

The server limits how often one address and one account may call, and how many connections an
address may have; start it for a load test with --set limits.enabled=false and --set
http.max_connections_per_address=100000. Or make users and their tokens beforehand:
polls seed --users 10000; polls token --all > tokens.txt

Exit codes: 1 where nothing was measured, no request succeeded, a ballot does not count, or somebody
who watches has not seen it.")]
    Load(Box<load::Options>),
}

impl Cli {
    /// Reads the process's arguments; prints help or a mistake and exits where there is one.
    pub fn of_process() -> Cli {
        Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads arguments, of which the first is the program's name.
    ///
    /// # Errors
    /// A mistake to show to the user, or help where they asked for it.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let cli = Cli::try_parse_from(&arguments)?;
        let conflict = |message| Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
        // Of a global option given both before and after the command, clap keeps the latter.
        if arguments.iter().filter(|word| is_set(word)).count() != cli.set.len() {
            return conflict("--set may stand before the command or after it, but not both");
        }
        let serves = matches!(cli.command, None | Some(Command::Serve(_)));
        if !serves && !cli.serve.settings().is_empty() {
            let message = "--host, --port and --path stand after `ready`, and before or after \
                           `serve`; `--set` is for all";
            return conflict(message);
        }
        Ok(cli)
    }

    /// Where the configuration comes from, and what to do with it.
    pub fn split(self, process: Sources) -> (Sources, Command) {
        let mut flags = self.set;
        flags.extend(self.serve.settings());
        if let Some(Command::Serve(at) | Command::Ready(Ready { at, .. })) = &self.command {
            flags.extend(at.settings());
        }
        let command = self.command.unwrap_or(Command::Serve(self.serve));
        let file = self.config;
        (
            Sources {
                file,
                flags,
                ..process
            },
            command,
        )
    }
}

fn is_set(word: &OsStr) -> bool {
    word == "--set" || word.as_encoded_bytes().starts_with(b"--set=")
}

fn setting(text: &str) -> Result<Flag, &'static str> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write KEY=VALUE, such as server.port=9000")?;
    Ok(Flag {
        name: format!("--set {key}"),
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests;
