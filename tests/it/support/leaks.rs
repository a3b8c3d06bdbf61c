//! Where secrets could be found.

use std::path::Path;

use super::polls;

/// Makes a backup of the SQLite database in the folder, and returns all files there with their names:
/// the database, its log of changes, and the backup `copy.db`.
pub fn files_with_backup(folder: &Path) -> Vec<(String, Vec<u8>)> {
    polls(folder, &["backup", "copy.db"]).done();
    let files = std::fs::read_dir(folder).expect("the folder");
    let paths = files.map(|file| file.expect("a file").path());
    paths
        .map(|path| {
            let bytes = std::fs::read(&path).expect("a file");
            (path.display().to_string(), bytes)
        })
        .collect()
}

/// Whether the text stands in a file.
pub fn has(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
