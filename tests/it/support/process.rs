//! The compiled program, as an operator runs it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use super::app::{client, send};
use super::engine;

/// A running `polls serve`.
pub struct Server {
    child: Child,
    /// Collects its log until it ends.
    log: Option<JoinHandle<io::Result<String>>>,
    /// Such as `http://127.0.0.1:4711`.
    pub address: String,
    /// The address of its metrics.
    pub figures: String,
    /// Its output on standard output when it became ready.
    pub greeting: Vec<String>,
}

impl Server {
    /// Starts the program in `folder` on a free port and waits until it says that it is ready.
    pub fn start(folder: &Path, arguments: &[&str]) -> Server {
        let unlimited = ["--port", "0", "--set", "limits.enabled=false"];
        Server::serve(folder, &[&unlimited, arguments].concat())
    }

    /// Runs `polls serve` with exactly these arguments and waits until it says that it is ready.
    pub fn serve(folder: &Path, arguments: &[&str]) -> Server {
        Server::serve_with(folder, arguments, &[])
    }

    /// The same with something in its environment.
    pub fn serve_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = command(folder);
        let command = command.env("POLLS__SERVER__METRICS", "127.0.0.1:0");
        let command = command.envs(environment.iter().copied());
        Server::run(command.arg("serve").args(arguments))
    }

    /// Like [`Server::start`], from a shell that runs other commands first.
    pub fn start_in_shell(folder: &Path, first: &str, arguments: &[&str]) -> Server {
        let mut shell = Command::new("sh");
        let script = format!("{first}; exec \"$0\" serve --port 0 \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_polls")]);
        shell.env("POLLS__SERVER__METRICS", "127.0.0.1:0");
        Server::run(shell.args(arguments).current_dir(folder))
    }

    /// Like [`Server::start`], but a write beyond the file size limit fails, as on a full disk,
    /// instead of raising a signal.
    pub fn start_on_small_disk(folder: &Path, arguments: &[&str]) -> Server {
        Server::start_in_shell(folder, "trap '' XFSZ", arguments)
    }

    /// Sets the file size limit of the server in bytes; None removes it.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let arguments = [format!("--pid={}", self.id()), format!("--fsize={limit}:")];
        let status = Command::new("prlimit").args(arguments).status();
        assert!(status.expect("prlimit is there").success());
    }

    fn run(command: &mut Command) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("its output");
        let stderr = child.stderr.take().expect("its log");
        // The log is read continuously, because the server would block on a full pipe.
        let log = std::thread::spawn(move || io::read_to_string(stderr));
        let mut greeting = Vec::new();
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let last = line.trim_start().starts_with("Database");
            greeting.push(line);
            if last {
                break;
            }
        }
        let api = greeting
            .iter()
            .find_map(|line| line.trim().strip_prefix("API"));
        let address = api.and_then(|api| api.trim().strip_suffix("/api/v1"));
        let Some(address) = address.map(str::to_owned) else {
            let _ = child.kill();
            panic!("no address in {greeting:?}; its log: {:?}", log.join());
        };
        let figures = greeting
            .iter()
            .find_map(|line| line.trim().strip_prefix("Metrics"));
        let figures = figures.and_then(|figures| figures.trim().strip_suffix("/metrics"));
        Server {
            child,
            log: Some(log),
            address,
            figures: figures.unwrap_or_default().to_owned(),
            greeting,
        }
    }

    /// The process id, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The value of a metric, named with its labels; 0 if it does not exist yet.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = client().get(format!("{}/metrics", self.figures));
        let text = send(metrics).await.expect(200).bytes;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.find_map(|value| value.strip_prefix(' ')?.trim().parse().ok());
        value.unwrap_or(0.0)
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }

    /// Sends SIGTERM; [`Server::ended`] waits for the end.
    pub fn ask_to_stop(&self) {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status();
        assert!(status.expect("kill is there").success());
    }

    /// Waits for its end, and returns its exit code.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// Kills it, and returns its log.
    pub fn log(mut self) -> String {
        self.kill();
        let log = self.log.take().expect("nobody else asked for it").join();
        log.expect("no panic").expect("its log")
    }

    /// Stops it with SIGTERM, and returns its exit code.
    pub fn terminate(self) -> Option<i32> {
        self.ask_to_stop();
        self.ended()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.take().map(JoinHandle::join);
        if let Some(Ok(Ok(log))) = log
            && std::thread::panicking()
        {
            let errors = log.lines().filter(|line| line.contains("\"ERROR\""));
            errors.for_each(|line| println!("{}: {line}", self.address));
        }
    }
}

/// Runs the program to its end.
pub fn polls(folder: &Path, arguments: &[&str]) -> Run {
    Run::of(command(folder).args(arguments), "")
}

/// Runs the program to its end with something on its standard input.
pub fn polls_reading(folder: &Path, arguments: &[&str], input: &str) -> Run {
    Run::of(command(folder).args(arguments), input)
}

/// Runs the program to its end in a terminal of its own, which shows both of its outputs.
pub fn polls_in_terminal(
    folder: &Path,
    arguments: &str,
    environment: &[(&str, &str)],
    input: &str,
) -> Run {
    let program = command(folder);
    let line = format!("{} {arguments}", program.get_program().display());
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    terminal.current_dir(folder).env_clear();
    let variables = program.get_envs();
    terminal.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    terminal
        .env("TERM", "xterm")
        .envs(environment.iter().copied());
    Run::of(terminal.stderr(Stdio::null()), input)
}

/// The path of the program, or of another build of it.
fn program() -> String {
    std::env::var("POLLS_TEST_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_polls").to_owned())
}

/// A command of the program, without the environment variables of the tests.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).env_clear();
    if !engine::is_sqlite() {
        command.env("POLLS__DATABASE__URL", engine::database_url(folder));
    }
    command
}

/// A program that has ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Runs the command to its end with `input` on its standard input.
    pub fn of(command: &mut Command, input: &str) -> Run {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input");
        // Fails if the program has ended without reading its input.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Run {
            code: status.code(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// Expects exit code 0; returns standard output.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Expects another exit code; returns standard error.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}
