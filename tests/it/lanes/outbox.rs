//! Between commit and broker: what a crash left behind.

use std::time::Duration;

use crate::harness::{Desk, Queues, Running, eventually, request};

/// D2: what a crash left in the outbox is published by the relay, once; what somebody is publishing is theirs.
#[tokio::test]
async fn d2_the_relay_publishes_what_a_crash_left_behind() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=4).await;
    let lease = desk.settings.relay.lease;
    // Committed by workers that are never heard of again, the first one long ago.
    desk.settings.relay.lease = Duration::ZERO;
    let crashed = desk.run(&request(1, 2)).await.unwrap();
    desk.settings.relay.lease = Duration::from_hours(1);
    let at_work = desk.run(&request(3, 4)).await.unwrap();
    assert_eq!((crashed.promised.len(), at_work.promised.len()), (2, 2));
    desk.settings.relay.lease = lease;
    desk.settings.relay.interval = Duration::from_millis(50);

    let worker = Running::start(&desk).await;

    let deletion = queues.next("user-deletion.requests").await;
    assert_eq!(deletion.json()["merge_id"], crashed.merge.to_string());
    assert_eq!(
        queues.event().await.json()["merge_id"],
        crashed.merge.to_string()
    );
    let pending = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
    eventually("both marked", || async {
        (desk.number(pending).await == 2).then_some(())
    })
    .await;
    // A request that comes later is published before another look finds anything: the relay has looked again.
    queues.send(&request(1, 2)).await;
    assert_eq!(
        queues.event().await.json()["merge_id"],
        crashed.merge.to_string()
    );
    worker.stop().await;
    assert!(queues.peek("user-deletion.requests").await.is_none());
    assert!(queues.events().await.is_empty());
    let left = format!(
        "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL AND merge_id = '{}'",
        at_work.merge
    );
    assert_eq!(desk.number(&left).await, 2);
}
