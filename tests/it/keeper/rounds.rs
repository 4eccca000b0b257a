//! The rounds over merged users (rule D4), and two keepers that do them at once.

use std::time::Duration;

use user_merge::merge::Ending;

use crate::harness::{Desk, Queues, Running, eventually, request};

/// D4: who was merged long ago has its turn too, though the last hour's are looked at in every round.
#[tokio::test]
async fn d4_users_merged_long_ago_have_their_turn() {
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    desk.settings.sweep.interval = Duration::from_millis(100);
    desk.settings.sweep.batch = 1;
    desk.users(1..=60).await;
    // More than one round looks at.
    for source in 1..=40 {
        desk.run(&request(source, 60)).await.unwrap();
    }
    desk.execute(
        "UPDATE user_merge.merges SET completed_at = now() - interval '1 day' * source_user_id / 2",
    )
    .await;
    desk.tickets(10, 1, 1, "new").await;
    desk.tickets(11, 1, 40, "new").await;
    let worker = Running::start(&desk).await;
    eventually("both with the target", || async {
        let others = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id <> 60";
        (desk.number(others).await == 0).then_some(())
    })
    .await;
    worker.stop().await;
}

/// D4, R5: two keepers on the same merged users at once, where a lost lock wasn't noticed yet: each ticket moves
/// once and is logged and counted once.
#[tokio::test]
async fn d4_two_rounds_at_once_move_and_count_once() {
    let mut desk = Desk::open().await;
    desk.settings.database.lock_timeout = Duration::from_secs(25);
    desk.users(1..=20).await;
    for source in 1..=19 {
        let report = desk.run(&request(source, 20)).await.unwrap();
        assert_eq!(report.ending, Ending::Completed);
        desk.tickets(100 * source, 5, source, "new").await;
    }
    let keepers: Vec<_> = (0..4).map(|_| desk.merger()).collect();
    let rounds = keepers
        .iter()
        .map(|keeper| keeper.move_late(None, 3600.0, 100));
    let moved: i64 = futures_util::future::join_all(rounds)
        .await
        .into_iter()
        .map(|round| round.unwrap().0)
        .sum();
    assert_eq!(moved, 95);
    for count in [
        "SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 20",
        "SELECT count(*) FROM helpdesk.ticket_events",
        "SELECT sum(late)::bigint FROM user_merge.merges",
    ] {
        assert_eq!(desk.number(count).await, 95, "{count}");
    }
}
