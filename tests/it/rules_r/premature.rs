//! R5 and R7: what fails beside a merge that somebody else has in hand is not that merge's failure.

use std::time::Duration;

use user_merge::merge::{Cause, Ending, Failed, Given};
use user_merge::store::Error;

use super::{assert_each_moved_once, open_transaction, waiting_for_locks};
use crate::harness::{Desk, envelope, key, request};

const STATE: &str = "SELECT concat_ws(' ', state, attempts, last_error) FROM user_merge.merges
                     WHERE idempotency_key = 'merge-1-2'";
/// Longer than a worker at work is ever silent.
const LONG_AGO: &str = "UPDATE user_merge.merges SET updated_at = now() - interval '1 h'";

/// Every failure is the last one that is allowed.
async fn desk() -> Desk {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.settings.retry.max_attempts = 1;
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    desk
}

/// A failure that no later try can mend, of a run that never had the merge.
const fn lasting() -> Failed {
    Failed {
        error: Error::Unreadable("x"),
        fence: None,
    }
}

async fn fail(desk: &Desk, cause: &Cause<'_>) -> Given {
    let merge = request(1, 2);
    desk.merger()
        .fail(envelope(&merge), b"{}", cause)
        .await
        .unwrap()
}

/// R5: a duplicate of the message meets a lock, for the last time that it may, while the first one's worker waits
/// in the middle of the merge: the merge isn't given up, and its worker completes it. One event says so.
#[tokio::test]
async fn r5_a_duplicate_that_fails_does_not_give_up_a_merge_that_another_worker_has_in_hand() {
    let mut desk = desk().await;
    desk.settings.database.lock_timeout = Duration::from_secs(30);
    let merge = request(1, 2);
    let ticket = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE",
    )
    .await;
    let first = desk.merger();
    let until = user_merge::merge::Until::new(Default::default(), Duration::from_mins(5));
    let running = first.run(envelope(&merge), &until);
    desk.settings.database.lock_timeout = Duration::from_millis(50);
    let beside = async {
        waiting_for_locks(&desk, 1).await;
        let source = "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE";
        let source = open_transaction(&desk.pool, source).await;
        let duplicate = desk.merger();
        let failed = duplicate.run(envelope(&merge), &until).await.unwrap_err();
        assert_eq!((failed.error.class(), failed.fence), ("lock_timeout", None));
        let given = fail(&desk, &Cause::Error(&failed)).await;
        assert!(matches!(given, Given::Time { .. }), "{given:?}");
        assert_eq!(desk.text(STATE).await.as_deref(), Some("running 0"));
        source.rollback().await.unwrap();
        ticket.rollback().await.unwrap();
    };
    let (run, ()) = tokio::join!(running, beside);

    assert_eq!(run.unwrap().ending, Ending::Completed);
    assert_each_moved_once(&desk, 25).await;
    let events = desk
        .list("SELECT routing_key FROM user_merge.outbox WHERE destination IN ('event', 'dead')")
        .await;
    assert_eq!(events, ["merge.completed"]);
}

/// R5 and R7: nor does one that can't pass, one that has lost its patience with a conflict, or a panic before the
/// merge was had. Once nobody has the merge in hand, each of them counts.
#[tokio::test]
async fn r7_what_fails_without_having_the_merge_counts_once_nobody_else_has_it() {
    let failed = lasting();
    for cause in [
        Cause::Error(&failed),
        Cause::Conflict,
        Cause::Panic { fence: None },
    ] {
        let desk = desk().await;
        desk.run_one_chunk(&request(1, 2)).await.unwrap();
        // So that there is a conflict at all.
        desk.execute(
            "INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id, lane,
                                            state, holds_users)
             VALUES (1, gen_random_uuid(), 'other', 2, 3, 'bulk', 'running', true)",
        )
        .await;
        assert!(matches!(fail(&desk, &cause).await, Given::Time { .. }));
        assert_eq!(desk.text(STATE).await.as_deref(), Some("running 0"));

        desk.execute(LONG_AGO).await;
        let given = fail(&desk, &cause).await;
        assert!(matches!(given, Given::Up { .. }), "{cause}: {given:?}");
        let state = desk.text(STATE).await.unwrap();
        assert!(state.starts_with("failed 1 "), "{state}");
    }
}

/// R7: a failure on record is no sign of life: the next one counts at once.
#[tokio::test]
async fn r7_failures_that_follow_each_other_all_count() {
    let mut desk = desk().await;
    desk.settings.retry.max_attempts = 3;
    let failed = Failed {
        error: Error::Leftover("x"),
        fence: None,
    };
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    desk.execute(LONG_AGO).await;
    for attempts in 1..=2 {
        let given = fail(&desk, &Cause::Error(&failed)).await;
        assert!(
            matches!(given, Given::Time { attempts: counted, .. } if counted == attempts),
            "{given:?}"
        );
    }
    assert!(matches!(
        fail(&desk, &Cause::Error(&failed)).await,
        Given::Up { .. }
    ));
}

/// R7: a panic under a number that is still the merge's counts, whoever was at work a moment ago: it was that one.
#[tokio::test]
async fn r7_a_panic_of_the_worker_that_has_the_merge_counts() {
    let desk = desk().await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    let given = fail(&desk, &Cause::Panic { fence: Some(7) }).await;
    assert!(matches!(given, Given::Time { .. }), "another's: {given:?}");
    let given = fail(&desk, &Cause::Panic { fence: Some(1) }).await;
    assert!(matches!(given, Given::Up { .. }), "{given:?}");
}

/// A10: whoever has waited for a conflict for as long as it may is not given up when the conflict has just ended.
#[tokio::test]
async fn a10_patience_that_ends_with_the_conflict_gives_nothing_up() {
    let desk = desk().await;
    desk.users([3]).await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    let waiting = key("waiting", 2, 3);
    let merger = desk.merger();
    let conflict = async || {
        merger
            .fail(envelope(&waiting), b"{}", &Cause::Conflict)
            .await
            .unwrap()
    };
    let ending = desk.run(&waiting).await.unwrap().ending;
    assert_eq!(ending, Ending::PutOff);
    desk.run(&request(1, 2)).await.unwrap();

    assert!(matches!(conflict().await, Given::Time { .. }));
    assert_eq!(desk.run(&waiting).await.unwrap().ending, Ending::Completed);
    // And after the end there is nothing to give up either.
    assert!(matches!(conflict().await, Given::Time { .. }));
}
