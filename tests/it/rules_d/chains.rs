//! D3: users that were merged earlier follow; a look-up of an old id is one hop.

use user_merge::domain::Reason;
use user_merge::merge::Ending;

use crate::harness::{Desk, Shape, request};

async fn canonical(desk: &Desk, account: i64, user: i64) -> Option<i64> {
    sqlx::query_scalar("SELECT user_merge.canonical_user($1, $2)")
        .bind(account)
        .bind(user)
        .fetch_one(&desk.pool)
        .await
        .unwrap()
}

async fn all(desk: &Desk, users: impl IntoIterator<Item = i64>) -> Vec<Option<i64>> {
    let mut today = Vec::new();
    for user in users {
        today.push(canonical(desk, 1, user).await);
    }
    today
}

async fn merge(desk: &Desk, source: i64, target: i64) {
    let report = desk.run(&request(source, target)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
}

/// What the deletion pipeline does in the end.
async fn delete(desk: &Desk, user: i64) {
    let sql = format!("DELETE FROM helpdesk.users WHERE account_id = 1 AND id = {user}");
    desk.execute(&sql).await;
}

/// D3: whoever was merged into the source before points to the target now, and only those.
#[tokio::test]
async fn d3_earlier_merged_users_point_to_the_new_target() {
    for shape in Shape::BOTH {
        let desk = shape.desk().await;
        desk.users(1..=7).await;
        for user in 1..=7 {
            desk.tickets(user * 10, 5, user, "open").await;
        }
        desk.copy_account(2).await;
        let other_account = desk.account_rows(2).await;

        // 1 and 2 into 3, 3 into 4; 5 into 6 has nothing to do with it.
        for (source, target) in [(1, 3), (2, 3), (5, 6), (3, 4)] {
            merge(&desk, source, target).await;
        }

        let pointers = desk
            .text(
                "SELECT string_agg(id || '>' || merged_into, ' ' ORDER BY id)
                 FROM helpdesk.users WHERE account_id = 1 AND merged_into IS NOT NULL",
            )
            .await;
        assert_eq!(pointers.unwrap(), "1>4 2>4 3>4 5>6", "one hop each");
        let expected = [4, 4, 4, 4, 6, 6, 7].map(Some);
        assert_eq!(all(&desk, 1..=7).await, expected, "merged and live users");
        assert_eq!(canonical(&desk, 1, 99).await, None, "nobody knows it");
        assert_eq!(canonical(&desk, 2, 1).await, Some(1), "of another account");
        assert_eq!(canonical(&desk, 3, 1).await, None, "no such account");
        let requesters = desk.requesters("tickets").await;
        assert_eq!(
            requesters.matches(":4").count(),
            20,
            "the tickets went along"
        );
        assert_eq!(desk.account_rows(2).await, other_account);
        shape.assert_was_used(&desk).await;
    }
}

/// D3: a follower keeps the time of its own merge, and its recorded outcome.
#[tokio::test]
async fn d3_a_follower_keeps_when_it_was_merged() {
    let desk = Desk::open().await;
    desk.users([1, 2, 3]).await;
    merge(&desk, 1, 2).await;
    let merged_at = "SELECT merged_at::text FROM helpdesk.users WHERE id = 1";
    let first = desk.text(merged_at).await;

    merge(&desk, 2, 3).await;

    assert!(first.is_some());
    assert_eq!(desk.text(merged_at).await, first);
    let again = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(again.ending, Ending::Repeated);
}

/// D3: where rows of tombstones have been deleted, the recorded merges lead on, over any number of gaps; a
/// target that is gone without having been merged is nobody.
#[tokio::test]
async fn d3_the_record_leads_on_when_tombstones_are_deleted() {
    let desk = Desk::open().await;
    desk.users(1..=6).await;
    merge(&desk, 1, 2).await;
    merge(&desk, 2, 3).await;
    delete(&desk, 1).await;
    assert_eq!(all(&desk, 1..=3).await, [Some(3); 3], "by a tombstone");
    delete(&desk, 2).await;
    assert_eq!(all(&desk, 1..=3).await, [Some(3); 3], "by the record alone");

    merge(&desk, 3, 4).await;
    merge(&desk, 4, 5).await;
    delete(&desk, 3).await;
    delete(&desk, 4).await;
    assert_eq!(all(&desk, 1..=5).await, [Some(5); 5]);

    delete(&desk, 5).await;
    assert_eq!(all(&desk, 1..=5).await, [None; 5]);
    assert_eq!(canonical(&desk, 1, 6).await, Some(6));
}

/// D3: a refused merge leads nowhere, whether the source is there or gone.
#[tokio::test]
async fn d3_a_refused_merge_leads_nowhere() {
    let desk = Desk::open().await;
    desk.users([1, 2, 3]).await;
    merge(&desk, 2, 3).await;
    let refused = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(refused.ending, Ending::Rejected(Reason::TargetMerged));
    assert_eq!(canonical(&desk, 1, 1).await, Some(1));
    delete(&desk, 1).await;
    assert_eq!(canonical(&desk, 1, 1).await, None);
}
