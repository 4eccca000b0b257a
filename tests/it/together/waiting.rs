//! Somebody else is at work on one pair's rows. The batch doesn't wait for it, and does all others.

use std::time::Duration;

use super::{all_traces, assert_all_end_well, assert_third_stands_apart, four_pairs};
use crate::harness::Desk;

/// Acts on the rows of the third pair, users 12 and 22; 90's ticket 9002 has a CC of 12.
const ACTS: [(&str, &str); 18] = [
    (
        "the source is looked at",
        "SELECT FROM helpdesk.users WHERE account_id = 1 AND id = 12 FOR UPDATE",
    ),
    (
        "the target is looked at",
        "SELECT FROM helpdesk.users WHERE account_id = 1 AND id = 22 FOR UPDATE",
    ),
    (
        "the source's profile is changed",
        "UPDATE helpdesk.users SET notes = 'x' WHERE account_id = 1 AND id = 12",
    ),
    (
        "the source opens a ticket",
        "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
         VALUES (1, 1290, 12, 12, 'x')",
    ),
    (
        "the source gets an address",
        "INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value) VALUES (1, 12, 'email', 'x@y.z')",
    ),
    (
        "a ticket is worked on",
        "UPDATE helpdesk.tickets SET status = 'pending' WHERE account_id = 1 AND id = 1201",
    ),
    (
        "a ticket is moved away",
        "UPDATE helpdesk.tickets SET requester_id = 90 WHERE account_id = 1 AND id = 1201",
    ),
    (
        "a closed ticket is deleted",
        "DELETE FROM helpdesk.tickets WHERE account_id = 1 AND id = 1210",
    ),
    (
        "an archived ticket is locked",
        "SELECT FROM helpdesk.archived_tickets WHERE account_id = 1 AND id = 1221 FOR UPDATE",
    ),
    (
        "an archived ticket is moved away",
        "UPDATE helpdesk.archived_tickets SET requester_id = 90 WHERE account_id = 1 AND id = 1220",
    ),
    (
        "the target is copied on a ticket of the source's",
        "INSERT INTO helpdesk.ticket_ccs VALUES (1, 1201, 22)",
    ),
    (
        "somebody else is copied there",
        "INSERT INTO helpdesk.ticket_ccs VALUES (1, 1201, 90)",
    ),
    (
        "the target is no longer copied there",
        "DELETE FROM helpdesk.ticket_ccs WHERE account_id = 1 AND ticket_id = 1200 AND user_id = 22",
    ),
    (
        "the ticket that the source is copied on is worked on",
        "UPDATE helpdesk.tickets SET status = 'pending' WHERE account_id = 1 AND id = 9002",
    ),
    (
        "the source is no longer copied there",
        "DELETE FROM helpdesk.ticket_ccs WHERE account_id = 1 AND ticket_id = 9002 AND user_id = 12",
    ),
    (
        "the target is copied there too",
        "INSERT INTO helpdesk.ticket_ccs VALUES (1, 9002, 22)",
    ),
    (
        "the source's address is verified",
        "UPDATE helpdesk.user_identities SET verified = true WHERE account_id = 1 AND user_id = 12",
    ),
    (
        "the target becomes a member",
        "INSERT INTO helpdesk.organization_memberships VALUES (1, 22, 5, true)",
    ),
];

/// So many of them lock a user or one of the source's tickets, and are passed over; the others are waited for, a
/// moment.
const PASSED_OVER: usize = 12;

/// T5, T7, T9: what somebody has in hand is left for the pair's own turn, which waits for it; the batch is over
/// before that somebody is, and nothing of the pair was written. Whatever was done meanwhile is then respected.
#[tokio::test]
async fn a_batch_does_not_wait_for_one_pairs_rows() {
    let mut full = Desk::open().await;
    // Whoever waits waits for as long as this test has patience.
    full.settings.database.lock_timeout = Duration::from_mins(10);
    full.settings.database.statement_timeout = Duration::from_mins(10);
    let requests = four_pairs(&full).await;
    for (n, (what, sql)) in ACTS.into_iter().enumerate() {
        println!("{what}");
        let desk = full.copy().await;
        let before = all_traces(&desk, &requests).await;
        let writer = desk.begin_with(sql).await;
        let merger = desk.merger();
        let batch = desk.run_together_with(&merger, &requests);
        let reports = tokio::time::timeout(Duration::from_mins(1), batch).await;
        let reports = reports.unwrap_or_else(|_| panic!("the batch waits while {what}"));
        assert_third_stands_apart(&desk, &requests, &before, &reports).await;
        // Who is passed over doesn't even take a neighbour along.
        assert!(reports[3].is_some() || n >= PASSED_OVER, "{what}");
        writer.commit().await;
        assert_all_end_well(&desk, &requests).await;
        if what.ends_with("moved away") {
            let kept = "SELECT count(*) FROM (
                SELECT id, requester_id FROM helpdesk.tickets
                UNION ALL SELECT id, requester_id FROM helpdesk.archived_tickets) t
                WHERE id IN (1201, 1220) AND requester_id = 90";
            assert_eq!(desk.number(kept).await, 1, "{what}");
        }
    }
}

/// T4: the same of CCs on archived tickets, where they move.
#[tokio::test]
async fn a_batch_does_not_wait_for_archived_ccs() {
    let mut full = Desk::open().await;
    full.settings.database.lock_timeout = Duration::from_mins(10);
    full.settings.database.statement_timeout = Duration::from_mins(10);
    full.settings.merge.move_archived_ccs = true;
    let requests = four_pairs(&full).await;
    full.execute("INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 9102, 12), (1, 1220, 22)")
        .await;
    for sql in [
        "DELETE FROM helpdesk.archived_ticket_ccs WHERE account_id = 1 AND user_id = 12",
        "DELETE FROM helpdesk.archived_ticket_ccs WHERE account_id = 1 AND ticket_id = 1220",
        "INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 9102, 22)",
        "SELECT FROM helpdesk.archived_tickets WHERE account_id = 1 AND id = 9102 FOR UPDATE",
    ] {
        let desk = full.copy().await;
        let before = all_traces(&desk, &requests).await;
        let writer = desk.begin_with(sql).await;
        let merger = desk.merger();
        let batch = desk.run_together_with(&merger, &requests);
        let reports = tokio::time::timeout(Duration::from_mins(1), batch).await;
        let reports = reports.expect("the batch waits");
        assert_third_stands_apart(&desk, &requests, &before, &reports).await;
        writer.commit().await;
        assert_all_end_well(&desk, &requests).await;
    }
}
