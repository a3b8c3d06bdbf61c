//! nginx with the configuration of `config/deploy/`, on a free port.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::require;

/// A file of `config/deploy/` with some of its text replaced, which must be there.
pub fn shipped(name: &str, replacements: &[(&str, &str)]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/deploy");
    let mut text = fs::read_to_string(folder.join(name)).expect("a shipped file");
    for (from, to) in replacements {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    text
}

/// A running nginx. The processes behind it have their sockets in its folder, `1.sock` to `4.sock`.
pub struct Nginx {
    child: Child,
    /// Such as `http://127.0.0.1:4711`.
    pub address: String,
    log: PathBuf,
}

impl Nginx {
    /// Starts nginx with the shipped configuration and `replacements` in `nginx.conf`. None if nginx
    /// is not installed.
    pub fn start(folder: &Path, replacements: &[(&str, &str)]) -> Option<Nginx> {
        let program = require::installed("nginx", "nginx", require::program("nginx"))?;
        // Another process may take the port before nginx does.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
            let port = port.expect("a free port").port();
            write_configuration(folder, port, replacements);
            let log = folder.join("nginx.log");
            let child = Command::new(&program)
                .arg("-p")
                .arg(folder)
                .args(["-c", "nginx.conf"])
                .stderr(fs::File::create(&log).expect("its log"))
                .spawn()
                .expect("nginx starts");
            let mut nginx = Nginx {
                child,
                address: format!("http://127.0.0.1:{port}"),
                log,
            };
            if nginx.listens(port) {
                return Some(nginx);
            }
        }
        panic!("nginx found no free port");
    }

    /// The lines of the error log.
    pub fn errors(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).expect("its log");
        log.lines().map(str::to_owned).collect()
    }

    fn listens(&mut self, port: u16) -> bool {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                assert!(log.contains("Address already in use"), "{status}: {log}");
                return false;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return true;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "nginx is silent");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Not SIGKILL, which its workers would survive.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Writes the shipped files, included by a main file like that of a distribution.
fn write_configuration(folder: &Path, port: u16, replacements: &[(&str, &str)]) {
    let sockets = format!("{}/", folder.display());
    let listen = format!("listen 127.0.0.1:{port};");
    // On machines without IPv6 its line is removed, as the operator's guide says.
    let listen_v6 = match TcpListener::bind("[::1]:0") {
        Ok(_) => format!("listen [::1]:{port};"),
        Err(_) => String::new(),
    };
    let own = [
        ("listen 80;", listen.as_str()),
        ("listen [::]:80;", listen_v6.as_str()),
    ];
    let replacements = [&own, replacements].concat();
    let site = shipped("nginx.conf", &replacements);
    let metrics = format!("listen unix:{sockets}metrics.sock;");
    let upstream = [
        ("/run/polls/", sockets.as_str()),
        ("listen 127.0.0.1:9180;", &metrics),
    ];
    let upstream = shipped("upstream.conf", &upstream);
    let _ = fs::remove_file(folder.join("metrics.sock"));
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {sockets}{kind}_temp;"))
        .join("\n");
    // The workers run as root, so that they can access the sockets in the test's folder.
    let user = match fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own))
    {
        Ok(0) => "user root;",
        _ => "",
    };
    let main = format!(
        "daemon off; worker_processes 2; pid {sockets}nginx.pid; error_log stderr; {user}\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off;\n{temporary}\ninclude conf.d/*.conf; }}\n"
    );
    let includes = folder.join("conf.d");
    fs::create_dir_all(&includes).expect("a folder");
    let write = |path: PathBuf, text: String| fs::write(path, text).expect("a file");
    write(folder.join("nginx.conf"), main);
    write(includes.join("polls.conf"), site);
    write(includes.join("polls-upstream.conf"), upstream);
}
