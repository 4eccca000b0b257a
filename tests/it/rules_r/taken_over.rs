//! R5: two workers on one merge at once.

use std::time::Duration;

use user_merge::merge::{Cause, Ending, Failed, Given};
use user_merge::store::Error;
use user_merge::store::merges::{Envelope, hold};

use super::{assert_each_moved_once, open_transaction, waiting_for_locks};
use crate::harness::{Desk, envelope, eventually, request};

const FENCE: &str = "SELECT max(fence) FROM user_merge.merges";
const STATE: &str = "SELECT string_agg(state, ' ') FROM user_merge.merges";

async fn desk() -> Desk {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.settings.database.lock_timeout = Duration::from_secs(30);
    desk.users([1, 2]).await;
    desk.tickets(1, 45, 1, "open").await;
    desk
}

/// R5: the old worker's chunk that was on its way when a new worker took the merge over does nothing, and its
/// run ends as fenced; the new one does the rest.
#[tokio::test]
async fn r5_a_chunk_of_a_worker_that_lost_the_merge_does_nothing() {
    let desk = desk().await;
    let merge = request(1, 2);
    // The old worker's second chunk waits for a ticket; behind it the whole table is asked for, so that its
    // third chunk finds the table locked before it can look at the merge.
    let ticket = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE",
    )
    .await;
    let old = desk.run(&merge);
    let interleaved = async {
        waiting_for_locks(&desk, 1).await;
        let lock = "LOCK TABLE helpdesk.tickets IN ACCESS EXCLUSIVE MODE";
        let pool = desk.pool.clone();
        let table = tokio::spawn(async move { open_transaction(&pool, lock).await });
        waiting_for_locks(&desk, 2).await;
        ticket.rollback().await.unwrap();
        let table = table.await.unwrap();
        waiting_for_locks(&desk, 1).await; // the third chunk
        assert_eq!(desk.number(FENCE).await, 1);

        let new = desk.run(&merge);
        let release = async {
            waiting_for_locks(&desk, 2).await; // and the new worker's first chunk behind it
            assert_eq!(desk.number(FENCE).await, 2);
            table.rollback().await.unwrap();
        };
        tokio::join!(new, release).0
    };
    let (old, new) = tokio::join!(old, interleaved);

    assert!(matches!(old, Err(Error::Fenced)), "{old:?}");
    let new = new.unwrap();
    assert_eq!(new.ending, Ending::Completed);
    assert_eq!(
        new.moved.tickets.live, 25,
        "the old one moved two chunks only"
    );
    assert_each_moved_once(&desk, 45).await;
}

/// R5: nor does its last transaction: the merge is completed by whoever holds it.
#[tokio::test]
async fn r5_a_worker_that_lost_the_merge_does_not_complete_it() {
    let desk = desk().await;
    let merge = request(1, 2);
    let ticket = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE",
    )
    .await;
    let old = desk.run(&merge);
    let interleaved = async {
        waiting_for_locks(&desk, 1).await;
        // All tickets can be moved, but not the source be locked for the end.
        let mut source = open_transaction(
            &desk.pool,
            "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE",
        )
        .await;
        ticket.rollback().await.unwrap();
        eventually("all tickets moved", || async {
            (desk
                .number("SELECT sum(live)::bigint FROM user_merge.merges")
                .await
                == 45)
                .then_some(())
        })
        .await;
        waiting_for_locks(&desk, 1).await; // the last transaction
        let envelope = Envelope {
            request: &merge,
            new_id: uuid::Uuid::now_v7(),
            lane: "interactive",
            correlation_id: None,
            traceparent: None,
        };
        let held = hold(&mut source, uuid::Uuid::now_v7(), envelope)
            .await
            .unwrap();
        assert_eq!((held.record.fence, held.progress.tickets.live), (2, 45));
        source.commit().await.unwrap();
    };
    let (old, ()) = tokio::join!(old, interleaved);

    assert!(matches!(old, Err(Error::Fenced)), "{old:?}");
    assert_eq!(desk.text(STATE).await.as_deref(), Some("running"));
    let ended = "SELECT (SELECT count(*) FROM helpdesk.users WHERE merged_into IS NOT NULL)
                      + (SELECT count(*) FROM user_merge.outbox)";
    assert_eq!(desk.number(ended).await, 0);

    assert_eq!(desk.run(&merge).await.unwrap().ending, Ending::Completed);
    assert_each_moved_once(&desk, 45).await;
}

/// R5: nor does a chunk of a merge that has ended meanwhile, under whatever number.
#[tokio::test]
async fn r5_a_chunk_of_a_merge_that_has_ended_does_nothing() {
    let desk = desk().await;
    let merge = request(1, 2);
    let ticket = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE",
    )
    .await;
    let old = desk.run(&merge);
    let finished = async {
        waiting_for_locks(&desk, 1).await;
        let lock = "LOCK TABLE user_merge.merges IN ACCESS EXCLUSIVE MODE";
        let mut table = open_transaction(&desk.pool, lock).await;
        ticket.rollback().await.unwrap();
        waiting_for_locks(&desk, 1).await; // the second chunk, now for its look at the merge
        sqlx::raw_sql(
            "UPDATE user_merge.merges SET state = 'completed', holds_users = false,
                 outcome = '{}', completed_at = now()",
        )
        .execute(&mut *table)
        .await
        .unwrap();
        table.commit().await.unwrap();
    };
    let (old, ()) = tokio::join!(old, finished);
    assert!(matches!(old, Err(Error::Fenced)), "{old:?}");
    assert_each_moved_once(&desk, 10).await;
}

/// R5: the failure of a run that lost the merge meanwhile is not the merge's: it counts no try and gives
/// nothing up, even where it was the last one.
#[tokio::test]
async fn r5_the_failure_of_a_worker_that_lost_the_merge_counts_for_nothing() {
    let mut desk = desk().await;
    desk.settings.retry.max_attempts = 1;
    let merge = request(1, 2);
    desk.run_one_chunk(&merge).await.unwrap();
    desk.execute("UPDATE user_merge.merges SET fence = 7").await;
    let fail = async |fence| {
        let failed = Failed {
            error: Error::RowCount {
                what: "rows",
                expected: 1,
                touched: 0,
            },
            fence,
        };
        let cause = Cause::Error(&failed);
        desk.merger()
            .fail(envelope(&merge), b"{}", &cause)
            .await
            .unwrap()
    };

    assert!(matches!(fail(Some(6)).await, Given::Time { .. }));
    assert_eq!(desk.text(STATE).await.as_deref(), Some("running"));
    assert_eq!(
        desk.number("SELECT max(attempts)::bigint FROM user_merge.merges")
            .await,
        0
    );

    assert!(matches!(fail(Some(7)).await, Given::Up { .. }));
    assert_eq!(desk.text(STATE).await.as_deref(), Some("failed"));
}
