//! The command line: what can be asked of the program, and how each answer comes about.

mod arguments;
#[expect(clippy::print_stdout, reason = "where commands answer")]
mod backups;
#[expect(clippy::print_stdout, reason = "where commands answer")]
mod commands;
mod complain;
#[expect(clippy::print_stderr, reason = "where the operator is asked")]
mod confirm;
mod descriptors;
mod explain;
mod password;
mod ready;
mod tally;

use std::error::Error;
use std::io::{self, Write};

pub use arguments::{
    Account, Backup, Cli, Command, ConfigCommand, KeysCommand, MailCommand, Migrate, NewUser,
    Openapi, Ready, Recount, Restore, Seed, ServeFlags, Tally, TokenArguments, UserCommand,
};
pub use complain::complain;
pub use explain::{explain, is_enough};
pub use password::read_password;

use crate::app;
use crate::config::Loaded;
use crate::load;

/// Does what was asked for.
///
/// # Errors
/// Whatever keeps a command from being done; the message is for the operator.
pub async fn run(command: Command, loaded: Loaded) -> Result<(), Box<dyn Error + Send + Sync>> {
    let config = &loaded.config;
    descriptors::raise_limit();
    match command {
        Command::Serve(_) => app::serve(config.clone()).await,
        Command::Ready(arguments) => {
            ready::ready(&config.server, arguments.wait).await?;
            Ok(())
        }
        Command::Migrate(command) => commands::migrate(config, command).await,
        Command::Backup(arguments) => backups::backup(config, &arguments).await,
        Command::Restore(arguments) => backups::restore(config, &arguments).await,
        // In boxes: these futures are large.
        Command::Seed(arguments) => Box::pin(commands::seed(config.clone(), arguments)).await,
        Command::Openapi(arguments) => commands::openapi(&arguments),
        Command::Config(ConfigCommand::Check) => config_check(&mut io::stdout().lock()),
        Command::Config(ConfigCommand::Print) => config_print(&loaded, &mut io::stdout().lock()),
        Command::User(command) => Box::pin(commands::user(config.clone(), command)).await,
        Command::Keys(command) => commands::keys(config, command).await,
        Command::Mail(command) => commands::mail(config, command).await,
        Command::Token(arguments) => Box::pin(commands::token(config.clone(), arguments)).await,
        Command::Recount(arguments) => commands::recount(config, arguments).await,
        Command::Tally(arguments) => tally::command(&arguments),
        Command::Load(options) => load::run(*options).await,
    }
}

/// The exit code of the program after this error.
pub fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    error
        .downcast_ref::<tally::Failure>()
        .map_or(1, tally::Failure::exit_code)
}

/// A faulty configuration does not get here: `main` has shown its problems.
fn config_check(out: &mut impl Write) -> Result<(), Box<dyn Error + Send + Sync>> {
    writeln!(out, "The configuration is valid.")?;
    Ok(())
}

fn config_print(loaded: &Loaded, out: &mut impl Write) -> Result<(), Box<dyn Error + Send + Sync>> {
    for setting in &loaded.settings {
        writeln!(out, "{setting}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flag, Sources};

    #[test]
    fn print_shows_every_key_with_its_layer_and_no_secret() {
        let password = Flag {
            name: "--set database.password".to_owned(),
            key: "database.password".to_owned(),
            value: "hunter2".to_owned(),
        };
        let url = Flag {
            name: "--set database.url".to_owned(),
            key: "database.url".to_owned(),
            value: "postgres://polls@localhost/polls".to_owned(),
        };
        let loaded = config::load(&Sources {
            flags: vec![url, password],
            ..Sources::default()
        })
        .unwrap();
        let mut out = Vec::new();
        config_print(&loaded, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.starts_with("server.host: 127.0.0.1  # default\n"),
            "{out}"
        );
        assert!(out.contains("\ndatabase.password: ********  # --set database.password\n"));
        assert!(out.ends_with("\nlog.access: true  # default\n"), "{out}");
    }
}
