//! At what pace the workers work, in words.

use serde_json::{Value, json};

use crate::store::pace::Shown;

/// The workers, one under the other.
pub(super) fn text(workers: &[Shown]) -> String {
    let mut lines = Vec::new();
    for worker in workers {
        let address = worker.address.as_deref().unwrap_or("a local socket");
        lines.push(format!(
            "worker         {} at {address}, process {}, version {}",
            worker.worker_id, worker.process_id, worker.version
        ));
        let since = worker.since.to_rfc3339();
        lines.push(match cause(worker) {
            Some(cause) => format!("slowed down    {cause}, since {since}"),
            None => format!("pace           full, since {since}"),
        });
        lines.push(match worker.bulk_hands {
            0 => "bulk lane      takes nothing for the time being".to_owned(),
            1 => "bulk lane      1 hand".to_owned(),
            hands => format!("bulk lane      {hands} hands"),
        });
        lines.push(String::new());
    }
    lines.pop();
    lines.join("\n")
}

/// What slows a worker down, if something does.
pub(super) fn cause(worker: &Shown) -> Option<String> {
    let reason = worker.reason.as_deref()?;
    let (measured, allowed) = (worker.measured?, worker.allowed?);
    Some(match reason {
        "replication_lag" => format!("replication lag {measured:.1} s (limit {allowed} s)"),
        "lock_waits" => format!("{measured:.0} sessions wait for locks (limit {allowed})"),
        "wal" => format!("{measured:.1} MiB/s of WAL (limit {allowed} MiB/s)"),
        "statement_time" => format!("a statement takes {measured:.2} s (limit {allowed} s)"),
        // A newer worker's.
        other => format!("{other} {measured:.1} (limit {allowed})"),
    })
}

/// The worker that is slowed down most; none where all go at full pace.
pub(super) fn slowest(workers: &[Shown]) -> Option<&Shown> {
    let excess = |worker: &Shown| worker.measured.unwrap_or(0.0) / worker.allowed.unwrap_or(1.0);
    workers
        .iter()
        .filter(|worker| worker.reason.is_some())
        .min_by(|one, other| {
            let hands = one.bulk_hands.cmp(&other.bulk_hands);
            hands.then(excess(other).total_cmp(&excess(one)))
        })
}

/// What slows a merge down, for programs.
pub(super) fn value(worker: &Shown) -> Value {
    json!({
        "reason": worker.reason, "measured": worker.measured, "allowed": worker.allowed, "since": worker.since
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn worker(reason: Option<(&str, f64, f64)>, bulk_hands: i32) -> Shown {
        Shown {
            worker_id: uuid::Uuid::nil(),
            address: None,
            process_id: 7,
            version: "1.2.3".to_owned(),
            state: "slowed".to_owned(),
            reason: reason.map(|(reason, _, _)| reason.to_owned()),
            measured: reason.map(|(_, measured, _)| measured),
            allowed: reason.map(|(_, _, allowed)| allowed),
            bulk_hands,
            started_at: DateTime::UNIX_EPOCH,
            since: DateTime::UNIX_EPOCH,
            seen_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_reason_is_said_with_its_measure_its_limit_and_their_unit() {
        for (reason, expected) in [
            (
                ("replication_lag", 12.34, 10.0),
                "replication lag 12.3 s (limit 10 s)",
            ),
            (
                ("lock_waits", 25.0, 20.0),
                "25 sessions wait for locks (limit 20)",
            ),
            (("wal", 80.25, 50.0), "80.2 MiB/s of WAL (limit 50 MiB/s)"),
            (
                ("statement_time", 1.5, 0.5),
                "a statement takes 1.50 s (limit 0.5 s)",
            ),
            (("temperature", 3.0, 2.0), "temperature 3.0 (limit 2)"),
        ] {
            assert_eq!(cause(&worker(Some(reason), 1)).as_deref(), Some(expected));
        }
        assert_eq!(cause(&worker(None, 4)), None);
    }

    #[test]
    fn the_slowest_is_the_one_with_the_fewest_hands_and_then_the_most_excess() {
        let workers = [
            worker(None, 0),
            worker(Some(("wal", 30.0, 10.0)), 2),
            worker(Some(("lock_waits", 25.0, 20.0)), 1),
            worker(Some(("replication_lag", 30.0, 10.0)), 1),
        ];
        assert_eq!(
            slowest(&workers).unwrap().reason.as_deref(),
            Some("replication_lag")
        );
        assert!(slowest(&workers[..1]).is_none());
    }
}
