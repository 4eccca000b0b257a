//! A10: another unfinished merge.

use std::time::Duration;

use user_merge::domain::Reason;
use user_merge::merge::Ending;

use crate::harness::{Desk, Queues, Running, eventually, key, request};

/// A merge of 1 into 2 that has moved its first chunk and paused. 3 and 4 are ordinary users.
async fn begun() -> Desk {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.users(1..=4).await;
    desk.tickets(1, 25, 1, "open").await;
    let report = desk.run_one_chunk(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::SliceOver);
    desk
}

/// A10: what conflicts with the unfinished merge of 1 into 2, role by role, small merges and large ones.
#[tokio::test]
async fn a10_roles_that_conflict_are_put_off_and_others_run() {
    let desk = begun().await;
    desk.tickets(100, 15, 3, "open").await;
    let rows = "SELECT count(*) FROM user_merge.merges";
    for (source, target) in [
        (1, 2), // the same pair under another key
        (1, 3), // its source as a source
        (2, 3), // its target as a source
        (3, 1), // its source as a target
        (2, 1), // the other way round
    ] {
        let report = desk
            .run(&key(&format!("{source} into {target}"), source, target))
            .await
            .unwrap();
        assert_eq!(report.ending, Ending::PutOff, "{source} into {target}");
        assert!(report.promised.is_empty());
        assert_eq!(desk.number(rows).await, 1, "a put-off request has no row");
    }
    // One target may receive several merges at once: a large one and a small one.
    for source in [3, 4] {
        let report = desk.run(&request(source, 2)).await.unwrap();
        assert_eq!(report.ending, Ending::Completed, "{source} into 2");
    }
    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    let of_target = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2";
    assert_eq!(desk.number(of_target).await, 40);
}

/// A10: a rule that fails is told at once, whatever else is going on: A10 comes last.
#[tokio::test]
async fn a10_a_rejection_does_not_wait_for_the_other_merge() {
    let desk = begun().await;
    desk.execute("UPDATE helpdesk.users SET deleted_at = now() WHERE id = 3")
        .await;
    let report = desk.run(&request(3, 1)).await.unwrap();
    super::assert_rejected(&report, Reason::SourceDeleted, None);
}

/// A10: only within the account.
#[tokio::test]
async fn a10_the_same_ids_in_another_account_do_not_conflict() {
    let desk = begun().await;
    desk.account(2, &["password"], false).await;
    desk.execute(
        "INSERT INTO helpdesk.users (account_id, id, name, verified) VALUES (2, 1, 'a', true), (2, 3, 'b', true)",
    )
    .await;
    let mut request = request(1, 3);
    request.account_id = 2.try_into().unwrap();
    assert_eq!(desk.run(&request).await.unwrap().ending, Ending::Completed);
}

/// A10: a merge that failed after its first chunk still comes first: half a merge must not be overtaken.
#[tokio::test]
async fn a10_a_failed_merge_that_has_moved_something_still_holds_its_users() {
    let desk = begun().await;
    desk.execute("UPDATE user_merge.merges SET state = 'failed'")
        .await;
    let report = desk.run(&request(1, 3)).await.unwrap();
    assert_eq!(report.ending, Ending::PutOff);
    // Its replay goes on all the same.
    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
}

/// A10: through the queues: put off without an attempt, and done when the other merge is.
#[tokio::test]
async fn a10_a_request_that_was_put_off_comes_back() {
    let mut desk = begun().await;
    let queues = Queues::open(&mut desk).await;
    let worker = Running::start(&desk).await;
    queues.send(&request(2, 3)).await;
    // Taken and put off: it is in the retry queue, with the time since when it waits.
    let waiting = queues.next("user-merge.retry.1s").await;
    let since = waiting.header("x-deferred-since").unwrap();
    assert!(since.parse::<chrono::DateTime<chrono::Utc>>().is_ok());
    assert_eq!(waiting.header("x-lane").as_deref(), Some("interactive"));
    assert_eq!(waiting.header("x-attempts"), None);
    // Taken out by the test: put in again as the broker would return it.
    queues
        .publish("user-merge.requests", &waiting.body, waiting.properties)
        .await;

    desk.run(&request(1, 2)).await.unwrap();
    let event = queues.event().await.json();
    assert_eq!(
        (event["type"].as_str(), event["source_user_id"].as_i64()),
        (Some("merge.completed"), Some(2))
    );
    assert_eq!(event["attempts"], 1);
    eventually("all of it at 3", || async {
        let left = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id <> 3";
        (desk.number(left).await == 0).then_some(())
    })
    .await;
    worker.stop().await;
}

/// A10: not for ever: a merge that has waited for as long as the setting allows is failed.
#[tokio::test]
async fn a10_patience_with_a_conflict_ends() {
    let mut desk = begun().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.retry.conflict_patience = Duration::from_secs(1);
    let worker = Running::start(&desk).await;
    queues.send(&request(3, 1)).await;
    let event = queues.event().await.json();
    assert_eq!(event["type"], "merge.failed");
    assert_eq!(event["failure"]["reason"], "conflicting_merge");
    let dead = queues.next("user-merge.dead").await;
    assert_eq!(
        dead.header("x-reason").as_deref(),
        Some("conflicting_merge")
    );
    // Replayed once the other merge is done, it gets its answer.
    desk.run(&request(1, 2)).await.unwrap();
    queues
        .publish("user-merge.requests", &dead.body, dead.properties)
        .await;
    let event = queues.event().await.json();
    assert_eq!(event["rejection"]["reason"], "target_merged");
    worker.stop().await;
}
