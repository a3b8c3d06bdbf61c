//! Temporary database servers, on free ports and in temporary folders, that tests can kill, stop
//! and restart.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::engine;
use super::require::{installed, program};

/// Held by tests that start several servers: nodes of a cluster that get too little CPU time lose
/// each other.
pub static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How long a server may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// An engine: how its servers are set up and started.
pub struct Kind {
    /// Its name in `POLLS_TEST_REQUIRE`.
    pub name: &'static str,
    package: &'static str,
    find: fn() -> Option<PathBuf>,
    /// Initialises the data folder.
    prepare: fn(&Path, &Path) -> Command,
    /// The command that serves the folder on a port.
    arguments: fn(&Path, u16) -> Vec<String>,
    /// Its URL up to the port.
    address: &'static str,
}

impl Kind {
    /// The server program; None if it is not installed and the test is skipped.
    #[track_caller]
    pub fn installed(&self) -> Option<PathBuf> {
        installed(self.name, self.package, (self.find)())
    }
}

pub const POSTGRES: Kind = Kind {
    name: "postgres",
    package: "postgresql",
    find: || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let programs = versions.map(|version| version.path().join("bin/postgres"));
        programs.filter(|program| program.exists()).max()
    },
    prepare: |server, data| {
        let mut command = as_nobody(&server.with_file_name("initdb"));
        command.args(["--auth=trust", "--username=polls", "--encoding=UTF8"]);
        command
            .args(["--locale=C", "--no-sync", "--pgdata"])
            .arg(data);
        command
    },
    arguments: |data, port| {
        let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
        arguments.extend(["-p".to_owned(), port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=600",
            // These tests kill processes, but do not simulate power failures.
            "fsync=off",
            "full_page_writes=off",
        ] {
            arguments.extend(["-c".to_owned(), setting.to_owned()]);
        }
        arguments
    },
    address: "postgres://polls@127.0.0.1",
};

pub const MARIADB: Kind = Kind {
    name: "mariadb",
    package: "mariadb-server",
    find: || program("mariadbd"),
    prepare: |_, data| {
        let mut command = as_nobody(Path::new("mariadb-install-db"));
        command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        command.args(["--skip-test-db", "--skip-log-bin"]);
        command.arg(format!("--datadir={}", data.display()));
        command.arg(tmpdir(data));
        command
    },
    arguments: |data, port| {
        let tmpdir = tmpdir(data);
        let data = data.display();
        let mut arguments = vec!["--no-defaults".to_owned(), format!("--datadir={data}")];
        arguments.extend([format!("--port={port}"), format!("--socket={data}/socket")]);
        arguments.push(tmpdir);
        let rest = [
            "--bind-address=127.0.0.1",
            "--max-connections=600",
            "--skip-log-bin",
            // Commits are written to the operating system, which is enough to survive a killed
            // server.
            "--innodb-flush-log-at-trx-commit=2",
            "--debug-no-sync",
        ];
        arguments.extend(rest.map(str::to_owned));
        arguments
    },
    address: "mariadb://root@127.0.0.1",
};

/// A separate folder for temporary tables: a starting MariaDB server deletes those of other servers
/// in the same folder, which crashes them.
fn tmpdir(data: &Path) -> String {
    format!("--tmpdir={}", data.display())
}

/// A MariaDB server that is one node of a cluster.
pub const GALERA: Kind = Kind {
    name: "galera",
    package: "mariadb-server galera-4 rsync",
    find: || {
        let library = Path::new(GALERA_LIBRARY).exists();
        program("mariadbd").filter(|_| library && program("rsync").is_some())
    },
    ..MARIADB
};

const GALERA_LIBRARY: &str = "/usr/lib/galera/libgalera_smm.so";

/// Runs the program as an unprivileged user, because these servers refuse root, and kills it when
/// this process ends.
pub fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.arg(program).current_dir("/").stdin(Stdio::null());
    command
}

/// Lets the servers of [`as_nobody`] own a file or folder.
pub fn give_to_nobody(path: &Path) {
    if is_root() {
        let mut chown = Command::new("chown");
        let status = chown.arg("nobody:nogroup").arg(path).status();
        assert!(status.expect("chown is there").success());
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
    taken.expect("a free port").port()
}

/// A temporary server.
pub struct Database {
    program: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    /// Its address without a database, such as `postgres://polls@127.0.0.1:4711`.
    pub address: String,
    pub port: u16,
    folder: TempDir,
}

impl Database {
    /// Starts a server, and waits until it executes statements.
    pub fn start(kind: &Kind, server: &Path) -> Database {
        Database::start_with(kind, server, &[])
    }

    /// The same with further arguments.
    pub fn start_with(kind: &Kind, server: &Path, arguments: &[String]) -> Database {
        let mut database = Database::prepare(kind, server);
        database.arguments.extend_from_slice(arguments);
        let prepared = (kind.prepare)(server, &database.data()).output();
        let prepared = prepared.expect("it can be prepared");
        assert!(prepared.status.success(), "{prepared:?}");
        database.restart();
        database
    }

    /// A server with an empty folder, not started yet.
    fn prepare(kind: &Kind, server: &Path) -> Database {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let port = free_port();
        let database = Database {
            program: server.to_owned(),
            arguments: (kind.arguments)(&folder.path().join("data"), port),
            child: None,
            address: format!("{}:{port}", kind.address),
            port,
            folder,
        };
        database.clear();
        database
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Deletes all data.
    pub fn clear(&self) {
        assert!(self.child.is_none(), "it is running");
        let data = self.data();
        // The folder does not exist at first.
        let _ = fs::remove_dir_all(&data);
        fs::create_dir(&data).expect("its data");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("its mode");
        give_to_nobody(&data);
    }

    /// Restarts it, and waits until it executes statements.
    pub fn restart(&mut self) {
        let begun = Instant::now();
        self.spawn();
        loop {
            let Err(error) = self.try_run("SELECT 1") else {
                return;
            };
            assert!(begun.elapsed() < START_TIMEOUT, "{error}\n{}", self.log());
            let ended = self.child.as_mut().map(Child::try_wait);
            if !matches!(ended, Some(Ok(None))) {
                // Children of the killed server may still hold the port or files for a moment.
                self.spawn();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn spawn(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).expect("its log");
        let child = as_nobody(&self.program)
            .args(&self.arguments)
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("it starts"));
    }

    /// Runs a statement; returns the first column of its rows.
    #[track_caller]
    pub fn run(&self, statement: &str) -> Vec<String> {
        self.try_run(statement).expect("the server does it")
    }

    fn try_run(&self, statement: &str) -> sqlx::Result<Vec<String>> {
        engine::run(&self.address, statement)
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.address)
    }

    /// Kills it and its children with SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.signal("KILL");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("it ends");
        }
    }

    /// Pauses it (SIGSTOP).
    pub fn stall(&self) {
        self.signal("STOP");
    }

    /// Resumes it (SIGCONT).
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it is running").id();
        signal_with_children(id, signal);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a signal to a process and its children.
pub fn signal_with_children(id: u32, signal: &str) {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.expect("Linux tells its children");
    let mut kill = Command::new("kill");
    kill.arg(format!("-{signal}")).arg(id.to_string());
    kill.args(children.split_whitespace());
    // Fails if a child has ended meanwhile.
    let _ = kill.stderr(Stdio::null()).status().expect("kill is there");
}

/// A synchronous standby of the PostgreSQL server `primary`.
pub fn standby_of(primary: &Database, mut standby: Database) -> Database {
    standby.clear();
    primary.run("ALTER SYSTEM RESET synchronous_standby_names");
    let mut backup = as_nobody(&standby.program.with_file_name("pg_basebackup"));
    backup.args(["--host=127.0.0.1", "--username=polls", "--no-sync"]);
    backup.args(["--checkpoint=fast", "--write-recovery-conf"]);
    backup.arg(format!("--port={}", primary.port));
    backup.arg(format!("--pgdata={}", standby.data().display()));
    let copied = backup.output().expect("it can be copied");
    assert!(copied.status.success(), "{copied:?}");
    standby.restart();
    primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.run("SELECT pg_reload_conf()::text");
    let in_step = "SELECT pid::text FROM pg_stat_replication \
        WHERE sync_state = 'sync' AND state = 'streaming'";
    wait_until("the standby is in step", || primary.run(in_step).len() == 1);
    standby
}

/// A PostgreSQL server for [`standby_of`], of the same version.
pub fn spare_of(primary: &Database) -> Database {
    Database::prepare(&POSTGRES, &primary.program)
}

/// Makes a standby the primary.
pub fn promote(standby: &Database) {
    assert_eq!(standby.run("SELECT pg_promote()::text"), ["true"]);
}

/// Nodes of one Galera cluster.
pub struct Cluster {
    pub nodes: Vec<Database>,
}

impl Cluster {
    pub fn start(server: &Path, size: usize) -> Cluster {
        let nodes: Vec<Database> = (0..size)
            .map(|_| Database::prepare(&GALERA, server))
            .collect();
        let ports: Vec<u16> = nodes.iter().map(|_| free_port()).collect();
        let peers: Vec<String> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let mut cluster = Cluster { nodes };
        for (index, port) in ports.iter().enumerate() {
            let node = &mut cluster.nodes[index];
            let prepared = (MARIADB.prepare)(server, &node.data()).output();
            assert!(prepared.expect("it can be prepared").status.success());
            let options = [
                format!("gmcast.listen_addr=tcp://127.0.0.1:{port}"),
                format!("base_host=127.0.0.1;base_port={port}"),
                format!("ist.recv_addr=127.0.0.1:{}", free_port()),
                // A silent node is suspected after one second instead of five.
                "evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.2S".to_owned(),
                "evs.suspect_timeout=PT1S;evs.inactive_timeout=PT3S".to_owned(),
                "gcache.size=32M".to_owned(),
            ];
            node.arguments.extend([
                "--wsrep-on=ON".to_owned(),
                format!("--wsrep-provider={GALERA_LIBRARY}"),
                "--wsrep-cluster-name=polls".to_owned(),
                "--wsrep-node-address=127.0.0.1".to_owned(),
                format!("--wsrep-node-name=node{index}"),
                "--wsrep-sst-method=rsync".to_owned(),
                format!("--wsrep-sst-receive-address=127.0.0.1:{}", free_port()),
                format!("--wsrep-provider-options={}", options.join(";")),
                "--binlog-format=ROW".to_owned(),
                "--innodb-autoinc-lock-mode=2".to_owned(),
            ]);
            let address = |list: String| format!("--wsrep-cluster-address=gcomm://{list}");
            // The first node starts the cluster; after a restart it joins the others.
            node.arguments.push(address(match index {
                0 => String::new(),
                _ => peers.join(","),
            }));
            node.restart();
            if index == 0 {
                node.arguments.pop();
                node.arguments.push(address(peers.join(",")));
            }
        }
        cluster.wait();
        cluster
    }

    /// Waits until every node is part of the cluster.
    pub fn wait(&self) {
        let size = self.nodes.len();
        let complete = format!(
            "SELECT VARIABLE_NAME FROM information_schema.GLOBAL_STATUS \
             WHERE (VARIABLE_NAME = 'WSREP_CLUSTER_SIZE' AND VARIABLE_VALUE = '{size}') \
             OR (VARIABLE_NAME = 'WSREP_LOCAL_STATE_COMMENT' AND VARIABLE_VALUE = 'Synced')"
        );
        for node in &self.nodes {
            wait_until("the cluster is complete", || {
                node.try_run(&complete).is_ok_and(|found| found.len() == 2)
            });
        }
    }
}

/// Waits for a condition; fails after the time limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < START_TIMEOUT, "{what}: waited in vain");
        std::thread::sleep(Duration::from_millis(50));
    }
}
