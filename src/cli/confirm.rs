//! Asking before something is lost.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum Unconfirmed {
    #[error("there is no terminal to ask on; `--yes` does it without asking")]
    NobodyToAsk,
    #[error("nothing was changed")]
    Declined,
    #[error("cannot ask on the terminal")]
    Terminal(#[from] io::Error),
}

/// Shows what will happen and asks on the terminal whether it may.
pub fn confirm(what: &str) -> Result<(), Unconfirmed> {
    eprintln!("{what}");
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Unconfirmed::NobodyToAsk);
    }
    eprint!("Type yes to go on: ");
    io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(Unconfirmed::Declined),
    }
}
