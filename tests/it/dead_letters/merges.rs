//! Merges that came to be dead letters, and are brought to their end by a replay.

use std::time::Duration;

use lapin::BasicProperties;

use super::{DEAD, LANE, crash_until_dead, dead_letters, json, ready};
use crate::harness::{Desk, Queues, Running, request};
use crate::rules_r::{assert_each_moved_once, open_transaction};

/// Users 1 and 2, and 25 tickets of 1, of which one chunk of ten is moved.
async fn begun() -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    desk.settings.broker.delivery_limit = 2;
    let queues = Queues::open(&mut desk).await;
    desk.chunks_of(10);
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    // By a worker that crashed then: nobody has it in hand.
    desk.execute("UPDATE user_merge.merges SET updated_at = now() - interval '1 h'")
        .await;
    (desk, queues)
}

async fn state(desk: &Desk) -> String {
    let sql = "SELECT concat_ws(' ', state, holds_users, attempts) FROM user_merge.merges";
    desk.text(sql).await.unwrap()
}

async fn assert_completed(desk: &Desk, queues: &Queues) {
    let event = queues.event().await.json();
    assert_eq!(event["type"], "merge.completed");
    assert_each_moved_once(desk, 25).await;
    assert_eq!(
        queues.next("user-deletion.requests").await.json()["user_id"],
        1
    );
    assert!(state(desk).await.starts_with("completed f"));
}

/// R7: a merge that was given up for real is completed by its replay, with all its tries before it again, and
/// nothing is done twice, even if the letter was replayed twice.
#[tokio::test]
async fn r7_a_merge_that_was_given_up_is_completed_by_its_replay() {
    let (mut desk, queues) = begun().await;
    desk.settings.retry.max_attempts = 2;
    desk.settings.retry.immediate = 1;
    desk.settings.database.lock_timeout = Duration::from_millis(50);
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE",
    )
    .await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;
    assert_eq!(queues.event().await.json()["type"], "merge.failed");
    ready(&queues, DEAD, 1).await;
    assert_eq!(state(&desk).await, "failed t 2");
    let listing = json(&desk, "list --reason lock_timeout --younger-than 10m").await;
    let letter = &listing["dead_letters"][0];
    assert_eq!(
        (&letter["idempotency_key"], &letter["attempts"]),
        (&"merge-1-2".into(), &2.into())
    );

    // Still locked: it dies again, after all tries, and not with the first.
    assert_eq!(
        json(&desk, "replay --key merge-1-2 --yes").await["replayed"],
        1
    );
    let event = queues.event().await.json();
    assert_eq!(
        (&event["type"], &event["attempts"]),
        (&"merge.failed".into(), &2.into())
    );
    ready(&queues, DEAD, 1).await;

    locked.rollback().await.unwrap();
    assert_eq!(json(&desk, "replay --all --yes").await["replayed"], 1);
    assert_completed(&desk, &queues).await;
    // A crash between confirm and acknowledgement leaves the letter in both queues.
    queues.send(&request(1, 2)).await;
    assert_eq!(queues.event().await.json()["type"], "merge.completed");
    worker.stop().await;
    assert_each_moved_once(&desk, 25).await;
    assert!(queues.peek(DEAD).await.is_none());
}

/// R4: nobody recorded a failure here: the broker moved the request away, and its merge stays `running`.
#[tokio::test]
async fn r4_a_merge_that_killed_its_workers_is_completed_by_its_replay() {
    let (desk, queues) = begun().await;
    let body = user_merge::message::request::encode(&request(1, 2));
    queues
        .publish(LANE, &body, BasicProperties::default())
        .await;
    crash_until_dead(&queues, LANE).await;
    assert_eq!(state(&desk).await, "running t 0");
    let shown = dead_letters(&desk, "show 1").await;
    assert!(
        shown.stdout.contains("reason         delivery_limit"),
        "{shown:?}"
    );
    assert!(
        shown.stdout.contains("lane           interactive"),
        "{shown:?}"
    );

    let refused = json(&desk, "discard --all --yes --no-save").await;
    assert_eq!(
        refused["kept"]["unfinished"], 1,
        "its users would stay reserved"
    );
    assert_eq!(
        json(&desk, "replay --reason delivery_limit --yes").await["replayed"],
        1
    );
    let worker = Running::start(&desk).await;
    assert_completed(&desk, &queues).await;
    worker.stop().await;
    assert!(queues.peek(DEAD).await.is_none());
}
