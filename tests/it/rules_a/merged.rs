//! A3 and A4: users that are merged already.

use user_merge::domain::Reason;
use user_merge::merge::Ending;

use super::{assert_rejected, event};
use crate::harness::{Desk, key, request};

/// 1 was merged into 2, and 2 into 3 later.
async fn chain() -> Desk {
    let desk = Desk::open().await;
    desk.users(1..=6).await;
    desk.tickets(10, 2, 1, "open").await;
    for (source, target) in [(1, 2), (2, 3)] {
        let report = desk.run(&request(source, target)).await.unwrap();
        assert_eq!(report.ending, Ending::Completed);
    }
    desk
}

/// The deletion pipeline has removed a merged user.
async fn remove(desk: &Desk, user: i64) {
    desk.execute(&format!("DELETE FROM helpdesk.users WHERE id = {user}"))
        .await;
}

/// A3: merged into this same target: a success, the recorded outcome is repeated, nothing is done.
#[tokio::test]
async fn a3_merged_into_the_same_target_is_a_success() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.tickets(10, 2, 1, "open").await;
    let first = desk.run(&request(1, 2)).await.unwrap();

    let again = desk.run(&key("again", 1, 2)).await.unwrap();

    assert_eq!(again.ending, Ending::AlreadyMerged);
    let (first, again) = (event(&first), event(&again));
    assert_eq!(again["already_merged"], true);
    assert_eq!(again["idempotency_key"], "again");
    for same in ["merge_id", "tickets", "completed_at", "type"] {
        assert_eq!(again[same], first[same], "{same}");
    }
    let deletions = "SELECT count(*) FROM user_merge.outbox WHERE destination = 'deletion'";
    assert_eq!(desk.number(deletions).await, 1);
}

/// A3: merged into another: rejected, with who the source is today, also after its target was merged on.
#[tokio::test]
async fn a3_merged_elsewhere_names_who_it_is_today() {
    let desk = chain().await;
    let report = desk.run(&request(1, 4)).await.unwrap();
    assert_rejected(&report, Reason::SourceMergedElsewhere, Some(3));
    // Both the pair that was asked for and the one that it has become are merged.
    for target in [2, 3] {
        let report = desk
            .run(&key(&format!("again-{target}"), 1, target))
            .await
            .unwrap();
        assert_eq!(report.ending, Ending::AlreadyMerged, "into {target}");
        assert_eq!(event(&report)["tickets"]["live"], 2, "into {target}");
    }
}

/// A3: the same answers once the deletion pipeline has removed the source's row, and the next one's.
#[tokio::test]
async fn a3_the_record_answers_when_the_rows_are_gone() {
    let desk = chain().await;
    for gone in [1, 2] {
        remove(&desk, gone).await;
        let report = desk
            .run(&key(&format!("elsewhere-{gone}"), 1, 4))
            .await
            .unwrap();
        assert_rejected(&report, Reason::SourceMergedElsewhere, Some(3));
        for target in [2, 3] {
            let key = key(&format!("{gone}-gone-into-{target}"), 1, target);
            let report = desk.run(&key).await.unwrap();
            assert_eq!(
                report.ending,
                Ending::AlreadyMerged,
                "into {target}, {gone} is gone"
            );
        }
    }
}

/// A3: somebody else merged it, in several hops that nobody has shortened.
#[tokio::test]
async fn a3_a_chain_that_others_made_is_followed_to_its_end() {
    let desk = Desk::open().await;
    desk.users(1..=4).await;
    desk.execute("UPDATE helpdesk.users SET merged_into = id + 1, merged_at = now() WHERE id < 3")
        .await;
    let report = desk.run(&request(1, 4)).await.unwrap();
    assert_rejected(&report, Reason::SourceMergedElsewhere, Some(3));
    let report = desk.run(&request(4, 1)).await.unwrap();
    assert_rejected(&report, Reason::TargetMerged, Some(3));
}

/// A4: a merged target is not followed; who it is today is in the answer.
#[tokio::test]
async fn a4_a_merged_target_is_refused_with_who_it_is_today() {
    let desk = chain().await;
    for target in [1, 2] {
        let report = desk.run(&request(5, target)).await.unwrap();
        assert_rejected(&report, Reason::TargetMerged, Some(3));
    }
    let merged = "SELECT count(*) FROM helpdesk.users WHERE id = 5 AND merged_into IS NOT NULL";
    assert_eq!(desk.number(merged).await, 0);
    // Who was merged elsewhere is told so first.
    let report = desk.run(&key("both", 1, 5)).await.unwrap();
    assert_rejected(&report, Reason::SourceMergedElsewhere, Some(3));
}
