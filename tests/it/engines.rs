//! The same tests again, on each database server that is installed.

use std::fs;
use std::process::Command;

use crate::parity::{self, TRANSCRIPT};
use crate::support::database::{Cluster, Database, GALERA, Kind, MARIADB, POSTGRES, TURN};
use crate::support::engine::SERVER;

/// Tests whose subject is not the database, or that start servers of their own.
const ELSEWHERE: [&str; 16] = [
    "backups::",
    "breaking::",
    "cors::",
    "engines::",
    "outages::",
    "deploy::",
    "encryption::",
    "hostile::",
    "page::",
    "plans::",
    "web::",
    "openapi::",
    "readme::",
    "tidy::",
    "support::",
    "a_full_disk",
];

/// What several processes do to one database, and what is left when one is killed.
const TOGETHER: [&str; 5] = [
    "races::",
    "processes::",
    "crashes::",
    "visibility::",
    "anonymous::storms::",
];

/// Runs this program's tests on a server, and prints what they print.
fn run_on(servers: &str, selection: impl FnOnce(&mut Command)) {
    let itself = std::env::current_exe().expect("this program");
    let mut command = Command::new(itself);
    selection(&mut command);
    let run = command.env(SERVER, servers).output().expect("it runs");
    print!("{}", String::from_utf8_lossy(&run.stdout));
    assert!(run.status.success(), "tests failed on {servers}");
}

fn run_everything_on(kind: &Kind) {
    let Some(program) = kind.installed() else {
        return;
    };
    let _turn = TURN.blocking_lock();
    let server = Database::start(kind, &program);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let answers = folder.path().join("answers");
    run_on(&server.address, |command| {
        command.args(ELSEWHERE.iter().flat_map(|name| ["--skip", name]));
        command.env(TRANSCRIPT, &answers);
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let expected = runtime.block_on(parity::transcript());
    let answers = fs::read_to_string(answers).expect("its answers");
    for (answer, expected) in answers.split("\n\n").zip(expected.split("\n\n")) {
        assert_eq!(answer, expected, "{} answers otherwise", kind.name);
    }
    assert_eq!(answers.len(), expected.len());
}

#[test]
fn everything_holds_on_postgresql() {
    run_everything_on(&POSTGRES);
}

#[test]
fn everything_holds_on_mariadb() {
    run_everything_on(&MARIADB);
}

/// Each process of a test is on another node.
#[test]
fn several_processes_hold_together_on_three_galera_nodes() {
    let Some(program) = GALERA.installed() else {
        return;
    };
    let _turn = TURN.blocking_lock();
    let cluster = Cluster::start(&program, 3);
    let nodes: Vec<&str> = cluster.nodes.iter().map(|node| &*node.address).collect();
    run_on(&nodes.join(","), |command| {
        command.args(TOGETHER).args(["--skip", "a_full_disk"]);
    });
}
