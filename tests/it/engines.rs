//! The same tests again, on each server that is installed.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::parity::{self, TRANSCRIPT};
use crate::support::engine::{SERVER, try_run};

/// What a server is to these tests.
struct Kind {
    /// As `POLLS_TEST_REQUIRE` names it.
    name: &'static str,
    package: &'static str,
    /// The program that serves, where it is installed.
    program: fn() -> Option<PathBuf>,
    /// Fills the empty folder; then the arguments to serve it on a port.
    prepare: fn(&Path, &Path) -> Command,
    arguments: fn(&Path, u16) -> Vec<String>,
    /// Its address but for the port.
    address: &'static str,
}

const POSTGRES: Kind = Kind {
    name: "postgres",
    package: "postgresql",
    program: || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let programs = versions.map(|version| version.path().join("bin/postgres"));
        programs.filter(|program| program.exists()).max()
    },
    prepare: |program, data| {
        let mut command = as_nobody(&program.with_file_name("initdb"));
        command.args([
            "-A",
            "trust",
            "-U",
            "polls",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
            "-D",
        ]);
        command.arg(data);
        command
    },
    arguments: |data, port| {
        let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
        arguments.extend(["-p".to_owned(), port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=600",
            // What survives a power cut is not what these tests are about.
            "fsync=off",
            "full_page_writes=off",
        ] {
            arguments.extend(["-c".to_owned(), setting.to_owned()]);
        }
        arguments
    },
    address: "postgres://polls@127.0.0.1",
};

const MARIADB: Kind = Kind {
    name: "mariadb",
    package: "mariadb-server",
    program: || {
        let places = ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"].map(PathBuf::from);
        places.into_iter().find(|program| program.exists())
    },
    prepare: |_, data| {
        let mut command = as_nobody(Path::new("mariadb-install-db"));
        command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        command.args(["--skip-test-db", "--skip-log-bin"]);
        command.arg(format!("--datadir={}", data.display()));
        command
    },
    arguments: |data, port| {
        let data = data.display();
        let mut arguments = vec!["--no-defaults".to_owned(), format!("--datadir={data}")];
        arguments.extend([format!("--port={port}"), format!("--socket={data}/socket")]);
        let rest = [
            "--bind-address=127.0.0.1",
            "--max-connections=600",
            "--skip-log-bin",
            // See above.
            "--innodb-flush-log-at-trx-commit=0",
            "--debug-no-sync",
        ];
        arguments.extend(rest.map(str::to_owned));
        arguments
    },
    address: "mariadb://root@127.0.0.1",
};

/// The program, run by somebody whom these servers take, and ended with this test.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.arg(program).current_dir("/").stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A server that is thrown away.
struct Server {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Server {
    fn start(kind: &Kind, program: &Path) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("its data");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        if is_root() {
            let owner = Command::new("chown")
                .arg("nobody:nogroup")
                .arg(&data)
                .status();
            assert!(owner.expect("chown is there").success());
        }
        let prepared = (kind.prepare)(program, &data)
            .output()
            .expect("it can be prepared");
        assert!(prepared.status.success(), "{prepared:?}");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
        let port = port.expect("a free port").port();
        let log = fs::File::create(folder.path().join("log")).expect("its log");
        let child = as_nobody(program)
            .args((kind.arguments)(&data, port))
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        let server = Server {
            child,
            address: format!("{}:{port}", kind.address),
            _folder: folder,
        };
        server.wait();
        server
    }

    fn wait(&self) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let begun = Instant::now();
        while let Err(error) = runtime.block_on(try_run(&self.address, Vec::new())) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One at a time: the machine has enough to do.
static TURN: Mutex<()> = Mutex::new(());

/// Tests whose subject is not the database.
const ELSEWHERE: [&str; 6] = [
    "breaking::",
    "engines::",
    "openapi::",
    "tidy::",
    "support::",
    "a_full_disk",
];

fn run_everything_on(kind: &Kind) {
    let required = std::env::var("POLLS_TEST_REQUIRE").unwrap_or_default();
    let name = kind.name;
    if !required.split(',').any(|required| required == name) {
        // Not captured, as what is printed would be: whoever runs the tests must see it.
        let skipped = format!("skipped: {name}, until POLLS_TEST_REQUIRE={name} asks for it\n");
        let _ = std::io::stderr().write_all(skipped.as_bytes());
        return;
    }
    let Some(program) = (kind.program)() else {
        panic!("{name} is not installed (apt-get install {})", kind.package);
    };
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::start(kind, &program);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let answers = folder.path().join("answers");
    let itself = std::env::current_exe().expect("this program");
    let run = Command::new(itself)
        .args(ELSEWHERE.iter().flat_map(|name| ["--skip", name]))
        .env(SERVER, &server.address)
        .env(TRANSCRIPT, &answers)
        .output()
        .expect("it runs");
    let output = String::from_utf8_lossy(&run.stdout);
    print!("{output}");
    assert!(run.status.success(), "tests failed on {}", kind.name);
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
