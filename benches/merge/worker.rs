//! The real worker as a process of its own, at its default settings but for the names of its queues.

use std::io::{BufRead as _, BufReader};
use std::process::{ChildStderr, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::desk::Desk;
use crate::process::{PROGRAM, Process};
use crate::servers::Servers;

/// The queues of one worker.
#[derive(Debug, Clone)]
pub struct Queues {
    pub interactive: String,
    pub bulk: String,
    pub deletion: String,
    dead: String,
    prefix: String,
}

impl Queues {
    pub fn new(prefix: &str) -> Self {
        Self {
            interactive: format!("{prefix}.requests"),
            bulk: format!("{prefix}.bulk"),
            deletion: format!("{prefix}.deletion"),
            dead: format!("{prefix}.dead"),
            prefix: prefix.to_owned(),
        }
    }

    fn settings(&self) -> [(&'static str, String); 6] {
        [
            ("REQUESTS", self.interactive.clone()),
            ("BULK", self.bulk.clone()),
            ("DELETION", self.deletion.clone()),
            ("DEAD", self.dead.clone()),
            ("RETRY_PREFIX", format!("{}.retry", self.prefix)),
            ("EVENTS", format!("{}.events", self.prefix)),
        ]
    }

    /// Nothing may have been given up.
    pub async fn check(&self, servers: &Servers) -> Result<()> {
        let dead = servers.broker.depth(&self.dead).await?;
        anyhow::ensure!(dead == 0, "{dead} requests are dead letters");
        Ok(())
    }

    pub async fn delete(self, servers: &Servers) -> Result<()> {
        for queue in [&self.interactive, &self.bulk, &self.deletion, &self.dead] {
            servers.broker.delete(queue).await?;
        }
        Ok(())
    }
}

pub struct Worker {
    pub process: Process,
    /// When the first lane and when both were consumed.
    pub consuming: [Instant; 2],
    log: Option<JoinHandle<Vec<f64>>>,
}

/// Settings beside the defaults.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// So that each chunk is told with the time for which it held its locks.
pub const TELL_CHUNKS: (&str, &str) = (
    "USER_MERGE__TELEMETRY__LOG_FILTER",
    "info,user_merge::merge=debug,lapin=off",
);

impl Worker {
    /// Returns as soon as it consumes both lanes.
    pub async fn start(
        servers: &Servers,
        desk: &Desk,
        queues: &Queues,
        settings: Settings<'_>,
    ) -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.arg("worker").stderr(Stdio::piped());
        command
            .env("USER_MERGE__DATABASE__URL", &desk.url)
            .env("USER_MERGE__BROKER__URL", &servers.broker_url)
            .env("USER_MERGE__TELEMETRY__LISTEN", "127.0.0.1:0")
            .env_remove("RUST_LOG")
            .envs(settings.iter().copied());
        for (setting, name) in queues.settings() {
            command.env(format!("USER_MERGE__BROKER__NAMES__{setting}"), name);
        }
        let mut process = Process::start(&mut command, "the worker")?;
        let stderr = process.child.stderr.take().context("no standard error")?;
        let (told, mut hear) = mpsc::unbounded_channel();
        let log = std::thread::spawn(move || read(stderr, &told));
        let mut consuming = [Instant::now(); 2];
        for lane in &mut consuming {
            match timeout(Duration::from_mins(1), hear.recv()).await {
                Ok(Some(Told::Consuming(at))) => *lane = at,
                Ok(Some(Told::Last(lines))) => bail!("the worker ended at its start:\n{lines}"),
                Ok(None) | Err(_) => bail!("the worker does not consume"),
            }
        }
        Ok(Self {
            process,
            consuming,
            log: Some(log),
        })
    }

    /// Stops it, and gives back for how many seconds each chunk held its locks.
    pub async fn stop(mut self) -> Result<Vec<f64>> {
        self.process.stop().await?;
        let log = self.log.take().context("stopped already")?;
        log.join().ok().context("the log could not be read")
    }
}

enum Told {
    Consuming(Instant),
    /// The last lines of a log that has ended.
    Last(String),
}

/// Reads the log to its end, so that the worker never waits for a reader.
fn read(stderr: ChildStderr, told: &mpsc::UnboundedSender<Told>) -> Vec<f64> {
    let (mut chunks, mut last) = (Vec::new(), Vec::new());
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if line.contains("\"moved a chunk\"") {
            chunks.extend(seconds(&line));
            continue;
        }
        if line.contains("\"consuming\"") {
            drop(told.send(Told::Consuming(Instant::now())));
        }
        last.push(line);
        if last.len() > 10 {
            last.remove(0);
        }
    }
    drop(told.send(Told::Last(last.join("\n"))));
    chunks
}

fn seconds(line: &str) -> Option<f64> {
    let line: Value = serde_json::from_str(line).ok()?;
    line["seconds"].as_f64()
}
