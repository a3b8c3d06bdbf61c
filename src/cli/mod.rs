//! The command line: what can be asked of the program, and how each answer comes about.

mod arguments;
mod password;

use std::error::Error;
use std::io::{self, Write};

pub use arguments::{
    Account, Cli, Command, ConfigCommand, KeysCommand, Migrate, NewUser, Openapi, Recount, Seed,
    ServeFlags, TokenArguments, UserCommand,
};
pub use password::read_password;

use crate::config::Loaded;

/// Does what was asked for.
///
/// # Errors
/// Whatever keeps a command from being done; the message is for the operator.
pub async fn run(command: Command, loaded: Loaded) -> Result<(), Box<dyn Error + Send + Sync>> {
    match command {
        Command::Serve(_) => not_wired("serve"),
        Command::Migrate(_) => not_wired("migrate"),
        Command::Seed(_) => not_wired("seed"),
        Command::Openapi(_) => not_wired("openapi"),
        Command::Config(ConfigCommand::Check) => config_check(&mut io::stdout().lock()),
        Command::Config(ConfigCommand::Print) => config_print(&loaded, &mut io::stdout().lock()),
        Command::User(_) => not_wired("user"),
        Command::Keys(_) => not_wired("keys"),
        Command::Token(_) => not_wired("token"),
        Command::Recount(_) => not_wired("recount"),
    }
}

fn not_wired(command: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    Err(format!("`{command}` is not wired yet").into())
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
