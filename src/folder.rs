//! Folders in which files cannot be created.

use std::io;
use std::path::Path;

/// The error of creating `file`, in words that name the folder where that is the reason.
pub fn named(file: &Path, error: io::Error) -> io::Error {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).display();
    let words = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no folder {folder}"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("this user may not create files in the folder {folder}: {error}")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), words)
}
