//! Programs that tests start and a machine may lack.
//!
//! A test without its program is skipped, which is said on standard error. A program that
//! `POLLS_TEST_REQUIRE` names, as in `POLLS_TEST_REQUIRE=postgres,nginx`, must be there: without it
//! the test fails.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The names of what must be installed, with commas between them.
pub const REQUIRE: &str = "POLLS_TEST_REQUIRE";

/// Gives back what was found. Otherwise the test that asks is to be skipped; or it fails here,
/// where `name` is required. `package` is Debian's.
#[track_caller]
pub fn installed(name: &str, package: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        let missing = format!("{name} is not installed (apt-get install {package})");
        assert!(!is_required(name), "{missing}");
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // Not captured, as what is printed would be: whoever runs the tests must see it.
        let line = format!("skipped: {test}: {missing}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    found
}

/// Whether the tests must not be run without what has this name.
pub fn is_required(name: &str) -> bool {
    let required = env::var(REQUIRE).unwrap_or_default();
    required.split(',').any(|required| required.trim() == name)
}

/// Where a program is. Those of servers may be beside the path of plain users.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path);
    let folders = folders.chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|path| Path::is_file(path))
}

#[test]
fn what_is_there_is_found() {
    let shell = program("sh").expect("a shell");
    assert_eq!(installed("sh", "dash", Some(shell.clone())), Some(shell));
    assert_eq!(program("no-such-program"), None);
}
