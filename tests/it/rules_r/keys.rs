//! R1 and R2: what one key stands for.

use user_merge::domain::Reason;
use user_merge::merge::{Ending, Report};
use user_merge::store::outbox::Promised;

use super::{open_transaction, waiting_for_locks};
use crate::harness::{Desk, key, request};

fn event(report: &Report) -> &Promised {
    let mut events = report
        .promised
        .iter()
        .filter(|message| message.draft.routing_key.starts_with("merge."));
    events.next().expect("no event is promised")
}

/// The row of a key as it stands, all columns.
async fn row(desk: &Desk) -> Option<String> {
    desk.text("SELECT string_agg(m::text, E'\\n') FROM user_merge.merges m")
        .await
}

/// R1: same key, same request: the recorded outcome is repeated, nothing is done twice.
#[tokio::test]
async fn r1_a_repeated_request_gets_the_recorded_outcome() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.tickets(10, 3, 1, "open").await;

    let first = desk.run(&request(1, 2)).await.unwrap();
    let before = row(&desk).await;
    let again = desk.run(&request(1, 2)).await.unwrap();

    assert_eq!(
        (first.ending, again.ending),
        (Ending::Completed, Ending::Repeated)
    );
    assert_eq!(again.merge, first.merge);
    assert_eq!(again.promised.len(), 1, "no second deletion message");
    assert_eq!(event(&again).draft, event(&first).draft);
    assert_eq!(row(&desk).await, before);
    super::assert_each_moved_once(&desk, 3).await;
}

/// R1: a rejection too, even where the two could be merged by now.
#[tokio::test]
async fn r1_a_repeated_request_gets_the_recorded_rejection() {
    let desk = Desk::open().await;
    desk.users([2]).await;
    let first = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(first.ending, Ending::Rejected(Reason::SourceNotFound));
    desk.users([1]).await;

    let before = row(&desk).await;
    let again = desk.run(&request(1, 2)).await.unwrap();

    assert_eq!(again.ending, Ending::Repeated);
    assert_eq!(event(&again).draft, event(&first).draft);
    assert_eq!(row(&desk).await, before);
    let merged = "SELECT count(*) FROM helpdesk.users WHERE merged_into IS NOT NULL";
    assert_eq!(desk.number(merged).await, 0);
}

/// R1: delivered twice and taken up at the same moment: one does it, the other repeats.
#[tokio::test]
async fn r1_two_deliveries_at_once_are_one_merge() {
    let mut desk = Desk::open().await;
    desk.settings.database.lock_timeout = std::time::Duration::from_secs(30);
    desk.users([1, 2]).await;
    desk.tickets(10, 3, 1, "open").await;
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE",
    )
    .await;
    let merge = request(1, 2);
    let release = async {
        waiting_for_locks(&desk, 2).await;
        locked.rollback().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(desk.run(&merge), desk.run(&merge), release);
    let (one, other) = (one.unwrap(), other.unwrap());

    let mut endings = [one.ending.label(), other.ending.label()];
    endings.sort_unstable();
    assert_eq!(endings, ["completed", "repeated"]);
    assert_eq!(event(&one).draft, event(&other).draft);
    assert_eq!(one.merge, other.merge);
    let deletions = "SELECT count(*) FROM user_merge.outbox WHERE destination = 'deletion'";
    assert_eq!(desk.number(deletions).await, 1);
    super::assert_each_moved_once(&desk, 3).await;
}

/// R1: where neither user exists there is no row to lock; the key itself decides.
#[tokio::test]
async fn r1_two_rejections_at_once_are_one_row() {
    let mut desk = Desk::open().await;
    desk.settings.database.lock_timeout = std::time::Duration::from_secs(30);
    // Whoever looks has seen nothing recorded before either of them writes.
    let locked = open_transaction(
        &desk.pool,
        "LOCK TABLE user_merge.outbox IN ACCESS EXCLUSIVE MODE",
    )
    .await;
    let merge = request(1, 2);
    let release = async {
        waiting_for_locks(&desk, 2).await;
        locked.rollback().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(desk.run(&merge), desk.run(&merge), release);

    let (done, lost): (Vec<_>, Vec<_>) = [one, other].into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), lost.len()), (1, 1));
    let error = lost.into_iter().next().unwrap().unwrap_err();
    assert!(error.is_worth_another_try(), "{error}");
    let again = desk.run(&merge).await.unwrap();
    assert_eq!(again.ending, Ending::Repeated);
    assert_eq!(
        desk.number("SELECT count(*) FROM user_merge.merges").await,
        1
    );
}

/// R2: same key, other request: rejected, and the first is untouched, wherever it stands.
#[tokio::test]
async fn r2_a_reused_key_is_rejected_and_the_first_untouched() {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.users(1..=4).await;
    desk.tickets(10, 25, 1, "open").await;
    let refuse = async |source: i64, target: i64| {
        let before = row(&desk).await;
        let report = desk.run(&key("the key", source, target)).await.unwrap();
        assert_eq!(
            report.ending,
            Ending::Rejected(Reason::IdempotencyKeyReused)
        );
        assert_eq!(row(&desk).await, before, "{source} into {target}");
        event(&report).clone()
    };

    let report = desk.run_one_chunk(&key("the key", 1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::SliceOver);
    refuse(3, 4).await;
    desk.execute("UPDATE user_merge.merges SET state = 'failed'")
        .await;
    refuse(1, 3).await;
    let report = desk.run(&key("the key", 1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    let refused = refuse(3, 2).await;
    refuse(2, 1).await;
    refuse(9, 9).await;

    // A redelivery of the refused one is the same message, so that consumers can tell a repeat.
    let again = refuse(3, 2).await;
    assert_eq!(again.draft.message_id, refused.draft.message_id);
    assert_ne!(
        refused.draft.message_id,
        refuse(3, 4).await.draft.message_id
    );
    // Another account's keys are its own.
    desk.account(2, &["password"], false).await;
    let mut elsewhere = key("the key", 3, 4);
    elsewhere.account_id = 2.try_into().unwrap();
    let report = desk.run(&elsewhere).await.unwrap();
    assert_eq!(report.ending, Ending::Rejected(Reason::SourceNotFound));
}
