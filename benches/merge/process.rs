//! Processes that end with whoever holds them.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

/// The program that Cargo built beside the bench.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_user-merge");

/// A process and its children, in a group of their own: a key on the terminal reaches the bench alone, which ends
/// them in order.
pub struct Process {
    pub child: Child,
    what: String,
    has_ended: bool,
}

impl Process {
    pub fn start(command: &mut Command, what: &str) -> Result<Self> {
        Self::spawn(command.stdin(Stdio::null()), what)
    }

    /// With a standard input to write to.
    pub fn start_fed(command: &mut Command, what: &str) -> Result<Self> {
        Self::spawn(command.stdin(Stdio::piped()), what)
    }

    fn spawn(command: &mut Command, what: &str) -> Result<Self> {
        let child = command.process_group(0).spawn();
        Ok(Self {
            child: child.with_context(|| format!("{what} can't be started"))?,
            what: what.to_owned(),
            has_ended: false,
        })
    }

    /// Waits for its end, however it ends.
    pub async fn ended(&mut self, patience: Duration) -> Result<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.has_ended = true;
                return Ok(status);
            }
            ensure!(
                began.elapsed() < patience,
                "{} did not end within {patience:?}",
                self.what
            );
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Fails where it has ended by itself.
    pub fn must_run(&mut self) -> Result<()> {
        let status = self.child.try_wait()?;
        self.has_ended = status.is_some();
        ensure!(status.is_none(), "{} ended: {status:?}", self.what);
        Ok(())
    }

    /// Tells it to stop, and waits until it has done so in good order.
    pub async fn stop(&mut self) -> Result<()> {
        self.must_run()?;
        self.signal("TERM", "")?;
        let status = self.ended(Duration::from_mins(1)).await?;
        ensure!(status.success(), "{} ended with {status}", self.what);
        Ok(())
    }

    /// The most memory that it ever had, in MiB.
    pub fn peak(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.context("the kernel tells no VmHWM")?.trim();
        Ok(peak.trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// To the process, or with a minus sign to its group.
    fn signal(&self, signal: &str, group: &str) -> Result<()> {
        let kill = format!("kill -s {signal} -- {group}{}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status()?;
        ensure!(sent.success(), "{} got no SIG{signal}", self.what);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, unless a measure failed: then neither it nor a child of it must outlive the bench.
        if !self.has_ended {
            drop(self.signal("KILL", "-"));
            drop(self.child.wait());
        }
    }
}

/// Runs a command to its end and gives back what it wrote.
pub async fn output(command: &mut Command, what: &str, patience: Duration) -> Result<String> {
    use std::io::Read as _;
    // Little enough for a pipe to hold until it is read.
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(command, what)?;
    let status = process.ended(patience).await?;
    let (mut out, mut err) = (String::new(), String::new());
    if let Some(mut pipe) = process.child.stdout.take() {
        pipe.read_to_string(&mut out)?;
    }
    if let Some(mut pipe) = process.child.stderr.take() {
        pipe.read_to_string(&mut err)?;
    }
    ensure!(status.success(), "{what} ended with {status}:\n{out}{err}");
    Ok(out)
}
