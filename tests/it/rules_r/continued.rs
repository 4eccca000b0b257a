//! R4: going on where the last committed chunk ended.

use std::time::Duration;

use user_merge::merge::Ending;

use super::{assert_each_moved_once, open_transaction, waiting_for_locks};
use crate::harness::{Desk, key, request};

/// R4: each delivery goes on where the one before left off: nothing is moved, logged or counted twice.
#[tokio::test]
async fn r4_a_redelivery_continues_after_the_last_committed_chunk() {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    desk.archived_tickets(101, 12, 1).await;

    let mut merge = None;
    for moved in [10, 20] {
        let report = desk.run_one_chunk(&request(1, 2)).await.unwrap();
        assert_eq!(report.ending, Ending::SliceOver);
        assert_eq!(report.moved.tickets.live, 10);
        assert_eq!(
            *merge.get_or_insert(report.merge),
            report.merge,
            "one merge has one id"
        );
        assert_each_moved_once(&desk, moved).await;
        let recorded = "SELECT live FROM user_merge.merges WHERE state = 'running'";
        assert_eq!(desk.number(recorded).await, moved);
    }
    let last = desk.run(&request(1, 2)).await.unwrap();

    assert_eq!((last.ending, Some(last.merge)), (Ending::Completed, merge));
    assert_eq!(
        (last.moved.tickets.live, last.moved.tickets.archived),
        (5, 12),
        "this run's own"
    );
    assert_each_moved_once(&desk, 37).await;
    let event = desk
        .text("SELECT (outcome -> 'tickets')::text FROM user_merge.merges")
        .await
        .unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&event).unwrap(),
        serde_json::json!({"live": 25, "closed": 0, "archived": 12})
    );
}

/// R4: a connection that dies in the middle of a chunk leaves nothing of it behind.
#[tokio::test]
async fn r4_a_chunk_that_was_cut_off_is_done_anew() {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.settings.database.lock_timeout = Duration::from_secs(30);
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE",
    )
    .await;
    let merge = request(1, 2);
    let cut_off = async {
        waiting_for_locks(&desk, 1).await;
        desk.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
            .await;
    };
    let (cut, ()) = tokio::join!(desk.run(&merge), cut_off);
    let error = cut.unwrap_err();
    assert!(error.is_outage(), "{error}");
    locked.rollback().await.unwrap();
    assert_each_moved_once(&desk, 10).await;

    let rest = desk.run(&merge).await.unwrap();
    assert_eq!(
        (rest.ending, rest.moved.tickets.live),
        (Ending::Completed, 15)
    );
    assert_each_moved_once(&desk, 25).await;
}

/// R4: however short the time slices are, each of them gets on: the merge comes to its end.
#[tokio::test]
async fn r4_the_shortest_slices_come_to_an_end() {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.users([1, 2, 3]).await;
    desk.tickets(1, 25, 1, "open").await;
    desk.archived_tickets(101, 5, 1).await;
    desk.tickets(201, 5, 3, "open").await;
    desk.cc(201, 1).await;
    let mut endings = Vec::new();
    while endings.last() != Some(&Ending::Completed) {
        assert!(endings.len() < 10, "{endings:?}");
        endings.push(desk.run_one_chunk(&request(1, 2)).await.unwrap().ending);
    }
    assert_each_moved_once(&desk, 30).await;
    assert_eq!(
        desk.run(&key("again", 1, 2)).await.unwrap().ending,
        Ending::AlreadyMerged
    );
}

/// R4: a source whose row somebody deletes after its last ticket was moved, but before its merge was finished,
/// leaves nothing to merge: the merge ends, and holds its target no longer.
#[tokio::test]
async fn r4_a_merge_whose_source_is_gone_comes_to_its_end() {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.users([1, 2, 3]).await;
    desk.tickets(1, 25, 1, "open").await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    desk.execute(
        "UPDATE helpdesk.tickets SET requester_id = 3 WHERE requester_id = 1;
         DELETE FROM helpdesk.users WHERE account_id = 1 AND id = 1",
    )
    .await;

    let report = desk.run(&request(1, 2)).await.unwrap();

    assert_eq!(report.ending, Ending::Completed);
    assert_eq!(
        report.promised.len(),
        2,
        "the event and the deletion message"
    );
    assert_eq!(
        desk.number("SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2")
            .await,
        10
    );
    assert_eq!(
        desk.number("SELECT count(*) FROM user_merge.merges WHERE holds_users")
            .await,
        0
    );
    let next = desk.run(&request(2, 3)).await.unwrap();
    assert_eq!(next.ending, Ending::Completed);
}
