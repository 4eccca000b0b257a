//! A mistake in this program that one merge brings out costs that merge some tries, and nobody else anything.

use crate::harness::{Desk, Process, Queues, eventually, key, request};

const COMPLETED: &str = "SELECT count(*) FROM user_merge.merges WHERE state = 'completed'";

/// R7: the hand of a task that panicked is free again, and its message comes back until it is done.
#[tokio::test]
async fn r7_a_panic_takes_neither_a_hand_nor_the_message() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    // One hand, and not one message ahead of it: whatever is not settled stops the lane.
    let lane = &mut desk.settings.lanes.interactive;
    (lane.concurrency, lane.prefetch) = (1, 1);
    desk.users(1..=4).await;
    // A number of tries that can't be counted on; checked arithmetic panics over it.
    desk.execute(
        "INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id,
                                        lane, state, holds_users, attempts)
         VALUES (1, gen_random_uuid(), 'wrong', 1, 2, 'interactive', 'running', true, 2147483647)",
    )
    .await;
    let mut worker = Process::worker(&desk).ready().await;

    queues.send(&key("wrong", 1, 2)).await;
    queues.send(&request(3, 4)).await;
    eventually("the other merge", || async {
        (desk.number(COMPLETED).await == 1).then_some(())
    })
    .await;
    let told = worker.line("panicked at ").await;
    assert!(
        told.contains("\"merge.id\"") && told.contains("\"source.id\":1"),
        "{told}"
    );
    worker
        .line("failed: the merge made this program panic")
        .await;
    assert!(worker.is_ready().await);

    desk.execute("UPDATE user_merge.merges SET attempts = 0 WHERE idempotency_key = 'wrong'")
        .await;
    eventually("both merges", || async {
        (desk.number(COMPLETED).await == 2).then_some(())
    })
    .await;
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
    let mut deleted: Vec<i64> = Vec::new();
    while let Some(message) = queues.peek("user-deletion.requests").await {
        deleted.push(message.json()["user_id"].as_i64().unwrap());
    }
    deleted.sort_unstable();
    assert_eq!(deleted, [1, 3]);
}
