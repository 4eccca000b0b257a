//! R3: a new key for a pair that is merged already.

use serde_json::{Value, json};
use user_merge::merge::{Ending, Report};

use super::{open_transaction, waiting_for_locks};
use crate::harness::{Desk, key, request};

fn only_event(report: &Report) -> Value {
    assert_eq!(report.promised.len(), 1, "no second deletion message");
    serde_json::from_str(&report.promised[0].draft.body).unwrap()
}

/// R3: a success that repeats the outcome of the merge that did it, also when the source's row is gone; under
/// its new key it is on record itself.
#[tokio::test]
async fn r3_a_new_key_for_a_merged_pair_is_a_success() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.tickets(10, 3, 1, "open").await;
    let first = desk.run(&request(1, 2)).await.unwrap();

    for name in ["second", "third"] {
        let report = desk.run(&key(name, 1, 2)).await.unwrap();
        assert_eq!(report.ending, Ending::AlreadyMerged, "{name}");
        let event = only_event(&report);
        assert_eq!(event["already_merged"], true);
        assert_eq!(event["idempotency_key"], name);
        assert_eq!(event["merge_id"], first.merge.to_string());
        assert_eq!(event["tickets"]["live"], 3);

        let again = desk.run(&key(name, 1, 2)).await.unwrap();
        assert_eq!(again.ending, Ending::Repeated, "{name}");
        assert_eq!(only_event(&again), event);
        // The third asks after the deletion pipeline has done its work.
        desk.execute("DELETE FROM helpdesk.users WHERE id = 1")
            .await;
    }
    let states = desk
        .text("SELECT string_agg(state, ' ') FROM user_merge.merges")
        .await;
    assert_eq!(states.as_deref(), Some("completed completed completed"));
    super::assert_each_moved_once(&desk, 3).await;
}

/// R3: merged by somebody else, of whom there is no record: a success with nothing to count, and no deletion
/// message from us.
#[tokio::test]
async fn r3_a_pair_that_others_merged_is_a_success() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.execute("UPDATE helpdesk.users SET merged_into = 2, merged_at = now() WHERE id = 1")
        .await;
    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::AlreadyMerged);
    let event = only_event(&report);
    assert_eq!(event["already_merged"], true);
    assert_eq!(event["merge_id"], report.merge.to_string());
    assert_eq!(
        event["tickets"],
        json!({"live": 0, "closed": 0, "archived": 0})
    );
}

/// R3: two keys for one pair, taken up at the same moment: one merges, the other finds it merged.
#[tokio::test]
async fn r3_two_keys_for_one_pair_at_once_are_one_merge() {
    let mut desk = Desk::open().await;
    desk.settings.database.lock_timeout = std::time::Duration::from_secs(30);
    desk.users([1, 2]).await;
    desk.tickets(10, 3, 1, "open").await;
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE",
    )
    .await;
    let (one, other) = (key("one", 1, 2), key("other", 1, 2));
    let release = async {
        waiting_for_locks(&desk, 2).await;
        locked.rollback().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(desk.run(&one), desk.run(&other), release);

    let mut endings = [one.unwrap().ending.label(), other.unwrap().ending.label()];
    endings.sort_unstable();
    assert_eq!(endings, ["already_merged", "completed"]);
    let deletions = "SELECT count(*) FROM user_merge.outbox WHERE destination = 'deletion'";
    assert_eq!(desk.number(deletions).await, 1);
    super::assert_each_moved_once(&desk, 3).await;
}
