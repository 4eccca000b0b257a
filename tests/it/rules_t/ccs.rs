//! T4 and T5: CCs, and every way in which they collide.

use super::{assert_counts_match_the_log, people};
use crate::harness::{Desk, Shape, request};

/// What becomes of a ticket. User 1 is merged into user 2; 3 and 4 have nothing to do with it.
struct Case {
    what: &'static str,
    requester: i64,
    ccs: &'static [i64],
    then: i64,
    then_ccs: &'static [i64],
    /// CC entries in the log.
    log: &'static [&'static str],
}

const fn case(
    what: &'static str,
    (requester, ccs): (i64, &'static [i64]),
    (then, then_ccs): (i64, &'static [i64]),
    log: &'static [&'static str],
) -> Case {
    Case {
        what,
        requester,
        ccs,
        then,
        then_ccs,
        log,
    }
}

const CASES: [Case; 13] = [
    case("source copied", (4, &[1]), (4, &[2]), &["1>2"]),
    case(
        "source and a third copied",
        (4, &[1, 3]),
        (4, &[2, 3]),
        &["1>2"],
    ),
    case("target copied already", (4, &[1, 2]), (4, &[2]), &["1>"]),
    case("target requests", (2, &[1]), (2, &[]), &["1>"]),
    case(
        "target requests and is copied",
        (2, &[1, 2]),
        (2, &[2]),
        &["1>"],
    ),
    case(
        "source requests, target copied",
        (1, &[2]),
        (2, &[]),
        &["2>"],
    ),
    case(
        "source requests and is copied",
        (1, &[1]),
        (2, &[]),
        &["1>"],
    ),
    case("all at once", (1, &[1, 2, 3]), (2, &[3]), &["1>", "2>"]),
    case("source requests, a third copied", (1, &[3]), (2, &[3]), &[]),
    case("source requests", (1, &[]), (2, &[]), &[]),
    case("others only", (4, &[3]), (4, &[3]), &[]),
    case("target copied", (4, &[2]), (4, &[2]), &[]),
    case("target both by itself", (2, &[2]), (2, &[2]), &[]),
];

/// The same cases as tickets that are live (from 100), closed (from 200) and archived (from 300).
const KINDS: [(i64, &str, &str, &str); 3] = [
    (100, "tickets", "ticket_ccs", "open"),
    (200, "tickets", "ticket_ccs", "closed"),
    (300, "archived_tickets", "archived_ticket_ccs", "closed"),
];

async fn fill(desk: &Desk) {
    people(desk).await;
    for (base, table, cc_table, status) in KINDS {
        for (id, case) in (base..).zip(&CASES) {
            desk.execute(&format!(
                "INSERT INTO helpdesk.{table}
                     (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
                 VALUES (1, {id}, {}, 3, '{status}', 'subject', now(), now())",
                case.requester
            ))
            .await;
            for user in case.ccs {
                desk.execute(&format!(
                    "INSERT INTO helpdesk.{cc_table} VALUES (1, {id}, {user})"
                ))
                .await;
            }
        }
    }
    desk.copy_account(2).await;
}

async fn ccs_of(desk: &Desk, table: &str, ticket: i64) -> String {
    let sql = format!(
        "SELECT coalesce(string_agg(user_id::text, ',' ORDER BY user_id), '')
         FROM helpdesk.{table} WHERE account_id = 1 AND ticket_id = {ticket}"
    );
    desk.text(&sql).await.unwrap()
}

fn joined(users: &[i64]) -> String {
    users
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// T4: CCs move on tickets that are not archived, closed ones included; archived ones stay unless the setting
/// moves them. T5: each collision as the rule decides it, row by row, logged like T2; rows of other users and
/// of an account with the same ids are not touched.
#[tokio::test]
async fn t4_t5_ccs_move_and_collide_by_the_rule() {
    for (shape, archived_too) in Shape::BOTH
        .into_iter()
        .flat_map(|s| [(s, false), (s, true)])
    {
        let mut desk = shape.desk().await;
        desk.settings.merge.move_archived_ccs = archived_too;
        fill(&desk).await;
        let other_account = desk.account_rows(2).await;

        let merge = desk.run(&request(1, 2)).await.unwrap().merge;

        shape.assert_was_used(&desk).await;
        for (base, table, cc_table, _) in KINDS {
            for (id, case) in (base..).zip(&CASES) {
                let what = format!(
                    "{} ({table} {id}, {shape:?}, setting {archived_too})",
                    case.what
                );
                let stays = table == "archived_tickets" && !archived_too;
                let (ccs, log) = if stays {
                    (case.ccs, [].as_slice())
                } else {
                    (case.then_ccs, case.log)
                };
                let requester = format!(
                    "SELECT requester_id FROM helpdesk.{table} WHERE account_id = 1 AND id = {id}"
                );
                assert_eq!(desk.number(&requester).await, case.then, "{what}");
                assert_eq!(ccs_of(&desk, cc_table, id).await, joined(ccs), "{what}");
                let logged = desk
                    .list(&format!(
                        "SELECT old_value || '>' || coalesce(new_value, '') FROM helpdesk.ticket_events
                         WHERE account_id = 1 AND ticket_id = {id} AND field = 'cc' AND via = 'user_merge'
                           AND merge_id = '{merge}' AND suppress_triggers
                         ORDER BY 1"
                    ))
                    .await;
                assert_eq!(logged, log, "{what}");
            }
        }
        let other_entries = format!(
            "SELECT count(*) FROM helpdesk.ticket_events
             WHERE merge_id IS DISTINCT FROM '{merge}' OR field NOT IN ('cc', 'requester_id')"
        );
        assert_eq!(desk.number(&other_entries).await, 0);
        assert_counts_match_the_log(&desk).await;
        assert_eq!(desk.account_rows(2).await, other_account);
    }
}

/// T5: a merge whose rows are all collisions, none of which the source requests, ends with the target's
/// rows exactly as they were.
#[tokio::test]
async fn t5_a_source_that_is_nothing_but_copied_twice_leaves_no_row() {
    for shape in Shape::BOTH {
        let desk = shape.desk().await;
        people(&desk).await;
        desk.tickets(10, 7, 4, "open").await;
        for ticket in 10..17 {
            desk.cc(ticket, 1).await;
            desk.cc(ticket, 2).await;
            desk.cc(ticket, 3).await;
        }
        let others = desk.rows("ticket_ccs", "user_id <> 1").await;

        desk.run(&request(1, 2)).await.unwrap();

        assert_eq!(desk.rows("ticket_ccs", "true").await, others);
        let counts = desk
            .text("SELECT concat_ws(' ', ccs_moved, ccs_deduplicated) FROM user_merge.merges")
            .await;
        assert_eq!(counts.unwrap(), "0 7");
        shape.assert_was_used(&desk).await;
    }
}
