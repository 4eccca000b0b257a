//! The real program, as a child process: what the worker inside the test can't show, such as signals, exit
//! statuses, its output and its ports.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use user_merge::config::Settings;

use super::environment::environment;
use super::{Desk, eventually};

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    /// The exit status.
    pub status: i32,
    /// All that it wrote to standard output.
    pub stdout: String,
    /// All that it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// `user-merge` under these settings and no others: nothing of the test's own environment gets through.
pub fn command(settings: &Settings, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.env_clear().envs(environment(settings));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The program that Cargo built beside this test, or the one that `tests/prove` names: a release build, say.
fn program() -> OsString {
    let built = || env!("CARGO_BIN_EXE_user-merge").into();
    std::env::var_os("USER_MERGE_PROOF_PROGRAM").unwrap_or_else(built)
}

/// Runs a command to its end, beside the test's own tasks.
pub async fn output(mut command: Command) -> Output {
    let run = move || command.output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    Output {
        status: output.status.code().expect("an exit status, no signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A process that runs until it ends, is ended, or is dropped.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a command and listens to its standard error.
    pub fn start(mut command: Command) -> Self {
        let piped = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (heard, stderr) = (lines.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// Starts `user-merge worker` with a desk's settings, its telemetry on any free port.
    pub fn worker(desk: &Desk) -> Self {
        Self::worker_with(desk, &[])
    }

    /// The same with further variables, such as `RUST_LOG`.
    pub fn worker_with(desk: &Desk, variables: &[(&str, &str)]) -> Self {
        let mut settings = desk.settings.clone();
        settings.telemetry.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut command = command(&settings, &["worker"]);
        command.envs(variables.iter().copied());
        Self::start(command)
    }

    /// Waits until `/readyz` says that it is ready.
    pub async fn ready(self) -> Self {
        eventually("a ready worker process", || async {
            self.is_ready().await.then_some(())
        })
        .await;
        self
    }

    /// Whether `/readyz` says that it is ready.
    pub async fn is_ready(&self) -> bool {
        self.get("/readyz").await.0 == 200
    }

    /// Asks its telemetry: the HTTP status and the body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let line = self.line("serving /metrics").await;
        let address: SocketAddr = json(&line)["address"].as_str().unwrap().parse().unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let exchange = move || {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        let answer: std::io::Result<String> = tokio::task::spawn_blocking(exchange).await.unwrap();
        let Ok(answer) = answer else {
            return (0, "no answer".to_owned());
        };
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success(), "no process {pid}");
    }

    /// Waits until it ends by itself: its exit status. Standard error is complete then.
    pub async fn exit(&mut self) -> i32 {
        let status = self.end().await;
        status.code().expect("an exit status, no signal")
    }

    /// Waits until it is gone as one is that was killed: without a word and without an exit status.
    pub async fn killed(&mut self) {
        let status = self.end().await;
        assert_eq!(status.code(), None, "it ended by itself");
    }

    async fn end(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child);
        let status = eventually("the end of a process", || async {
            child.lock().unwrap().try_wait().unwrap()
        })
        .await;
        // The reader's handle on the lines ends with the pipe.
        eventually("the rest of its output", || async {
            (Arc::strong_count(&self.lines) == 1).then_some(())
        })
        .await;
        status
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Whether a line contains this by now.
    pub fn said(&self, part: &str) -> bool {
        let lines = self.lines.lock().unwrap();
        lines.iter().any(|line| line.contains(part))
    }

    /// What it has written to standard error so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line that contains this.
    pub async fn line(&self, part: &str) -> String {
        eventually(&format!("a line with {part:?}"), || async {
            let lines = self.lines.lock().unwrap();
            lines.iter().find(|line| line.contains(part)).cloned()
        })
        .await
    }

    /// All lines so far as JSON: without a terminal every one must be.
    pub fn json_lines(&self) -> Vec<Value> {
        self.lines().iter().map(|line| json(line)).collect()
    }
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
}

impl Drop for Process {
    fn drop(&mut self) {
        // What has ended can't be ended; then nothing is to be done.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!(
                "--- standard error of the process\n{}",
                self.lines().join("\n")
            );
        }
    }
}
