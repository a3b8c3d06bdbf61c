//! `polls backup` and `polls restore`.

use std::error::Error;

use super::arguments::{Backup, Restore};
use crate::auth::tokens::reset;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{self, Contents, Restoring};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

pub async fn backup(config: &Config, arguments: &Backup) -> Outcome {
    let contents = db::backup(&config.database, &arguments.file).await?;
    let file = arguments.file.display();
    println!("{file} has {}. It was checked.", shown(contents));
    Ok(())
}

pub async fn restore(config: &Config, arguments: &Restore) -> Outcome {
    let clock = Clock::default();
    let restoring = Restoring::begin(&config.database, &arguments.file).await?;
    reset::after_restore(restoring.db(), &clock, &config.auth).await?;
    let contents = restoring.contents;
    let kept = restoring.finish(clock.now()).await?;
    println!("{} is restored: {}.", config.database.url, shown(contents));
    if let Some(kept) = kept {
        println!("The database that was there is kept as {}.", kept.display());
    }
    println!("All sessions are ended; codes and unsent mail are deleted.");
    match config.auth.key {
        None => println!("The signing key is new."),
        Some(_) => println!(
            "The signing key is that of auth.key: where others may have read it, configure \
             another one and run `polls keys rotate`."
        ),
    }
    Ok(())
}

fn shown(contents: Contents) -> String {
    let Contents {
        accounts,
        questions,
        ballots,
    } = contents;
    format!("{accounts} account(s), {questions} question(s) and {ballots} ballot(s)")
}
