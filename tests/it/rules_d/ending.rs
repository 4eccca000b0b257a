//! D1: the last transaction checks that nothing of the source is left, marks it as merged, and writes the
//! deletion message.

use user_merge::domain::{IdentityMove, Pair, ProfileChange};
use user_merge::merge::Ending;
use user_merge::store::Error;
use user_merge::store::Pairs;
use user_merge::store::helpdesk::{finish, lock_pair};

use crate::harness::{Desk, Shape, request};

fn pair() -> Pair {
    request(1, 2).pair()
}

/// Everything that a source can leave, as [`finish`] names it.
const LEFTOVERS: [(&str, &str); 5] = [
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
    ("CC", "INSERT INTO helpdesk.ticket_ccs VALUES (1, 30, 1)"),
    (
        "archived CC",
        "INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 40, 1)",
    ),
    (
        "e-mail identity",
        "INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value)
         VALUES (1, 1, 'email', 'e@example.com')",
    ),
];

/// A ticket and an archived one of user 3's.
async fn desk() -> Desk {
    let desk = Desk::open().await;
    desk.users([1, 2, 3]).await;
    desk.tickets(30, 1, 3, "open").await;
    desk.archived_tickets(40, 1, 3).await;
    desk
}

/// What `finish` says of a source to which this happened before. What it did is rolled back, as its caller
/// has to.
async fn finishing(
    desk: &Desk,
    before: &str,
    change: &ProfileChange,
    archived_ccs: bool,
) -> Result<(), Error> {
    desk.execute(before).await;
    let mut tx = desk.pool.begin().await.unwrap();
    lock_pair(&mut tx, pair()).await?;
    let pairs = Pairs::new([pair()]);
    let result = finish(&mut tx, &pairs, std::slice::from_ref(change), archived_ccs).await;
    tx.rollback().await.unwrap();
    result
}

/// D1: whatever is left of the source stops its end: the merge looks again instead of having it deleted with
/// the source. An archived CC is left behind by rule T4, unless the setting moves it.
#[tokio::test]
async fn d1_what_is_left_stops_the_end() {
    for (kind, sql) in LEFTOVERS {
        let desk = desk().await;
        let change = ProfileChange::default();
        let error = finishing(&desk, sql, &change, true).await.unwrap_err();
        assert!(
            matches!(error, Error::Leftover(what) if what == kind),
            "{error}"
        );
        assert!(error.is_worth_another_try());

        let without_setting = finishing(&desk, "SELECT", &change, false).await;
        assert_eq!(without_setting.is_ok(), kind == "archived CC", "{kind}");
    }
}

/// D1: nothing else of the source's is in the way: what the rules P let go of, and what stays by T10.
#[tokio::test]
async fn d1_what_is_let_go_of_is_no_leftover() {
    let desk = desk().await;
    let others = "
        INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value)
        VALUES (1, 1, 'phone', '+41791234567'), (1, 1, 'x', 'someone');
        INSERT INTO helpdesk.community_posts VALUES (1, 1, 1, 'mine');
        INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, assignee_id, subject)
        VALUES (1, 91, 3, 1, 1, 'x')";
    finishing(&desk, others, &ProfileChange::default(), true)
        .await
        .unwrap();
}

/// D1: a row that is not as it was read stops the end too: an address that is somebody else's by now, a user
/// that is a tombstone already.
#[tokio::test]
async fn d1_a_row_that_changed_stops_the_end() {
    let desk = desk().await;
    let id = desk.identity(3, "email", "third@example.com", true).await;
    let change = ProfileChange {
        identities: vec![IdentityMove {
            id,
            is_primary: false,
        }],
        ..ProfileChange::default()
    };
    let error = finishing(&desk, "SELECT", &change, true).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "moved identities: 0 rows touched instead of 1"
    );

    let merged = "UPDATE helpdesk.users SET merged_into = 3 WHERE id = 1";
    let error = finishing(&desk, merged, &ProfileChange::default(), true)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "tombstone: 0 rows touched instead of 1");
    assert!(error.is_passing(), "it is read again");
}

/// D1: a CC that is archived with its ticket, in a transaction that is open when the merge takes its locks:
/// nothing in the help desk's tables makes that wait for the source, so the check is what finds it. The next
/// try moves it.
#[tokio::test]
async fn d1_a_cc_archived_at_the_last_moment_is_found_by_the_check() {
    let mut desk = desk().await;
    desk.settings.merge.move_archived_ccs = true;
    desk.settings.database.lock_timeout = std::time::Duration::from_secs(25);
    desk.cc(30, 1).await;
    let archiving = desk
        .begin_with(
            "DELETE FROM helpdesk.ticket_ccs WHERE ticket_id = 30;
             WITH gone AS (DELETE FROM helpdesk.tickets WHERE id = 30 RETURNING *)
             INSERT INTO helpdesk.archived_tickets SELECT gone.*, now() FROM gone;
             INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 30, 1)",
        )
        .await;
    let merge = desk.start(&request(1, 2));
    desk.merge_waits_for(&archiving).await;
    archiving.commit().await;

    let error = merge.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Leftover("archived CC")), "{error}");
    assert!(error.is_worth_another_try());
    let tombstones = "SELECT count(merged_into) FROM helpdesk.users";
    assert_eq!(desk.number(tombstones).await, 0);

    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    assert_eq!(desk.ccs("archived_ticket_ccs").await, "30:2");
}

/// Tickets 10 to 16, and an address.
async fn fill(desk: &Desk) {
    desk.users([1, 2, 3]).await;
    desk.tickets(10, 7, 1, "open").await;
    desk.identity(1, "email", "first@example.com", true).await;
}

/// D1: the source is marked, and all that follows is written, by one transaction: the one that also moved its
/// addresses. The row itself stays, as a tombstone.
#[tokio::test]
async fn d1_one_transaction_writes_profile_tombstone_outcome_and_deletion() {
    for shape in Shape::BOTH {
        let desk = shape.desk().await;
        fill(&desk).await;
        let kept = "SELECT (to_jsonb(u) - '{merged_into,merged_at,updated_at}'::text[])::text
                    FROM helpdesk.users u WHERE id = 1";
        let before = desk.list(kept).await;

        let merge = desk.run(&request(1, 2)).await.unwrap().merge;

        let transactions = "SELECT count(DISTINCT x) FROM (
            SELECT xmin::text FROM helpdesk.users WHERE id IN (1, 2)
            UNION ALL SELECT xmin::text FROM helpdesk.user_identities
            UNION ALL SELECT xmin::text FROM user_merge.merges
            UNION ALL SELECT xmin::text FROM user_merge.outbox) t (x)";
        assert_eq!(desk.number(transactions).await, 1, "{shape:?}");
        let tombstone = format!(
            "SELECT count(*) FROM helpdesk.users u
             JOIN user_merge.merges m ON m.id = '{merge}'
             JOIN user_merge.outbox o ON o.merge_id = m.id AND o.destination = 'deletion'
             WHERE u.account_id = 1 AND u.id = 1 AND u.merged_into = 2 AND u.merged_at = m.completed_at
               AND (o.body::jsonb ->> 'merged_at')::timestamptz = u.merged_at"
        );
        assert_eq!(desk.number(&tombstone).await, 1, "{shape:?}");
        assert_eq!(desk.list(kept).await, before, "{shape:?}");
        shape.assert_was_used(&desk).await;
    }
}

/// D1: if any of these writes fails, none of them is there; the next try does all.
#[tokio::test]
async fn d1_if_one_of_the_last_writes_fails_none_is_done() {
    let places = [
        ("helpdesk.users", "UPDATE", "NEW.merged_into IS NOT NULL"),
        ("helpdesk.user_identities", "UPDATE", "NEW.user_id = 2"),
        (
            "user_merge.merges",
            "INSERT OR UPDATE",
            "NEW.state = 'completed'",
        ),
        (
            "user_merge.outbox",
            "INSERT",
            "NEW.destination = 'deletion'",
        ),
        ("user_merge.outbox", "INSERT", "NEW.destination = 'event'"),
    ];
    for (shape, (table, when, row)) in Shape::BOTH.into_iter().flat_map(|s| places.map(|p| (s, p)))
    {
        let what = format!("{shape:?}, {table}, {row}");
        let desk = shape.desk().await;
        fill(&desk).await;
        desk.execute(&format!(
            "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no'; END $$;
             CREATE TRIGGER broken BEFORE {when} ON {table} FOR EACH ROW WHEN ({row})
             EXECUTE FUNCTION raise()"
        ))
        .await;

        desk.run(&request(1, 2)).await.unwrap_err();
        let done = "SELECT (SELECT count(merged_into) FROM helpdesk.users)
                         + (SELECT count(*) FROM helpdesk.user_identities WHERE user_id = 2)
                         + (SELECT count(*) FROM user_merge.merges WHERE state <> 'running')
                         + (SELECT count(*) FROM user_merge.outbox)";
        assert_eq!(desk.number(done).await, 0, "{what}");

        desk.execute(&format!("DROP TRIGGER broken ON {table}"))
            .await;
        let report = desk.run(&request(1, 2)).await.unwrap();
        assert_eq!(report.ending, Ending::Completed, "{what}");
        let all = desk.number(done).await;
        assert_eq!(
            all, 5,
            "{what}: tombstone, address, merge, event and deletion"
        );
        shape.assert_was_used(&desk).await;
    }
}
