//! Programs that tests need and that may not be installed.
//!
//! A test whose program is missing is skipped, with a note on standard error. If the program is
//! listed in `POLLS_TEST_REQUIRE`, as in `POLLS_TEST_REQUIRE=postgres,nginx`, the test fails
//! instead.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The environment variable with the names of required programs, separated by commas.
pub const REQUIRE: &str = "POLLS_TEST_REQUIRE";

/// Returns what was found. If nothing was found, the test must be skipped; if `name` is required,
/// it fails here. `package` is the name of the Debian package.
#[track_caller]
pub fn installed(name: &str, package: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        let missing = format!("{name} is not installed (apt-get install {package})");
        assert!(!is_required(name), "{missing}");
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // Written directly, because the test harness captures what is printed with macros.
        let line = format!("skipped: {test}: {missing}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    found
}

/// Whether the program with this name is required.
pub fn is_required(name: &str) -> bool {
    let required = env::var(REQUIRE).unwrap_or_default();
    required.split(',').any(|required| required.trim() == name)
}

/// The path of a program. Programs of servers may be in folders that are not in `PATH`.
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
