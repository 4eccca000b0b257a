//! R7: errors that may pass, made real by locks that somebody holds for longer than the worker waits.

use std::time::Duration;

use sqlx::Row as _;

use super::{assert_each_moved_once, open_transaction};
use crate::harness::{Desk, Queues, Running, eventually, request};

const LOCK_SOURCE: &str = "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE";

/// Users 1 and 2, 25 tickets of 1 in chunks of ten, and little patience.
async fn impatient() -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.chunks_of(10);
    desk.settings.retry.immediate = 2;
    desk.settings.database.lock_timeout = Duration::from_millis(50);
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    (desk, queues)
}

/// Waits until so many failed tries are on record; the error that the last one met.
async fn failed_tries(desk: &Desk, count: i32) -> String {
    eventually("a failed try on record", || async {
        let row = sqlx::query("SELECT attempts, last_error, state FROM user_merge.merges")
            .fetch_optional(&desk.pool)
            .await
            .unwrap()?;
        assert_eq!(row.get::<&str, _>("state"), "running");
        (row.get::<i32, _>("attempts") >= count).then(|| row.get("last_error"))
    })
    .await
}

/// R7: what may pass is put into the retry queue and counted; it comes back and is completed.
#[tokio::test]
async fn r7_a_passing_error_is_retried_until_it_has_passed() {
    let (desk, queues) = impatient().await;
    let locked = open_transaction(&desk.pool, LOCK_SOURCE).await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;

    // Twice, so that it has come back once.
    assert_eq!(failed_tries(&desk, 2).await, "55P03");
    assert_each_moved_once(&desk, 0).await;
    locked.rollback().await.unwrap();

    let event = queues.event().await.json();
    assert_eq!(event["type"], "merge.completed");
    let failed = desk
        .number("SELECT attempts::bigint FROM user_merge.merges")
        .await;
    assert!(failed >= 2);
    assert_eq!(event["attempts"], failed + 1);
    assert_each_moved_once(&desk, 25).await;
    worker.stop().await;
    assert!(queues.peek("user-merge.dead").await.is_none());
}

/// R7: in the middle of a large merge too, here a statement that takes too long: progress is kept.
#[tokio::test]
async fn r7_a_chunk_that_takes_too_long_is_retried() {
    let (mut desk, queues) = impatient().await;
    desk.settings.retry.immediate = 1;
    desk.settings.database.lock_timeout = Duration::from_mins(1);
    desk.settings.database.statement_timeout = Duration::from_millis(300);
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE",
    )
    .await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;

    assert_eq!(failed_tries(&desk, 1).await, "57014");
    assert_each_moved_once(&desk, 10).await;
    locked.rollback().await.unwrap();

    assert_eq!(queues.event().await.json()["tickets"]["live"], 25);
    assert_each_moved_once(&desk, 25).await;
    worker.stop().await;
}

/// R7: a limited number of times: then the merge is failed and its message a dead letter, progress is kept,
/// its users are still held, and a replay of the dead letter completes it.
#[tokio::test]
async fn r7_tries_end_and_the_dead_letter_can_be_replayed() {
    let (mut desk, queues) = impatient().await;
    desk.settings.retry.max_attempts = 2;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    // By a worker that crashed then: nobody has it in hand.
    desk.execute("UPDATE user_merge.merges SET updated_at = now() - interval '1 h'")
        .await;
    let locked = open_transaction(&desk.pool, LOCK_SOURCE).await;
    let worker = Running::start(&desk).await;
    let body = user_merge::message::request::encode(&request(1, 2));
    // As somebody else's encoder might have written it: the dead letter keeps the bytes.
    let body = [body.as_slice(), b"\n\n"].concat();
    let key = request(1, 2).idempotency_key;
    let properties = lapin::BasicProperties::default().with_message_id(key.as_str().into());
    queues
        .publish("user-merge.requests.bulk", &body, properties)
        .await;

    let event = queues.event().await.json();
    assert_eq!(event["type"], "merge.failed");
    assert_eq!(
        event["failure"],
        serde_json::json!({"reason": "lock_timeout", "sqlstate": "55P03"})
    );
    assert_eq!(
        (&event["attempts"], &event["tickets"]["live"]),
        (&2.into(), &10.into())
    );
    let dead = queues.next("user-merge.dead").await;
    assert_eq!(dead.body, body);
    let headers = ["x-reason", "x-detail", "x-lane", "x-attempts"].map(|name| dead.header(name));
    let expected = ["lock_timeout", "55P03", "bulk", "2"];
    assert_eq!(headers, expected.map(|text| Some(text.to_owned())));
    assert_eq!(
        dead.properties.message_id().as_ref().unwrap().as_str(),
        key.as_str()
    );
    let row = "SELECT concat_ws(' ', state, holds_users, attempts, last_error, live, completed_at) FROM user_merge.merges";
    assert_eq!(desk.text(row).await.as_deref(), Some("failed t 2 55P03 10"));
    assert!(queues.peek("user-merge.retry.1s").await.is_none());
    assert!(queues.peek("user-merge.retry.2s").await.is_none());

    locked.rollback().await.unwrap();
    queues
        .publish("user-merge.requests", &dead.body, dead.properties)
        .await;
    let event = queues.event().await.json();
    assert_eq!(
        (&event["type"], &event["tickets"]["live"]),
        (&"merge.completed".into(), &25.into())
    );
    assert_each_moved_once(&desk, 25).await;
    assert_eq!(
        queues.next("user-deletion.requests").await.json()["merge_id"],
        event["merge_id"]
    );
    worker.stop().await;
}

/// R7: a replay gets the whole number of tries again.
#[tokio::test]
async fn r7_a_replay_has_all_its_tries() {
    let (mut desk, queues) = impatient().await;
    desk.settings.retry.max_attempts = 2;
    let locked = open_transaction(&desk.pool, LOCK_SOURCE).await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;
    for _ in 0..2 {
        assert_eq!(queues.event().await.json()["attempts"], 2);
        let dead = queues.next("user-merge.dead").await;
        assert_eq!(dead.header("x-attempts").as_deref(), Some("2"));
        queues
            .publish("user-merge.requests", &dead.body, dead.properties)
            .await;
    }
    locked.rollback().await.unwrap();
    let mut event = queues.event().await.json();
    if event["type"] == "merge.failed" {
        // The third round may have met the lock once more and for the last time.
        let dead = queues.next("user-merge.dead").await;
        queues
            .publish("user-merge.requests", &dead.body, dead.properties)
            .await;
        event = queues.event().await.json();
    }
    assert_eq!(event["type"], "merge.completed");
    assert_each_moved_once(&desk, 25).await;
    worker.stop().await;
}
