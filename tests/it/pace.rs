//! The health of the database decides the pace: bulk merges make room and go on again, interactive ones are served
//! meanwhile, and metrics and `status` say why.

mod locks;
mod standby;
mod statements;

use std::time::Duration;

use lapin::BasicProperties;
use user_merge::domain::MergeRequest;

use crate::harness::{Desk, Output, Process, Queues, command, eventually, output, request};
use crate::telemetry::{metric, until_metric};

const BULK: &str = "user-merge.requests.bulk";
const SLOWED: &str = "user_merge_slowed";
const HANDS: &str = "user_merge_bulk_hands";

/// Many looks in a short time, and no limit but the one that a test sets.
fn only(desk: &mut Desk) {
    let pace = &mut desk.settings.pace;
    pace.interval = Duration::from_millis(50);
    (pace.lock_waits, pace.wal_rate) = (0, 0);
    (pace.replication_lag, pace.statement_time) = (Duration::ZERO, Duration::ZERO);
}

async fn send_bulk(queues: &Queues, request: &MergeRequest) {
    let body = user_merge::message::request::encode(request);
    queues
        .publish(BULK, &body, BasicProperties::default())
        .await;
}

/// Waits until the bulk lane is held, for this reason and no other.
async fn until_held(worker: &Process, reason: &str) {
    eventually("a bulk lane that is held", || async {
        (metric(worker, HANDS, "").await == 0).then_some(())
    })
    .await;
    until_metric(worker, SLOWED, reason, 1).await;
    assert_eq!(metric(worker, SLOWED, "").await, 1);
}

/// Waits until merges go at full pace.
async fn until_full(worker: &Process, desk: &Desk) {
    let all = u64::from(desk.settings.lanes.bulk.concurrency);
    eventually("the full pace", || async {
        let is_full = metric(worker, SLOWED, "").await == 0;
        (is_full && metric(worker, HANDS, "").await == all).then_some(())
    })
    .await;
    // It begins at the full pace, and is in the table a moment later.
    let shown = "SELECT count(*) FROM user_merge.pace";
    eventually("a row for status", || async {
        (desk.number(shown).await > 0).then_some(())
    })
    .await;
}

/// While the bulk lane is held: bulk requests are taken from the queue and none is begun, interactive ones are done
/// one after the other. `first`: that user and the ones after it are there and nobody else's.
async fn only_interactive_merges_are_done(desk: &Desk, queues: &Queues, first: i64) {
    let target = first + 20;
    for source in first..first + 3 {
        send_bulk(queues, &request(source, target)).await;
    }
    eventually("bulk requests in the worker's hands", || async {
        (queues.count(BULK).await == 0).then_some(())
    })
    .await;
    for source in first + 3..first + 18 {
        queues.send(&request(source, target)).await;
        let event = queues.event().await.json();
        assert_eq!(event["source_user_id"], source, "{event}");
        assert_eq!(event["type"], "merge.completed", "{event}");
    }
    let begun = format!(
        "SELECT count(*) FROM user_merge.merges WHERE lane = 'bulk' AND source_user_id >= {first}"
    );
    assert_eq!(desk.number(&begun).await, 0);
}

/// The bulk requests of [`only_interactive_merges_are_done`].
async fn bulk_merges_go_on(queues: &Queues, first: i64) {
    let mut done = Vec::new();
    for _ in 0..3 {
        let event = queues.event().await.json();
        assert_eq!(event["type"], "merge.completed", "{event}");
        done.push(event["source_user_id"].as_i64().unwrap());
    }
    done.sort_unstable();
    assert_eq!(done, [first, first + 1, first + 2]);
    assert!(queues.peek("user-merge.dead").await.is_none());
}

async fn status(desk: &Desk, arguments: &[&str]) -> Output {
    output(command(&desk.settings, &[&["status"], arguments].concat())).await
}
