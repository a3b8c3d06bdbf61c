use std::error::Error;
use std::io;

use crate::failure::Failure;

/// An error in words for the terminal: what failed, field by field where there are fields, and
/// every cause down to the first.
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = words(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = words(error);
        // Some errors repeat their causes' words in their own.
        if !text.contains(&words) {
            text.push_str(&format!("\n  because: {words}"));
        }
        cause = error.source();
    }
    text
}

/// Whether whoever read the output has had enough, as `head` has.
pub fn is_enough(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn words(error: &(dyn Error + 'static)) -> String {
    let Some(failure) = error.downcast_ref::<Failure>() else {
        return error.to_string();
    };
    let mut words = failure.detail.to_string();
    for error in &failure.errors {
        let field = error.pointer.trim_start_matches('/');
        words.push_str(&format!("\n  {field}: {}", error.message));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{FieldError, Rule};

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<dyn Error + Send + Sync>>,
    }

    #[test]
    fn every_cause_is_told_once() {
        let link = |text, source| Link { text, source };
        let disk = link("disk full", None);
        let commit = link("commit: disk full", Some(disk.into()));
        let failure = Failure::internal(commit);
        let top = link("cannot store the keys", Some(failure.into()));
        assert_eq!(
            explain(&top),
            "cannot store the keys\n  because: The server could not do this.\n  because: commit: disk full"
        );
    }

    #[test]
    fn fields_are_told_one_by_one() {
        let errors = [
            ("/name", "must be short"),
            ("/email", "must be an email address"),
        ];
        let errors = errors.map(|(at, message)| FieldError::new(at, Rule::Length, message));
        let failure = Failure::invalid(errors.into());
        assert_eq!(
            explain(&failure),
            "2 fields are not valid.\n  name: must be short\n  email: must be an email address"
        );
    }
}
