//! The real worker as a process of its own, at its default settings but for the names of its queues.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use serde_json::Value;

use crate::desk::Desk;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

pub struct Worker {
    child: Child,
    chunks: Option<JoinHandle<Vec<f64>>>,
    prefix: String,
    channel: Channel,
    deletions: tokio::sync::Mutex<Consumer>,
    _connection: Connection,
}

/// What the worker's whole life came to.
pub struct End {
    pub longest_chunk: f64,
    pub p99_chunk: f64,
    pub peak_mib: f64,
}

impl Worker {
    pub async fn start(desk: &Desk) -> Result<Self> {
        let broker = std::env::var("USER_MERGE__BROKER__URL")?;
        let prefix = format!("bench{}.", std::process::id());
        let mut command = Command::new(env!("CARGO_BIN_EXE_user-merge"));
        command.arg("worker").stderr(Stdio::piped());
        command
            .env("USER_MERGE__DATABASE__URL", &desk.url)
            .env("USER_MERGE__BROKER__URL", &broker);
        command.env("USER_MERGE__TELEMETRY__LISTEN", "127.0.0.1:0");
        command.env(
            "USER_MERGE__TELEMETRY__LOG_FILTER",
            "info,user_merge::merge=debug,lapin=off",
        );
        for (setting, name) in NAMES {
            command.env(
                format!("USER_MERGE__BROKER__NAMES__{setting}"),
                format!("{prefix}{name}"),
            );
        }
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let mut consuming = 0;
        while consuming < 2 {
            let line = lines.next().ok_or("the worker ended at its start")??;
            consuming += usize::from(line.contains("\"consuming\""));
        }
        let chunks = std::thread::spawn(move || {
            lines
                .map_while(std::result::Result::ok)
                .filter_map(|line| chunk(&line))
                .collect()
        });

        let connection = Connection::connect(&broker, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        channel.basic_qos(1000, BasicQosOptions::default()).await?;
        let queue = format!("{prefix}deletion");
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let deletions = channel
            .basic_consume(
                queue.as_str().into(),
                "".into(),
                options,
                FieldTable::default(),
            )
            .await?;
        Ok(Self {
            child,
            chunks: Some(chunks),
            prefix,
            channel,
            deletions: deletions.into(),
            _connection: connection,
        })
    }

    /// Publishes a request, confirmed.
    pub async fn ask(&self, source: i64, target: i64) -> Result<()> {
        let body = format!(
            r#"{{"schema_version":1,"idempotency_key":"bench-{source}","account_id":1,"source_user_id":{source},"target_user_id":{target}}}"#
        );
        let queue = format!("{}requests", self.prefix);
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirm = self
            .channel
            .basic_publish(
                "".into(),
                queue.as_str().into(),
                options,
                body.as_bytes(),
                properties,
            )
            .await?;
        assert!(confirm.await?.is_ack());
        Ok(())
    }

    /// Publishes requests with a window of confirms.
    pub async fn ask_all(&self, pairs: &[(i64, i64)]) -> Result<()> {
        let mut under_way = FuturesUnordered::new();
        for &(source, target) in pairs {
            under_way.push(self.ask(source, target));
            if under_way.len() >= 200 {
                under_way.next().await.transpose()?;
            }
        }
        while let Some(asked) = under_way.next().await {
            asked?;
        }
        Ok(())
    }

    pub async fn wait_for_deletions(&self, count: usize) -> Result<()> {
        let mut deletions = self.deletions.lock().await;
        for _ in 0..count {
            let next = tokio::time::timeout(Duration::from_mins(1), deletions.next()).await?;
            next.ok_or("the deletion queue is gone")??;
        }
        Ok(())
    }

    pub async fn stop(mut self) -> Result<End> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .ok_or("no VmHWM")?;
        let peak_mib = peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0;
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        self.child.wait()?;
        for (_, name) in NAMES
            .iter()
            .filter(|(setting, _)| *setting != "EVENTS" && *setting != "RETRY_PREFIX")
        {
            let queue = format!("{}{name}", self.prefix);
            self.channel
                .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
                .await?;
        }
        let log = self.chunks.take().ok_or("stopped already")?;
        let mut chunks = log.join().map_err(|_| "the log could not be read")?;
        chunks.sort_by(f64::total_cmp);
        let at = |share: usize| {
            chunks
                .get((chunks.len() * share / 100).min(chunks.len() - 1))
                .copied()
        };
        let (longest, p99) = (
            at(100).ok_or("no chunk was logged")?,
            at(99).ok_or("no chunk was logged")?,
        );
        Ok(End {
            longest_chunk: longest,
            p99_chunk: p99,
            peak_mib,
        })
    }
}

const NAMES: [(&str, &str); 6] = [
    ("REQUESTS", "requests"),
    ("BULK", "bulk"),
    ("RETRY_PREFIX", "retry"),
    ("DEAD", "dead"),
    ("DELETION", "deletion"),
    ("EVENTS", "events"),
];

/// Seconds that a chunk held its locks, from its log line.
fn chunk(line: &str) -> Option<f64> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "moved a chunk").then(|| line["seconds"].as_f64())?
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Stopped already, unless a measure failed: then it must not outlive it.
        drop(self.child.kill());
    }
}
