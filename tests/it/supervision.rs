//! Whatever fails around the worker has its answer, is counted, told once, and shows in the readiness within seconds;
//! and who is stuck all the same is ended.

mod breaker;
mod broker;
mod crash_loop;
mod patience;
mod sqlstates;
mod stuck;

use serde_json::Value;

use crate::harness::{Process, eventually};

/// Waits until the readiness names just this as missing.
pub async fn missing(worker: &Process, what: &[&str]) {
    eventually(&format!("a worker without {what:?}"), || async {
        (missing_now(worker).await == what).then_some(())
    })
    .await;
}

async fn missing_now(worker: &Process) -> Vec<String> {
    let (_, body) = worker.get("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let missing = body["missing"].as_array().cloned().unwrap_or_default();
    let words = missing.iter().map(|word| word.as_str().unwrap().to_owned());
    words.collect()
}

/// How many lines so far say this.
fn lines(worker: &Process, part: &str) -> usize {
    let lines = worker.lines();
    lines.iter().filter(|line| line.contains(part)).count()
}
