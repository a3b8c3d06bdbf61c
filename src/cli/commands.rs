//! The commands that work on the database and end.

use std::error::Error;
use std::io::{self, Write as _};
use std::time::Duration;

use super::arguments::{
    Account, KeysCommand, MailCommand, Migrate, NewUser, Openapi, Recount, Seed, TokenArguments,
    UserCommand,
};
use super::confirm::confirm;
use super::password::read_password;
use crate::app::{self, App};
use crate::auth::tokens::keys;
use crate::auth::tokens::mint::Minted;
use crate::ballots::recount::{self, Tally};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::http::spec;
use crate::input;
use crate::mail;
use crate::precondition::IfMatch;
use crate::seed;
use crate::users::email::Email;
use crate::users::password::NewPassword;
use crate::users::phone::PhoneNumber;
use crate::users::{self, Name, Role, Standing, UserPatch};

/// How long the database may take to count everything.
const FOR_ALL_BALLOTS: Duration = Duration::from_secs(3600);

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

pub async fn migrate(config: &Config, command: Migrate) -> Outcome {
    let db = match command {
        Migrate::Down { .. } => Db::connect_alone(&config.database).await?,
        Migrate::Up | Migrate::Status => Db::connect(&config.database).await?,
    };
    match command {
        Migrate::Up => db.migrate_up(None).await?,
        Migrate::Down { steps, yes } => migrate_down(&db, steps, yes).await?,
        Migrate::Status => {}
    }
    for step in db.migration_status().await? {
        println!(
            "{}  {}",
            if step.applied { "applied" } else { "pending" },
            step.name
        );
    }
    db.close().await;
    Ok(())
}

/// Takes changes back after the operator has agreed to what is lost.
async fn migrate_down(db: &Db, steps: u32, yes: bool) -> Outcome {
    let status = db.migration_status().await?;
    let applied = status.iter().rev().filter(|step| step.applied);
    let undone: Vec<_> = applied.take(steps as usize).collect();
    let mut what = String::from("This takes back, with everything in it, for ever:");
    for step in &undone {
        let rows = db.rows_of(step).await?;
        let rows = rows
            .iter()
            .map(|(table, rows)| format!("{table} ({rows} rows)"));
        let tables = rows.collect::<Vec<_>>().join(", ");
        what.push_str(&format!("\n  {}  {tables}", step.name));
    }
    if !yes && !undone.is_empty() {
        confirm(&what)?;
    }
    Ok(db.migrate_down(Some(steps)).await?)
}

pub async fn seed(config: Config, arguments: Seed) -> Outcome {
    let app = App::open(config, Clock::default()).await?;
    let outcome = match arguments.users {
        Some(users) => {
            let questions = arguments.questions.unwrap_or(0);
            let amount = seed::Amount {
                users,
                guests: arguments.guests,
                questions,
                choices: arguments.choices,
                // Nobody votes twice on a question.
                ballots: arguments
                    .ballots
                    .min(u64::from(users) * u64::from(questions)),
            };
            seed::bulk(&app, amount).await.map(|password| {
                println!(
                    "{users} users, {questions} questions and {} ballots were made.",
                    amount.ballots
                );
                if amount.guests > 0 {
                    println!("{} guests were made.", amount.guests);
                }
                println!("Every one of these users has the password {password}");
            })
        }
        None => {
            let made = seed::story(&app).await;
            made.map(|made| {
                println!("Their passwords are shown this once:");
                for user in made {
                    println!(
                        "{}  {}  {}  {}",
                        user.phone, user.email, user.password, user.name
                    );
                }
            })
        }
    };
    app.close().await;
    Ok(outcome?)
}

pub async fn user(config: Config, command: UserCommand) -> Outcome {
    let app = App::open(config, Clock::default()).await?;
    let outcome = change_user(&app, command).await;
    app.close().await;
    outcome
}

pub async fn mail(config: &Config, command: MailCommand) -> Outcome {
    let MailCommand::Test { to } = command;
    mail::send_test(config, &Clock::default(), &to).await?;
    println!("The mail server has accepted a message to {to}.");
    Ok(())
}

async fn change_user(app: &App, command: UserCommand) -> Outcome {
    let accounts = &app.accounts;
    let (Account { login }, change) = match command {
        UserCommand::Create(new) => return create_user(app, new).await,
        UserCommand::Passwd(Account { login }) => {
            let password = read_password()?.expose().to_owned();
            let account = accounts.by_login(&login).await?;
            accounts.reset_password(&account, password).await?;
            println!("The password of {login} is changed, and its sessions are ended.");
            return Ok(());
        }
        UserCommand::Promote(account) => (account, role(Role::Admin)),
        UserCommand::Demote(account) => (account, role(Role::User)),
        UserCommand::Disable(account) => (account, disabled(true)),
        UserCommand::Enable(account) => (account, disabled(false)),
    };
    let account = accounts.by_login(&login).await?;
    let any = IfMatch::default();
    let changed = accounts.set_access(account.id, change, &any);
    let account = changed.await?;
    let state = if account.is_active() {
        "active"
    } else {
        "disabled"
    };
    println!(
        "{login} is {} {state} {}.",
        article(state),
        role_name(account.standing.role())
    );
    Ok(())
}

fn role(role: Role) -> UserPatch {
    UserPatch {
        role: Some(role),
        ..UserPatch::default()
    }
}

fn disabled(disabled: bool) -> UserPatch {
    UserPatch {
        disabled: Some(disabled),
        ..UserPatch::default()
    }
}

async fn create_user(app: &App, new: NewUser) -> Outcome {
    let role = if new.admin { Role::Admin } else { Role::User };
    let password = read_password()?.expose().to_owned();
    let new = users::NewUser {
        name: Name::new(&new.name),
        email: Email::new(&new.email),
        phone: new.phone.as_deref().map(PhoneNumber::new),
        password: NewPassword::new(password),
    };
    let region = app.accounts.region();
    input::check(&new, |new| new.mistakes(region))?;
    let new = new.into_registration(region);
    let made = app.accounts.create_account(new, role).await?;
    println!("{} was made: {}", role_name(role), made.id);
    Ok(())
}

pub async fn keys(config: &Config, command: KeysCommand) -> Outcome {
    let db = Db::connect(&config.database).await?;
    db.require_schema().await?;
    let (clock, auth) = (Clock::default(), &config.auth);
    match command {
        KeysCommand::Rotate => {
            let id = keys::rotate(&db, &clock, auth).await?;
            println!("Tokens are signed with key {id} from now on.");
        }
        KeysCommand::Revoke => {
            let id = keys::revoke(&db, &clock, auth).await?;
            println!("Tokens are signed with key {id} from now on.");
            println!("Those of other keys are refused within a second.");
        }
    }
    db.close().await;
    Ok(())
}

pub async fn token(config: Config, arguments: TokenArguments) -> Outcome {
    let app = App::open(config, Clock::default()).await?;
    let outcome = mint(&app, arguments).await;
    app.close().await;
    outcome
}

async fn mint(app: &App, arguments: TokenArguments) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match arguments.user {
        Some(login) => {
            let account = app.accounts.by_login(&login).await?;
            let minted = app.tokens.mint(account.id, arguments.ttl).await?;
            writeln!(out, "{} {}", minted.user_id, minted.access_token)?;
        }
        None => {
            let each = |minted: Minted| -> Outcome {
                Ok(writeln!(out, "{} {}", minted.user_id, minted.access_token)?)
            };
            let standing = match arguments.guests {
                true => Standing::Guest,
                false => Standing::User,
            };
            app.tokens.mint_all(standing, arguments.ttl, each).await?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Needs no database: the document is about the program alone.
pub fn openapi(arguments: &Openapi) -> Outcome {
    Ok(spec::run(
        &app::document(),
        arguments.check,
        arguments.output.as_deref(),
    )?)
}

/// Compares the tallies with the ballots and mends them; an error where they differ and are only
/// to be compared.
pub async fn recount(config: &Config, arguments: Recount) -> Outcome {
    let mut database = config.database.clone();
    // All ballots are counted in one statement.
    database.statement_timeout = database.statement_timeout.max(FOR_ALL_BALLOTS);
    (database.min_connections, database.max_connections) = (0, 1);
    let db = Db::connect(&database).await?;
    db.require_schema().await?;
    db.allow_scans().await?;
    let differences = recount::check(&db).await?;
    for difference in &differences {
        println!("{difference}");
    }
    if differences.is_empty() {
        println!("Every tally equals its ballots.");
    } else if arguments.check {
        return Err("some tallies differ from their ballots; `polls recount` mends them".into());
    } else {
        let questions: std::collections::BTreeSet<_> = differences
            .iter()
            .map(|difference| difference.question_id)
            .collect();
        for question in &questions {
            recount::mend(&db, *question).await?;
        }
        println!("The tallies of {} questions are mended.", questions.len());
        if differences
            .iter()
            .any(|difference| difference.of == Tally::Roll)
        {
            return Err("some anonymous questions have other ballots than voters".into());
        }
    }
    db.close().await;
    Ok(())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Admin => "admin",
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}
