//! The real program, as an operator runs it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::io::{BufRead as _, BufReader};

/// A running `polls serve`.
pub struct Server {
    child: Child,
    /// Such as `http://127.0.0.1:4711`.
    pub address: String,
    /// What it printed when it was ready.
    pub greeting: Vec<String>,
}

impl Server {
    /// Starts the program in `folder` on a free port and waits until it says that it is ready.
    pub fn start(folder: &Path, arguments: &[&str]) -> Server {
        let mut child = command(folder)
            .args(["serve", "--port", "0", "--set", "limits.enabled=false"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("its output");
        let mut greeting = Vec::new();
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let last = line.trim_start().starts_with("Database");
            greeting.push(line);
            if last {
                break;
            }
        }
        let api = greeting.iter().find_map(|line| line.trim().strip_prefix("API"));
        let address = api
            .and_then(|api| api.trim().strip_suffix("/api/v1"))
            .unwrap_or_else(|| panic!("no address in {greeting:?}"))
            .to_owned();
        Server { child, address, greeting }
    }

    /// The process id, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does, and waits for its end.
    pub fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop as an operator does, and gives its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().expect("kill is there");
        assert!(status.success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Those that were killed or terminated have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end.
pub fn polls(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().expect("the program runs")
}

/// The program with nothing from the tests' own environment.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polls"));
    command.current_dir(folder).env_clear();
    command
}
