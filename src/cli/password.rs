use std::io::{self, BufRead, IsTerminal};

use crate::config::Secret;

/// Asks for a new password, twice and unseen, on a terminal; otherwise takes the first line of
/// standard input, so that scripts can pipe one in. It is never an argument, which other users of
/// the machine could see.
///
/// # Errors
/// There is none, the two differ, or the terminal cannot be read.
pub fn read_password() -> io::Result<Secret> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return first_line(&mut stdin.lock());
    }
    let password = rpassword::prompt_password("New password: ")?;
    if rpassword::prompt_password("Once more: ")? != password {
        return Err(invalid("The two passwords differ."));
    }
    Ok(password.into())
}

fn first_line(input: &mut impl BufRead) -> io::Result<Secret> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    // Spaces belong to a password; the end of the line does not.
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err(invalid("There is no password on standard input.")),
        password => Ok(password.to_owned().into()),
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let read = |text: &str| first_line(&mut text.as_bytes());
        for text in [" two words \n", " two words \r\nmore\n", " two words "] {
            assert_eq!(read(text).unwrap().expose(), " two words ");
        }
        assert!(read("").is_err());
        assert!(read("\nlater\n").is_err());
    }
}
