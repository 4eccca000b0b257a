//! The yardstick that most would build: the same merge as a Celery task, on the same broker and database.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::broker::Arrivals;
use crate::desk::Desk;
use crate::process::Process;
use crate::servers::{Servers, variable};
use crate::sizes::SMALL;
use crate::stats::float;

const REQUESTS: &str = "celery.requests";
const DELETIONS: &str = "celery.deletion";
/// Processes of the worker.
pub const PROCESSES: &str = "8";

pub struct Celery {
    pub desk: Desk,
    broker_url: String,
    /// Where its packages are.
    environment: String,
}

impl Celery {
    pub async fn new(servers: &Servers, desk: Desk) -> Result<Self> {
        servers.broker.declare(DELETIONS).await?;
        Ok(Self {
            desk,
            // Its own way to write the default virtual host.
            broker_url: servers.broker_url.replace("/%2f", "//"),
            environment: variable("USER_MERGE_BENCH_PYTHON")?,
        })
    }

    /// Merges a second of a fresh worker that finds its queue full, from the first that is done to the last: the
    /// time in which its processes start doesn't count.
    pub async fn rate(&self, servers: &Servers, merges: usize) -> Result<f64> {
        let batch = self.desk.batch(merges, SMALL).await?;
        let arrivals = self.work_off(servers, &batch.sources).await?;
        self.desk.check_merged(&batch).await?;
        let (first, before) = arrivals.first;
        let took = arrivals.last - first;
        Ok(float(merges - before) / took.as_secs_f64())
    }

    /// Queues these merges, then starts a worker until all are done.
    pub async fn work_off(&self, servers: &Servers, sources: &[i64]) -> Result<Arrivals> {
        self.enqueue(sources).await?;
        servers.checkpoint().await?;
        let mut command = self.command("celery");
        command
            .args([
                "--app",
                "tasks",
                "worker",
                "--loglevel",
                "ERROR",
                "-O",
                "fair",
            ])
            .args(["--pool", "prefork", "--concurrency", PROCESSES])
            .args([
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ])
            .stdout(Stdio::null());
        let mut worker = Process::start(&mut command, "Celery")?;
        let arrivals = servers.broker.arrivals(DELETIONS, sources.len()).await?;
        worker.stop().await?;
        servers.broker.take_deletions(DELETIONS, sources).await?;
        Ok(arrivals)
    }

    async fn enqueue(&self, sources: &[i64]) -> Result<()> {
        let mut command = self.command("python");
        command.arg("enqueue.py");
        let mut process = Process::start_fed(&mut command, "enqueue.py")?;
        let mut input = process.child.stdin.take().context("no standard input")?;
        for source in sources {
            writeln!(input, "{source} {}", source + 1)?;
        }
        drop(input);
        let status = process.ended(Duration::from_mins(2)).await?;
        ensure!(status.success(), "enqueue.py ended with {status}");
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(format!("{}/bin/{program}", self.environment));
        command
            .current_dir("benches/celery")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BENCH_PREFIX", "celery")
            .env("BENCH_BROKER_URL", &self.broker_url)
            .env("BENCH_DATABASE_URL", &self.desk.url)
            // Said once a start, because the user may be root.
            .env("PYTHONWARNINGS", "ignore");
        command
    }

    pub async fn close(self, servers: &Servers) -> Result<()> {
        for queue in [REQUESTS, DELETIONS] {
            servers.broker.delete(queue).await?;
        }
        self.desk.close(servers).await
    }
}
