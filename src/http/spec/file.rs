//! The document as a file: `polls openapi`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the document is checked in, from the root of the repository.
pub const CHECKED_IN: &str = "openapi/polls.json";

/// Why the document was not written, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(
        "{CHECKED_IN} is not what the program would write; bring it up to date with `cargo run -- openapi --output {CHECKED_IN}`"
    )]
    Stale,
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Print(io::Error),
}

/// Writes the document to `output`, or to standard output; with `check`, compares it with the one
/// that is checked in instead.
pub fn run(document: &Value, check: bool, output: Option<&Path>) -> Result<(), FileError> {
    let text = text(document);
    if check {
        return compare(&text, Path::new(CHECKED_IN));
    }
    match output {
        Some(path) => write(&text, path),
        None => io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .map_err(FileError::Print),
    }
}

/// The document as it is checked in and served.
pub(super) fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

fn compare(text: &str, path: &Path) -> Result<(), FileError> {
    match std::fs::read_to_string(path) {
        Ok(written) if written == text => Ok(()),
        Ok(_) => Err(FileError::Stale),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FileError::Stale),
        Err(source) => Err(FileError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn write(text: &str, path: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_is_current_until_the_document_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openapi/polls.json");
        let (old, new) = (json!({"openapi": "3.0.3"}), json!({"openapi": "3.0.4"}));
        let check = |document| compare(&text(document), &path);
        assert!(matches!(check(&old), Err(FileError::Stale)));
        run(&old, false, Some(&path)).unwrap();
        check(&old).unwrap();
        let stale = check(&new).unwrap_err();
        assert!(
            stale
                .to_string()
                .contains("openapi --output openapi/polls.json")
        );
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("}\n"));
    }
}
