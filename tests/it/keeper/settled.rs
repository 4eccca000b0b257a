//! A copy too many is harmless, wherever its merge is by then (rules R1, R4, R5).

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use user_merge::domain::MergeRequest;

use super::all_published;
use crate::harness::{Desk, Queues, Running, eventually, key, request};
use crate::rules_r::assert_each_moved_once;

const STATES: &str = "SELECT string_agg(state || ' ' || attempts, ', ' ORDER BY source_user_id) FROM user_merge.merges";

/// Publishes what the keeper does for a merge that stood still.
async fn copy(queues: &Queues, request: &MergeRequest) {
    let mut headers = FieldTable::default();
    headers.insert("x-enqueued-again".into(), AMQPValue::LongLongInt(1));
    let properties = BasicProperties::default()
        .with_message_id(request.idempotency_key.as_str().into())
        .with_headers(headers);
    let body = user_merge::message::request::encode(request);
    queues
        .publish("user-merge.requests", &body, properties)
        .await;
}

/// Waits until the lane is through: a request that came after all others has its outcome.
async fn through(queues: &Queues) {
    queues.send(&key("last", 8, 9)).await;
    assert_eq!(queues.event().await.json()["idempotency_key"], "last");
}

async fn desk() -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    let lane = &mut desk.settings.lanes.interactive;
    (lane.concurrency, lane.prefetch) = (1, 1);
    desk.chunks_of(10);
    desk.users([1, 2, 8, 9]).await;
    desk.tickets(1, 25, 1, "open").await;
    (desk, queues)
}

/// R1: a copy that comes after the end is dropped: nothing is announced again, and nothing is done.
#[tokio::test]
async fn r1_a_copy_that_comes_after_the_end_is_dropped() {
    let (desk, queues) = desk().await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;
    assert_eq!(queues.event().await.json()["type"], "merge.completed");
    for _ in 0..5 {
        copy(&queues, &request(1, 2)).await;
    }
    through(&queues).await;
    all_published(&desk).await;
    assert!(queues.events().await.is_empty());
    assert_each_moved_once(&desk, 25).await;
    worker.stop().await;
}

/// R7: a copy doesn't revive what was given up meanwhile: that is for a person. The dead letter does.
#[tokio::test]
async fn r7_a_copy_does_not_revive_a_merge_that_was_given_up() {
    let (desk, queues) = desk().await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    desk.execute("UPDATE user_merge.merges SET state = 'failed', attempts = 3")
        .await;
    let worker = Running::start(&desk).await;
    copy(&queues, &request(1, 2)).await;
    through(&queues).await;
    assert_eq!(
        desk.text(STATES).await.as_deref(),
        Some("failed 3, completed 0")
    );

    queues.send(&request(1, 2)).await;
    assert_eq!(queues.event().await.json()["type"], "merge.completed");
    worker.stop().await;
}

/// R5: copies beside the message itself, all at once, on as many hands: one merge, each effect once, no try lost.
#[tokio::test]
async fn r5_copies_beside_the_message_do_nothing_twice() {
    let (mut desk, queues) = desk().await;
    let lane = &mut desk.settings.lanes.interactive;
    (lane.concurrency, lane.prefetch) = (6, 6);
    desk.tickets(101, 200, 1, "open").await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;
    for _ in 0..5 {
        copy(&queues, &request(1, 2)).await;
    }
    let first = queues.event().await;
    assert_eq!(first.json()["type"], "merge.completed");
    // Those that were fenced come back from their retry queue; what isn't settled when the worker stops would be
    // there again.
    eventually("all settled", || async {
        let waiting = queues.count("user-merge.requests").await
            + queues.count("user-merge.retry.1s").await
            + queues.count("user-merge.retry.2s").await;
        (waiting == 0).then_some(())
    })
    .await;
    worker.stop().await;
    assert_each_moved_once(&desk, 225).await;
    assert_eq!(desk.text(STATES).await.as_deref(), Some("completed 0"));
    let deletions = "SELECT count(*) FROM user_merge.outbox WHERE destination = 'deletion'";
    assert_eq!(desk.number(deletions).await, 1);
    // The message itself, where a copy overtook it, has the outcome repeated (rule R1): the same event.
    for again in queues.events().await {
        assert_eq!(again.properties.message_id(), first.properties.message_id());
    }
}

/// A merge that this worker can't know: a database set back to an older backup has no row for it. The copy is a
/// request then.
#[tokio::test]
async fn r4_a_copy_without_a_record_is_a_request() {
    let (desk, queues) = desk().await;
    let worker = Running::start(&desk).await;
    copy(&queues, &request(1, 2)).await;
    assert_eq!(queues.event().await.json()["type"], "merge.completed");
    assert_each_moved_once(&desk, 25).await;
    worker.stop().await;
}
