use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand};

use crate::config::{Flag, Sources};
use crate::load;

/// A polls and voting API server.
///
/// Started without anything it serves the API on http://127.0.0.1:8080 and keeps its data in
/// polls.db, an SQLite file in the working directory. Swagger UI is at /docs then.
///
/// Settings come from a YAML file, the environment and the command line, each stronger than the
/// one before. `polls config print` shows all of them and where they are from.
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

#[derive(Debug, Clone, Args)]
pub struct Ready {
    #[command(flatten)]
    at: ServeFlags,

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
#[command(group(ArgGroup::new("whom").required(true).args(["user", "all"])))]
pub struct TokenArguments {
    /// A token for this account
    #[arg(long, value_name = "EMAIL_OR_PHONE")]
    pub user: Option<String>,

    /// A token for every account but admins
    #[arg(long)]
    pub all: bool,

    /// How long the tokens are good for
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub ttl: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Recount {
    /// Only compare; exit code 1 if a tally differs
    #[arg(long)]
    pub check: bool,
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

impl ServeFlags {
    fn settings(&self) -> Vec<Flag> {
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
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' ').map(OsString::from))
    }

    fn command(line: &str) -> Command {
        read(line).unwrap().split(Sources::default()).1
    }

    /// The settings that a command line makes.
    fn flags(line: &str) -> Vec<(String, String)> {
        let (sources, _) = read(line).unwrap().split(Sources::default());
        let flags = sources.flags.into_iter();
        flags.map(|flag| (flag.name, flag.value)).collect()
    }

    #[test]
    fn clap_finds_no_fault() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
        assert!(matches!(command("polls"), Command::Serve(_)));
        let port = |value: &str| ("--port".to_owned(), value.to_owned());
        assert_eq!(flags("polls --port 9000"), [port("9000")]);
        assert_eq!(flags("polls serve --port 9000"), [port("9000")]);
        assert_eq!(
            flags("polls --port 1 serve --port 2"),
            [port("1"), port("2")]
        );
        assert_eq!(flags("polls --path /run/x --host ::1").len(), 2);
        assert_eq!(flags("polls ready --port 9000"), [port("9000")]);
    }

    #[test]
    fn settings_stand_before_or_after_the_command() {
        let expected = [("a.b", "1=2"), ("c.d", "")]
            .map(|(key, value)| (format!("--set {key}"), value.to_owned()));
        assert_eq!(flags("polls --set a.b=1=2 --set=c.d= migrate up"), expected);
        assert_eq!(flags("polls migrate up --set a.b=1=2 --set c.d="), expected);
        assert!(read("polls --set a.b=1 migrate up --set c.d=2").is_err());
        assert!(read("polls --set a.b").is_err());

        let (sources, _) = read("polls serve --config x.yaml")
            .unwrap()
            .split(Sources::default());
        assert_eq!(sources.file, Some("x.yaml".into()));
    }

    #[test]
    fn listening_is_for_serve_only() {
        let refusal = read("polls --port 1 migrate up").unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::ArgumentConflict);
        assert!(read("polls migrate up --port 1").is_err());
    }

    #[test]
    fn each_command_is_understood() {
        use Command as C;
        assert!(matches!(
            command("polls ready --wait 1m"),
            C::Ready(Ready { wait, .. }) if wait == Duration::from_secs(60)
        ));
        assert!(matches!(
            command("polls migrate up"),
            C::Migrate(Migrate::Up)
        ));
        assert!(matches!(
            command("polls migrate down"),
            C::Migrate(Migrate::Down {
                steps: 1,
                yes: false
            })
        ));
        assert!(matches!(
            command("polls migrate down --steps 3 --yes"),
            C::Migrate(Migrate::Down {
                steps: 3,
                yes: true
            })
        ));
        assert!(matches!(
            command("polls migrate status"),
            C::Migrate(Migrate::Status)
        ));
        assert!(matches!(
            command("polls backup x.db"),
            C::Backup(Backup { file }) if *file == *"x.db"
        ));
        assert!(matches!(
            command("polls restore x.db"),
            C::Restore(Restore { file }) if *file == *"x.db"
        ));
        assert!(matches!(
            command("polls seed"),
            C::Seed(Seed {
                users: None,
                questions: None,
                choices: 4,
                ballots: 0
            })
        ));
        assert!(matches!(
            command("polls seed --users 20 --questions 5 --choices 2 --ballots 90"),
            C::Seed(Seed {
                users: Some(20),
                questions: Some(5),
                choices: 2,
                ballots: 90
            })
        ));
        assert!(matches!(
            command("polls openapi"),
            C::Openapi(Openapi {
                check: false,
                output: None
            })
        ));
        assert!(matches!(
            command("polls openapi --check"),
            C::Openapi(Openapi { check: true, .. })
        ));
        assert!(matches!(
            command("polls openapi --output x"),
            C::Openapi(Openapi {
                output: Some(_),
                ..
            })
        ));
        assert!(matches!(
            command("polls config check"),
            C::Config(ConfigCommand::Check)
        ));
        assert!(matches!(
            command("polls config print"),
            C::Config(ConfigCommand::Print)
        ));
        assert!(matches!(
            command("polls keys rotate"),
            C::Keys(KeysCommand::Rotate)
        ));
        assert!(matches!(
            command("polls recount"),
            C::Recount(Recount { check: false })
        ));
        assert!(matches!(
            command("polls recount --check"),
            C::Recount(Recount { check: true })
        ));
        let C::Load(load) = command("polls load http://x vote -c 8 -n 9 --rate 0.5") else {
            panic!("another command");
        };
        assert_eq!(load.scenario, load::Scenario::Vote);
        assert_eq!(
            (load.clients, load.count, load.rate),
            (8, Some(9), Some(0.5))
        );
        assert_eq!(load.round(), None);
    }

    #[test]
    fn users_are_named_by_email_or_phone() {
        let user = |line: &str| match command(line) {
            Command::User(user) => user,
            other => panic!("{other:?}"),
        };
        let create =
            user("polls user create --name Ada --email a@b.c --phone +8616666666661 --admin");
        assert!(matches!(
            create,
            UserCommand::Create(NewUser {
                admin: true,
                phone: Some(_),
                ..
            })
        ));
        let ada = || Account {
            login: "a@b.c".to_owned(),
        };
        for (verb, expected) in [
            ("passwd", UserCommand::Passwd(ada())),
            ("promote", UserCommand::Promote(ada())),
            ("demote", UserCommand::Demote(ada())),
            ("disable", UserCommand::Disable(ada())),
            ("enable", UserCommand::Enable(ada())),
        ] {
            assert_eq!(user(&format!("polls user {verb} a@b.c")), expected);
            assert!(read(&format!("polls user {verb}")).is_err());
        }
        assert!(read("polls user create --name Ada --email a@b.c --password x").is_err());
    }

    #[test]
    fn tokens_are_for_one_or_for_all() {
        let token = |line: &str| match command(line) {
            Command::Token(token) => token,
            other => panic!("{other:?}"),
        };
        let one = token("polls token --user a@b.c");
        assert_eq!((one.user.as_deref(), one.all), (Some("a@b.c"), false));
        assert_eq!(one.ttl, Duration::from_secs(3600));
        let all = token("polls token --all --ttl 90s");
        assert_eq!(
            (all.user, all.all, all.ttl),
            (None, true, Duration::from_secs(90))
        );
        assert!(read("polls token").is_err());
        assert!(read("polls token --all --user a@b.c").is_err());
        assert!(read("polls token --all --ttl 5").is_err());
    }

    #[test]
    fn senseless_options_are_refused() {
        for line in [
            "polls openapi --check --output x",
            "polls seed --questions 3",
            "polls seed --users 3 --questions 3 --choices 1",
            "polls seed --users 3 --ballots 3",
            "polls migrate",
            "polls backup",
            "polls restore",
            "polls vote",
            "polls load",
            "polls load http://x --rate 0",
            "polls load http://x --http2 --no-keep-alive",
            "polls load http://x sign-in --login a@b.c",
            "polls load http://x post-file",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
