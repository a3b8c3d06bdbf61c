//! A temporary Redis.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::require;

/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running Redis, which keeps nothing on disk.
pub struct Redis {
    child: Child,
    pub port: u16,
    arguments: Vec<String>,
    /// Deleted with it.
    folder: TempDir,
}

impl Redis {
    /// Starts one; None if Redis is not installed and the test is skipped.
    #[track_caller]
    pub fn start() -> Option<Redis> {
        Redis::with(&[])
    }

    /// Starts one with further arguments.
    #[track_caller]
    pub fn with(arguments: &[&str]) -> Option<Redis> {
        let program = require::program("redis-server");
        require::installed("redis", "redis-server", program)?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        let mut redis = Redis {
            child: run(port, &folder, &arguments),
            port,
            arguments,
            folder,
        };
        redis.wait();
        Some(redis)
    }

    /// The URL for `share.redis_url`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }

    /// Starts it again after [`Redis::kill`], empty.
    pub fn restart(&mut self) {
        self.child = run(self.port, &self.folder, &self.arguments);
        self.wait();
    }

    /// Pauses it (SIGSTOP): it accepts connections, but does not answer.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    /// Resumes it (SIGCONT).
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.expect("kill is there").success());
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while !answers(self.port) {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("redis-server ended: {status}");
            }
            assert!(begun.elapsed() < TIMEOUT, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Fails if it was killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(port: u16, folder: &TempDir, arguments: &[String]) -> Child {
    let program = require::program("redis-server").expect("it was found before");
    Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

/// Whether it answers; an error that asks for a password is an answer, too.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let mut answer = [0; 5];
    let asked = stream.write_all(b"PING\r\n");
    asked.and_then(|()| stream.read_exact(&mut answer)).is_ok()
        && (answer == *b"+PONG" || answer == *b"-NOAU")
}
