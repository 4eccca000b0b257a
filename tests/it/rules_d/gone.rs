//! D1 where nothing holds the source's row: tables without foreign keys, as behind views, and somebody deletes the
//! source in the middle of its merge.

use user_merge::merge::{Ending, Report};
use user_merge::store::{self, Error};

use crate::harness::{Desk, request};

const HOLDERS: [&str; 6] = [
    "tickets",
    "archived_tickets",
    "ticket_ccs",
    "archived_ticket_ccs",
    "user_identities",
    "users",
];

/// A merge of which one chunk is done, and whose source is gone.
async fn half_a_merge(archived_ccs: bool) -> Desk {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.settings.merge.move_archived_ccs = archived_ccs;
    desk.settings.retry.immediate = 1;
    for table in HOLDERS {
        let keys = desk
            .list(&format!(
                "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'helpdesk.{table}'::regclass
                 AND confrelid = 'helpdesk.users'::regclass"
            ))
            .await;
        for key in keys {
            desk.execute(&format!(
                "ALTER TABLE helpdesk.{table} DROP CONSTRAINT {key}"
            ))
            .await;
        }
    }
    desk.users([1, 2, 3, 4]).await;
    desk.execute("UPDATE helpdesk.users SET merged_into = 1, merged_at = now() WHERE id = 4")
        .await;
    desk.tickets(1, 12, 1, "open").await;
    desk.archived_tickets(50, 1, 3).await;
    let half = desk.run_one_chunk(&request(1, 2)).await.unwrap();
    assert_eq!(half.ending, Ending::SliceOver);
    desk.execute("DELETE FROM helpdesk.users WHERE id = 1")
        .await;
    desk
}

/// Runs the rest, while `meanwhile` happens after the last chunk and before the last transaction.
async fn the_rest(desk: &Desk, meanwhile: &str) -> store::Result<Report> {
    // The tickets are looked at until there are none, and the CCs after them: it comes with the chunk that moves the
    // only CC.
    desk.tickets(60, 1, 3, "open").await;
    desk.cc(60, 1).await;
    desk.execute(&format!(
        "CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {meanwhile}; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER meanwhile AFTER UPDATE ON user_merge.merges DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW WHEN (NEW.ccs_moved = 1 AND OLD.ccs_moved = 0) EXECUTE FUNCTION meanwhile()"
    ))
    .await;
    desk.run(&request(1, 2)).await
}

/// D1: whatever still names the source keeps its merge from being called complete; the next try moves it.
#[tokio::test]
async fn d1_a_source_that_is_gone_has_nothing_left_either() {
    let leftovers = [
        // Tickets and CCs are drained in order; what comes to one that is drained is found at the end.
        (
            "ticket",
            "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
             VALUES (1, 90, 1, 1, 'x')",
        ),
        (
            "archived ticket",
            "INSERT INTO helpdesk.archived_tickets
                 (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
             VALUES (1, 90, 1, 1, 'closed', 'x', now(), now())",
        ),
        ("CC", "INSERT INTO helpdesk.ticket_ccs VALUES (1, 1, 1)"),
        (
            "archived CC",
            "INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 50, 1)",
        ),
    ];
    for (kind, sql) in leftovers {
        let desk = half_a_merge(true).await;
        desk.execute("UPDATE helpdesk.tickets SET requester_id = 3 WHERE requester_id = 1")
            .await;
        let mut tx = desk.pool.begin().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut *tx)
            .await
            .unwrap();
        let pair = request(1, 2).pair();
        let left = store::helpdesk::finish_without_source(&mut tx, pair, true).await;
        assert!(
            matches!(left, Err(Error::Leftover(what)) if what == kind),
            "{kind}: {left:?}"
        );
        tx.commit().await.unwrap();

        let report = desk.run(&request(1, 2)).await.unwrap();
        assert_eq!(report.ending, Ending::Completed, "{kind}");
        let left = "SELECT (SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 1)
                         + (SELECT count(*) FROM helpdesk.archived_tickets WHERE requester_id = 1)
                         + (SELECT count(*) FROM helpdesk.ticket_ccs WHERE user_id = 1)
                         + (SELECT count(*) FROM helpdesk.archived_ticket_ccs WHERE user_id = 1)";
        assert_eq!(desk.number(left).await, 0, "{kind}");
    }
}

/// D1, R4: something that comes to the source after its last chunk: the merge isn't complete with it.
#[tokio::test]
async fn d1_what_comes_to_a_source_that_is_gone_stops_the_end() {
    let desk = half_a_merge(false).await;
    // Locked against nothing, since there is no row to lock: it comes between the drain and the end.
    let late = "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
                VALUES (1, 90, 1, 1, 'x')";
    let error = the_rest(&desk, late).await.unwrap_err();
    assert!(matches!(error, Error::Leftover("ticket")), "{error}");
    assert!(error.is_worth_another_try());
    assert_eq!(
        desk.text("SELECT state FROM user_merge.merges")
            .await
            .as_deref(),
        Some("running")
    );

    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    let moved = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2";
    assert_eq!(desk.number(moved).await, 13);
    assert_eq!(desk.number("SELECT live FROM user_merge.merges").await, 13);
}

/// D1, P4, D3: its addresses go on to the target, and whoever was merged into it before points there.
#[tokio::test]
async fn d1_the_addresses_of_a_source_that_is_gone_are_moved() {
    let desk = half_a_merge(false).await;
    let id = desk.identity(1, "email", "one@example.com", true).await;
    desk.identity(1, "x", "someone", true).await;

    let report = desk.run(&request(1, 2)).await.unwrap();

    assert_eq!(report.ending, Ending::Completed);
    let emails = desk
        .list("SELECT id || ':' || user_id || ':' || is_primary FROM helpdesk.user_identities WHERE kind = 'email'")
        .await;
    assert_eq!(emails, [format!("{id}:2:false")]);
    let event = "SELECT (outcome -> 'profile' ->> 'emails_added')::bigint FROM user_merge.merges";
    assert_eq!(desk.number(event).await, 1);
    let follower = "SELECT merged_into FROM helpdesk.users WHERE id = 4";
    assert_eq!(desk.number(follower).await, 2);
}
