//! What every message that follows from a request carries on.

use std::time::Duration;

use super::{BULK, INTERACTIVE, assert_traced, send_traced};
use crate::harness::{Desk, Queues, Running, eventually, request};
use crate::rules_r::open_transaction;

/// R7: a message that was put off returns to the lane that it came from, with all that it carried.
#[tokio::test]
async fn r7_a_retried_message_returns_to_its_own_lane() {
    for (queue, other, lane) in [
        (INTERACTIVE, BULK, "interactive"),
        (BULK, INTERACTIVE, "bulk"),
    ] {
        let mut desk = Desk::open().await;
        let queues = Queues::open(&mut desk).await;
        desk.settings.database.lock_timeout = Duration::from_millis(20);
        desk.users([1, 2]).await;
        let locked = open_transaction(
            &desk.pool,
            "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE",
        )
        .await;
        let worker = Running::start(&desk).await;
        send_traced(&queues, queue, &request(1, 2)).await;
        eventually("a failed try", || async {
            let tries = "SELECT coalesce(max(attempts), 0)::bigint FROM user_merge.merges";
            (desk.number(tries).await > 0).then_some(())
        })
        .await;
        // Nobody consumes from now on, so that it can be seen where it arrives.
        worker.stop().await;

        let retried = queues.next(queue).await;
        assert_traced(&retried, lane);
        assert_eq!(retried.header("x-lane").as_deref(), Some(lane));
        assert_eq!(
            retried.body,
            user_merge::message::request::encode(&request(1, 2))
        );
        assert_eq!(
            retried.properties.message_id().as_ref().unwrap().as_str(),
            "merge-1-2"
        );
        assert!(queues.peek(other).await.is_none());
        locked.rollback().await.unwrap();
    }
}

/// R7: correlation id and trace context reach every message that follows: deletion, event, dead letter.
#[tokio::test]
async fn r7_correlation_and_trace_are_handed_on() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=4).await;
    let worker = Running::start(&desk).await;

    send_traced(&queues, BULK, &request(1, 2)).await;
    assert_traced(&queues.event().await, "completed");
    assert_traced(&queues.next("user-deletion.requests").await, "deletion");
    send_traced(&queues, BULK, &request(1, 2)).await;
    assert_traced(&queues.event().await, "repeated");
    send_traced(&queues, INTERACTIVE, &request(1, 3)).await;
    assert_traced(&queues.event().await, "rejected");

    desk.execute("ALTER TABLE helpdesk.users RENAME COLUMN merged_at TO merged")
        .await;
    send_traced(&queues, INTERACTIVE, &request(3, 4)).await;
    let failed = queues.event().await;
    assert_eq!(failed.json()["type"], "merge.failed");
    assert_traced(&failed, "failed");
    assert_traced(&queues.next("user-merge.dead").await, "exhausted");
    worker.stop().await;
}
