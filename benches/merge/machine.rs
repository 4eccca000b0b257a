//! What the figures were taken on: no names, no paths.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process::output;
use crate::servers::{Servers, variable};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    pub revision: String,
    pub cores: usize,
    pub processor: String,
    pub memory_gib: u64,
    pub kernel: String,
    pub postgresql: String,
    pub rabbitmq: String,
    /// Average number of processes that wanted a core in the minute before, which should be near 0: noise.
    pub load_before: f64,
}

pub async fn facts(servers: &Servers) -> Result<Machine> {
    let control = variable("USER_MERGE_LOCAL__SERVERS")?;
    let directory = variable("USER_MERGE_LOCAL__DIR")?;
    let mut command = Command::new(control);
    command.args(["rabbitmqctl", &directory, "--quiet", "version"]);
    let rabbitmq = output(&mut command, "rabbitmqctl", Duration::from_mins(1)).await?;
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let memory = after(&read("/proc/meminfo"), "MemTotal:");
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    Ok(Machine {
        revision: std::env::var("USER_MERGE_BENCH_REVISION").unwrap_or_default(),
        cores: std::thread::available_parallelism()?.get(),
        processor: after(&read("/proc/cpuinfo"), "model name"),
        memory_gib: (kib + (1 << 19)) >> 20,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        postgresql: first_word(&servers.ask("SHOW server_version").await?),
        rabbitmq: rabbitmq.trim().to_owned(),
        load_before: load(),
    })
}

/// The average of the last minute.
pub fn load() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    first_word(&load).parse().unwrap_or(0.0)
}

fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The value in the first line that begins so.
fn after(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_default();
    value.trim_start_matches([':', '\t', ' ']).trim().to_owned()
}
