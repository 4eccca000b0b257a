//! What holds, and is said to hold.

use user_merge::store::verify::{accounts_after, snapshot};
use user_merge::verify::Plan;

use super::lived_in::lived_in;
use crate::harness::{Desk, Shape, found, request};

#[tokio::test]
async fn nothing_is_said_of_a_help_desk_after_merges_of_every_kind() {
    let desk = lived_in().await;
    let report = desk.verify().await;
    assert_eq!(found(&report), []);
    assert!(report.holds());
    assert_eq!((report.accounts, report.in_motion), (2, 0), "1 and 77");
    let rows = "SELECT count(*) FROM user_merge.merges";
    assert_eq!(
        i64::try_from(report.merges).unwrap(),
        desk.number(rows).await
    );
    let idle: Vec<_> = report.checks.iter().filter(|t| t.checked == 0).collect();
    assert!(idle.is_empty(), "never looked at: {idle:?}");
}

#[tokio::test]
async fn batches_of_one_see_the_same_as_large_ones() {
    let desk = lived_in().await;
    desk.execute(
        "DELETE FROM helpdesk.ticket_events WHERE ticket_id IN (10, 104) AND field = 'requester_id' AND account_id = 1;
         INSERT INTO helpdesk.ticket_events (account_id, ticket_id, field, old_value, new_value, via, merge_id,
             suppress_triggers, created_at)
         SELECT account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers, created_at
         FROM helpdesk.ticket_events WHERE ticket_id = 30 AND account_id = 1;
         UPDATE helpdesk.tickets SET requester_id = 1 WHERE id IN (40, 41) AND account_id = 1;
         DELETE FROM user_merge.outbox WHERE destination = 'deletion' AND message_id IN ('user-deletion:1:7')",
    )
    .await;
    let of_size = |batch| Plan {
        batch,
        ..desk.plan()
    };
    let large = desk.verify_as(&of_size(1_000)).await;
    assert_eq!(large.violations(), 5, "{large:?}");
    for batch in [1, 2, 7] {
        let small = desk.verify_as(&of_size(batch)).await;
        let (small, large) = (
            serde_json::to_value(small).unwrap(),
            serde_json::to_value(&large).unwrap(),
        );
        assert_eq!(small, large, "{batch}");
    }
}

#[tokio::test]
async fn an_empty_help_desk_holds() {
    let desk = Desk::open().await;
    let report = desk.verify().await;
    assert!(report.holds());
    assert_eq!((report.accounts, report.merges), (0, 0));
}

/// A merge halfway, after each of its chunks: nothing is wrong with it.
#[tokio::test]
async fn a_merge_between_two_chunks_holds() {
    let desk = Shape::Chunks.desk().await;
    desk.users([1, 2]).await;
    desk.tickets(10, 10, 1, "open").await;
    for _ in 0..5 {
        desk.run_one_chunk(&request(1, 2)).await.unwrap();
        desk.assert_verified().await;
    }
    desk.run(&request(1, 2)).await.unwrap();
    desk.assert_verified().await;
}

/// A batch sees one moment, and can't write.
#[tokio::test]
async fn a_batch_is_a_snapshot_that_refuses_to_write() {
    let desk = Desk::open().await;
    let pool = user_merge::app::pool(&desk.settings).unwrap();
    let mut batch = snapshot(&pool).await.unwrap();
    assert!(
        accounts_after(&mut batch, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    desk.users([1, 2]).await;
    desk.run(&request(1, 2)).await.unwrap();
    let seen = accounts_after(&mut batch, None, 10).await.unwrap();
    assert!(seen.is_empty(), "a later commit is seen");
    let refused = sqlx::query("UPDATE user_merge.merges SET late = 1")
        .execute(&mut *batch)
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().unwrap(),
        "25006"
    );
}
