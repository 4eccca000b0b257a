//! The two lanes, what is handed on along them, time slices, and the outbox between commit and broker.

mod batches;
mod handed_on;
mod outbox;
mod slices;
mod waiting;

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use user_merge::domain::MergeRequest;

use crate::harness::{Desk, Message, Queues, Running, request};
use crate::rules_r::{open_transaction, waiting_for_locks};

const INTERACTIVE: &str = "user-merge.requests";
const BULK: &str = "user-merge.requests.bulk";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Publishes a request with everything that is to be handed on.
async fn send_traced(queues: &Queues, queue: &str, request: &MergeRequest) {
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), AMQPValue::LongString(TRACE.into()));
    let properties = BasicProperties::default()
        .with_message_id(request.idempotency_key.as_str().into())
        .with_correlation_id("conversation-9".into())
        .with_headers(headers);
    let body = user_merge::message::request::encode(request);
    queues.publish(queue, &body, properties).await;
}

fn assert_traced(message: &Message, what: &str) {
    let correlation = message.properties.correlation_id().as_ref();
    assert_eq!(
        correlation.map(ShortString::as_str),
        Some("conversation-9"),
        "{what}"
    );
    assert_eq!(
        message.header("traceparent").as_deref(),
        Some(TRACE),
        "{what}"
    );
}

/// R6: both lanes are worked off, and a merge remembers its lane.
#[tokio::test]
async fn r6_both_lanes_are_worked_off() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=4).await;
    let worker = Running::start(&desk).await;
    for (queue, lane, source) in [(INTERACTIVE, "interactive", 1), (BULK, "bulk", 2)] {
        send_traced(&queues, queue, &request(source, 3)).await;
        let event = queues.event().await.json();
        assert_eq!(
            (&event["type"], &event["source_user_id"]),
            (&"merge.completed".into(), &source.into())
        );
        let of_lane = format!(
            "SELECT count(*) FROM user_merge.merges WHERE lane = '{lane}' AND source_user_id = {source}"
        );
        assert_eq!(desk.number(&of_lane).await, 1);
    }
    worker.stop().await;
}

/// R6: a bulk lane that is stuck altogether doesn't hold up the interactive one.
#[tokio::test]
async fn r6_a_stuck_bulk_lane_does_not_hold_up_the_interactive_one() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.database.lock_timeout = Duration::from_mins(1);
    let stuck = i64::from(desk.settings.lanes.bulk.concurrency);
    desk.users(1..=20).await;
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.users WHERE id <= 10 FOR UPDATE",
    )
    .await;
    let worker = Running::start(&desk).await;
    for source in 1..=10 {
        send_traced(&queues, BULK, &request(source, 20)).await;
    }
    // As many as the lane has hands, and no more, whatever waits behind them.
    waiting_for_locks(&desk, stuck).await;

    // More than the lane has hands, so that each of them gets on.
    for source in 11..=19 {
        queues.send(&request(source, 20)).await;
    }
    for _ in 11..=19 {
        let event = queues.event().await.json();
        assert!(event["source_user_id"].as_i64().unwrap() > 10, "{event}");
    }
    waiting_for_locks(&desk, stuck).await;
    locked.rollback().await.unwrap();
    for _ in 1..=10 {
        let event = queues.event().await.json();
        assert_eq!(event["type"], "merge.completed", "{event}");
    }
    worker.stop().await;
}
