//! A long merge does not keep the others waiting.

use std::time::Duration;

use super::{INTERACTIVE, assert_traced, send_traced};
use crate::harness::{Desk, Queues, Running, eventually, request};
use crate::rules_r::{assert_each_moved_once, open_transaction, waiting_for_locks};

/// R4: a merge that takes longer than its slice lets the next one go first, and goes on in a message of its own.
#[tokio::test]
async fn r4_a_long_merge_makes_room_and_goes_on() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.chunks_of(10);
    desk.settings.lanes.interactive.concurrency = 1;
    // Nothing is taken ahead: a message that was merely given back would be the next one again.
    desk.settings.lanes.interactive.prefetch = 1;
    desk.settings.database.lock_timeout = Duration::from_mins(1);
    desk.settings.merge.slice = Duration::from_secs(1);
    desk.users([1, 2, 3, 4]).await;
    desk.tickets(1, 45, 1, "open").await;
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE",
    )
    .await;
    let worker = Running::start(&desk).await;
    send_traced(&queues, INTERACTIVE, &request(1, 2)).await;
    waiting_for_locks(&desk, 1).await;
    queues.send(&request(3, 4)).await;
    // The slice began before the lock was waited for; it can't but be over after as long again.
    tokio::time::sleep(desk.settings.merge.slice).await;
    locked.rollback().await.unwrap();

    let (first, second) = (queues.event().await, queues.event().await);
    assert_eq!(
        first.json()["source_user_id"],
        3,
        "the long one didn't make room"
    );
    assert_eq!(
        (&second.json()["type"], &second.json()["tickets"]["live"]),
        (&"merge.completed".into(), &45.into())
    );
    assert_eq!(second.json()["attempts"], 1, "a pause is no failed try");
    assert_traced(&second, "the continuation");
    assert_each_moved_once(&desk, 45).await;
    assert_eq!(
        desk.number("SELECT max(fence) FROM user_merge.merges")
            .await,
        2
    );
    for _ in 0..2 {
        queues.next("user-deletion.requests").await;
    }
    worker.stop().await;
    for queue in ["user-deletion.requests", INTERACTIVE, "user-merge.dead"] {
        assert!(queues.peek(queue).await.is_none(), "{queue}");
    }
}

/// R4: small merges that come after a giant one are done before it, even where the lane has one hand.
#[tokio::test]
async fn r4_a_giant_merge_does_not_hold_up_small_ones() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.chunks_of(5);
    desk.settings.lanes.interactive.concurrency = 1;
    desk.settings.merge.slice = Duration::from_millis(20);
    desk.users(1..=30).await;
    desk.tickets(1, 5_000, 1, "open").await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;
    eventually("a slice", || async {
        let slices = "SELECT coalesce(max(fence), 0) FROM user_merge.merges";
        (desk.number(slices).await >= 2).then_some(())
    })
    .await;
    for source in 3..=12 {
        queues.send(&request(source, source + 15)).await;
    }
    for _ in 3..=12 {
        assert_ne!(queues.event().await.json()["source_user_id"], 1);
    }
    let giant = queues.event().await.json();
    assert_eq!(giant["tickets"]["live"], 5_000);
    assert_each_moved_once(&desk, 5_000).await;
    worker.stop().await;
}
