//! Requests that share a transaction, and messages that share an acknowledgement.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::BasicProperties;
use serde_json::Value;

use super::{BULK, INTERACTIVE};
use crate::harness::{Desk, Process, Queues, Running, eventually, key, request};
use crate::rules_r::{open_transaction, waiting_for_locks};
use crate::telemetry::until_metric;

const DONE: &str = "SELECT count(*) FROM user_merge.merges WHERE state = 'completed'";

async fn send_bulk(queues: &Queues, request: &user_merge::domain::MergeRequest) {
    let body = user_merge::message::request::encode(request);
    queues
        .publish(BULK, &body, BasicProperties::default())
        .await;
}

/// How each request ended, by its key.
async fn outcomes(queues: &Queues, count: usize) -> BTreeMap<String, Vec<String>> {
    let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..count {
        let event = queues.event().await.json();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let of_key = outcomes.entry(word(&event["idempotency_key"])).or_default();
        of_key.push(word(&event["type"]));
    }
    outcomes
}

/// R1, R6, A1: each request of a backlog has its own outcome, whatever the others in its batch come to.
#[tokio::test]
async fn r6_each_of_a_batch_has_an_outcome_of_its_own() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.chunks_of(10);
    desk.users(1..=60).await;
    for source in 1..=20 {
        desk.tickets(source * 100, 3, source, "open").await;
    }
    // One that takes several chunks; one whose outcome is on record.
    desk.tickets(10_000, 35, 7, "open").await;
    desk.run(&request(20, 50)).await.unwrap();
    for source in 1..=20 {
        send_bulk(&queues, &request(source, source + 30)).await;
        match source {
            5 => send_bulk(&queues, &key("same", 55, 55)).await,
            10 => {
                let broken = BasicProperties::default();
                queues.publish(BULK, b"no request", broken).await;
            }
            15 => send_bulk(&queues, &request(3, 33)).await,
            _ => {}
        }
    }
    let worker = Running::start(&desk).await;
    let outcomes = outcomes(&queues, 22).await;
    let completed = "merge.completed".to_owned();
    for source in 1..=20 {
        let of_key = &outcomes[&format!("merge-{source}-{}", source + 30)];
        let times = if source == 3 { 2 } else { 1 };
        assert_eq!(of_key, &vec![completed.clone(); times], "{source}");
    }
    assert_eq!(outcomes["same"], ["merge.rejected"]);
    let dead = queues.next("user-merge.dead").await;
    assert_eq!(dead.header("x-reason").as_deref(), Some("not_json"));
    assert_eq!(desk.number(DONE).await, 20);
    let entries = "SELECT count(*) FROM helpdesk.ticket_events";
    assert_eq!(desk.number(entries).await, 20 * 3 + 35);
    worker.stop().await;
    for queue in [BULK, "user-merge.dead"] {
        assert!(queues.peek(queue).await.is_none(), "{queue}");
    }
}

/// R4: what waits when a hand gets free shares one transaction; killed before its acknowledgement, all of it comes
/// again, and nothing is done twice.
#[tokio::test]
async fn r4_a_batch_that_is_not_acknowledged_comes_again_as_a_whole() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.lanes.bulk.concurrency = 1;
    desk.settings.database.lock_timeout = Duration::from_secs(20);
    desk.users(1..=80).await;
    for source in 1..=40 {
        desk.tickets(source * 100, 2, source, "open").await;
    }
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE",
    )
    .await;
    let marks = tempfile::tempdir().unwrap();
    let directory = marks.path().to_str().unwrap();
    // The first one is acknowledged alone, and the second time it is for all that came meanwhile.
    let variables = [
        ("USER_MERGE_FAILPOINTS", "ack.due=kill@2"),
        ("USER_MERGE_FAILPOINT_MARKS", directory),
    ];
    let mut worker = Process::worker_with(&desk, &variables).ready().await;
    send_bulk(&queues, &request(1, 41)).await;
    waiting_for_locks(&desk, 1).await;
    for source in 2..=40 {
        send_bulk(&queues, &request(source, source + 40)).await;
    }
    locked.rollback().await.unwrap();
    worker.killed().await;
    let done = desk.number(DONE).await;
    assert!(done > 2, "{done} are done, and none of them with others");
    eventually("what is not acknowledged to come back", || async {
        (queues.count(BULK).await == 39).then_some(())
    })
    .await;
    // Each of them alone: what ended the worker may be among them.
    let mut worker = Process::worker(&desk).ready().await;
    until_metric(&worker, "user_merge_requests_total", "lane=\"bulk\"", 39).await;
    assert_eq!(desk.number(DONE).await, 40);
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
    assert_eq!(queues.count(BULK).await, 0);
    let entries = "SELECT count(*) FROM helpdesk.ticket_events";
    assert_eq!(desk.number(entries).await, 80);
    let deletions = "SELECT count(*) FROM user_merge.outbox WHERE destination = 'deletion'";
    assert_eq!(desk.number(deletions).await, 40);
}

/// R6: an idle lane waits for nobody: a request that comes alone is done alone.
#[tokio::test]
async fn r6_a_request_alone_does_not_wait_for_others() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=20).await;
    let worker = Running::start(&desk).await;
    for source in 1..=10 {
        queues.send(&request(source, source + 10)).await;
        assert_eq!(queues.event().await.json()["source_user_id"], source);
    }
    worker.stop().await;
    assert!(queues.peek(INTERACTIVE).await.is_none());
}
