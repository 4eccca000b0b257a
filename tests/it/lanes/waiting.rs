//! What was taken ahead and waits for a hand.

use std::time::Duration;

use super::INTERACTIVE;
use crate::harness::{Desk, Queues, Running, eventually, request};
use crate::rules_r::{open_transaction, waiting_for_locks};

/// R4: what waits for too long behind a large merge goes to the end of its lane as a copy, which counts towards no
/// limit; what was there before is done first then.
#[tokio::test]
async fn r4_what_waits_too_long_is_put_back_uncounted() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.database.lock_timeout = Duration::from_mins(1);
    desk.settings.merge.slice = Duration::from_millis(100);
    let lane = &mut desk.settings.lanes.interactive;
    (lane.concurrency, lane.prefetch) = (1, 4);
    desk.users(1..=20).await;
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE",
    )
    .await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 11)).await;
    waiting_for_locks(&desk, 1).await;
    for source in 2..=6 {
        queues.send(&request(source, source + 10)).await;
    }
    // Three of five fit in beside the one at work. When they go back, it is the others' turn to wait, and theirs
    // again: a few times this long, and each has been put back.
    tokio::time::sleep(desk.settings.merge.slice * 15).await;
    let stopping = tokio::spawn(worker.stop());
    eventually("all given back", || async {
        (queues.count(INTERACTIVE).await == 5).then_some(())
    })
    .await;
    let mut copies = 0;
    while let Some(message) = queues.peek(INTERACTIVE).await {
        let returns = message.header("x-delivery-count");
        let returns = returns.map_or(0, |count| count.parse::<u32>().unwrap());
        assert!(returns <= 1, "it counts as returned {returns} times");
        // A copy says which lane it came by; the sender did not.
        copies += i32::from(message.header("x-lane").is_some());
    }
    assert_eq!(copies, 5);
    locked.rollback().await.unwrap();
    stopping.await.unwrap();
}
