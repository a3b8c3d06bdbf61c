//! PostgreSQL under Patroni: two temporary nodes and their etcd.

use std::fs;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::database::{
    POSTGRES, as_nobody, free_port, give_to_nobody, signal_with_children, wait_until,
};
use super::require;

/// Two nodes: a primary and its synchronous standby.
pub struct Patroni {
    pub nodes: Vec<Node>,
    etcd: Child,
    /// Deleted with it.
    _folder: TempDir,
}

/// A PostgreSQL server and the Patroni that manages it.
pub struct Node {
    /// Its address without a database.
    pub address: String,
    name: String,
    /// The port of Patroni's REST API.
    api: u16,
    program: PathBuf,
    folder: PathBuf,
    patroni: Option<Child>,
}

impl Patroni {
    /// Starts everything; None if something is not installed and the test is skipped.
    pub fn start() -> Option<Patroni> {
        let postgres = POSTGRES.installed()?;
        let etcd = require::program("etcd");
        let etcd = require::installed("patroni", "etcd-server patroni", etcd)?;
        let patroni = require::program("patroni");
        let patroni = require::installed("patroni", "etcd-server patroni", patroni)?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("its mode");
        let etcd_port = free_port();
        let etcd = start_etcd(&etcd, &own(folder.path(), "etcd"), etcd_port, free_port());
        let nodes = (0..2).map(|number| {
            let (name, port, api) = (format!("node{number}"), free_port(), free_port());
            let home = own(folder.path(), &name);
            let programs = postgres.parent().expect("its folder");
            let config = configuration(&name, &home, programs, port, api, etcd_port);
            // Patroni reads YAML, of which JSON is a subset.
            fs::write(home.join("patroni.yml"), config.to_string()).expect("its configuration");
            Node {
                address: format!("postgres://polls@127.0.0.1:{port}"),
                name,
                api,
                program: patroni.clone(),
                folder: home,
                patroni: None,
            }
        });
        let mut cluster = Patroni {
            nodes: nodes.collect(),
            etcd,
            _folder: folder,
        };
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.wait();
        Some(cluster)
    }

    /// Waits until there is a primary, and a standby that can be promoted. Returns the index of the
    /// primary.
    pub fn wait(&self) -> usize {
        let mut primary = None;
        wait_until("a primary and its standby", || {
            primary = self.nodes.iter().position(|node| node.is("/primary"));
            primary.is_some() && self.nodes.iter().any(|node| node.is("/sync"))
        });
        primary.expect("it was found")
    }

    /// Switches over to the standby, as for maintenance.
    pub fn switch_over(&self) {
        let node = &self.nodes[self.wait()];
        let mut command = as_nobody(&node.program.with_file_name("patronictl"));
        command.arg("-c").arg(node.folder.join("patroni.yml"));
        command.args(["switchover", "polls", "--force", "--master", &node.name]);
        let done = command.output().expect("it runs");
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

impl Node {
    /// Starts Patroni, which starts PostgreSQL.
    pub fn start(&mut self) {
        let log = fs::File::create(self.folder.join("log")).expect("its log");
        let child = as_nobody(&self.program)
            .arg(self.folder.join("patroni.yml"))
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn();
        self.patroni = Some(child.expect("it starts"));
    }

    /// Whether the node has a role: Patroni answers 200 at the path of its role.
    fn is(&self, page: &str) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.api))?;
            write!(stream, "GET {page} HTTP/1.0\r\n\r\n")?;
            io::read_to_string(stream)
        };
        let answer = ask();
        answer.is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
    }

    /// Kills everything at once, as when the machine fails.
    pub fn kill(&mut self) {
        if let Some(mut patroni) = self.patroni.take() {
            let _ = patroni.kill();
            let _ = patroni.wait();
        }
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid"));
        let id = file.ok().and_then(|file| file.lines().next()?.parse().ok());
        // There is no process while the node is down.
        let running = |id: &u32| {
            let program = fs::read_link(format!("/proc/{id}/cwd"));
            program.is_ok_and(|folder| folder.starts_with(&self.folder))
        };
        if let Some(id) = id.filter(running) {
            signal_with_children(id, "KILL");
        }
    }
}

/// Creates a folder for a server.
fn own(parent: &Path, name: &str) -> PathBuf {
    let folder = parent.join(name);
    fs::create_dir(&folder).expect("a folder");
    give_to_nobody(&folder);
    folder
}

/// Starts etcd, a single member, with a port for clients and one for peers.
fn start_etcd(program: &Path, folder: &Path, port: u16, peer: u16) -> Child {
    let log = fs::File::create(folder.join("log")).expect("its log");
    let (clients, peers) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let child = as_nobody(program)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("default={peers}")])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    child.expect("it starts")
}

fn configuration(
    name: &str,
    home: &Path,
    programs: &Path,
    port: u16,
    api: u16,
    etcd: u16,
) -> Value {
    let (address, api) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{api}"));
    json!({
        "scope": "polls",
        "name": name,
        "restapi": {"listen": api, "connect_address": api},
        "etcd3": {"host": format!("127.0.0.1:{etcd}")},
        "bootstrap": {
            "dcs": {
                // The minimum of Patroni.
                "ttl": 20, "loop_wait": 1, "retry_timeout": 3,
                // A commit is acknowledged only once the standby has it.
                "synchronous_mode": true,
                "postgresql": {
                    "use_pg_rewind": true,
                    "parameters": {"wal_log_hints": "on", "max_connections": 300},
                },
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
            "pg_hba": [
                "host all all 127.0.0.1/32 trust",
                "host replication all 127.0.0.1/32 trust",
            ],
        },
        "postgresql": {
            "listen": address,
            "connect_address": address,
            "data_dir": home.join("data"),
            "bin_dir": programs,
            "pgpass": home.join("pgpass"),
            "authentication": {
                "superuser": {"username": "polls"},
                "replication": {"username": "polls"},
                "rewind": {"username": "polls"},
            },
            "parameters": {
                "unix_socket_directories": "",
                // These tests kill processes, but do not simulate power failures.
                "fsync": "off",
            },
        },
    })
}
