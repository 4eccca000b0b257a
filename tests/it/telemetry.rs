//! What the real worker shows of itself: readiness, metrics, log lines, and nobody's personal data.

mod lines;
mod metrics;
mod privacy;
mod readiness;

use crate::harness::{Desk, Process, eventually};

/// The sum of a metric's samples whose labels contain this, in whole numbers.
pub async fn metric(worker: &Process, name: &str, labels: &str) -> u64 {
    let (status, text) = worker.get("/metrics").await;
    assert_eq!(status, 200);
    let samples = text.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        rest.starts_with(['{', ' ']) && rest.contains(labels)
    });
    let whole = |line: &str| {
        let value = line.rsplit(' ').next().unwrap();
        value.split('.').next().unwrap().parse::<u64>().unwrap()
    };
    samples.map(whole).sum()
}

pub async fn until_metric(worker: &Process, name: &str, labels: &str, least: u64) {
    eventually(&format!("{name}{{{labels}}} of {least}"), || async {
        (metric(worker, name, labels).await >= least).then_some(())
    })
    .await;
}

/// Waits until so many merges are in this state.
pub async fn until_merges(desk: &Desk, state: &str, count: i64) {
    let sql = format!("SELECT count(*) FROM user_merge.merges WHERE state = '{state}'");
    eventually(&format!("{count} merges {state}"), || async {
        (desk.number(&sql).await == count).then_some(())
    })
    .await;
}

/// Waits until one of the worker's statements stands in front of a lock.
async fn blocked(desk: &Desk) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a statement that waits for a lock", || async {
        (desk.number(waiting).await > 0).then_some(())
    })
    .await;
}
