//! T1, T2, T3, T6, T10: who requests a ticket, what the log says, and what stays.

use std::time::Duration;

use user_merge::merge::Ending;

use super::{assert_counts_match_the_log, people};
use crate::harness::{Desk, Shape, request};

/// Two tickets of the source in each status, five archived ones, and others' between them.
async fn fill(desk: &Desk) {
    people(desk).await;
    for (first, status) in (10..)
        .step_by(10)
        .zip(["new", "open", "pending", "hold", "solved", "closed"])
    {
        desk.tickets(first, 2, 1, status).await;
        desk.tickets(first + 2, 1, 2, status).await;
        desk.tickets(first + 3, 1, 3, status).await;
    }
    desk.archived_tickets(110, 5, 1).await;
    desk.archived_tickets(115, 1, 2).await;
    desk.archived_tickets(116, 1, 3).await;
    desk.copy_account(2).await;
}

/// T1: every ticket whose requester is the source, live, closed or archived, gets the target; and nobody
/// else's does, in this account or another one with the same ids.
#[tokio::test]
async fn t1_every_ticket_of_the_source_gets_the_target() {
    for shape in Shape::BOTH {
        let desk = shape.desk().await;
        fill(&desk).await;
        let other_account = desk.account_rows(2).await;

        let report = desk.run(&request(1, 2)).await.unwrap();

        assert_eq!(report.ending, Ending::Completed);
        shape.assert_was_used(&desk).await;
        let live: Vec<String> = (10..=60)
            .step_by(10)
            .map(|n| format!("{n}:2 {}:2 {}:2 {}:3", n + 1, n + 2, n + 3))
            .collect();
        assert_eq!(desk.requesters("tickets").await, live.join(" "));
        assert_eq!(
            desk.requesters("archived_tickets").await,
            "110:2 111:2 112:2 113:2 114:2 115:2 116:3"
        );
        let counts = desk
            .text("SELECT concat_ws(' ', live, closed, archived) FROM user_merge.merges")
            .await;
        assert_eq!(counts.unwrap(), "10 2 5", "live, closed, archived");
        assert_eq!(report.moved.tickets.total(), 17);
        assert_eq!(desk.account_rows(2).await, other_account);
    }
}

/// T2: exactly one log entry for each ticket that moved, with every field as the rule has it.
#[tokio::test]
async fn t2_each_moved_ticket_has_one_log_entry() {
    for shape in Shape::BOTH {
        let desk = shape.desk().await;
        fill(&desk).await;

        let merge = desk.run(&request(1, 2)).await.unwrap().merge;

        let live = (10..=60).step_by(10).flat_map(|n| [n, n + 1]);
        let expected: Vec<String> = live
            .chain(110..115)
            .map(|ticket| format!("{ticket} requester_id 1 2 user_merge {merge} t"))
            .collect();
        let logged = desk
            .list(
                "SELECT concat_ws(' ', ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
                 FROM helpdesk.ticket_events WHERE account_id = 1 ORDER BY ticket_id",
            )
            .await;
        assert_eq!(logged, expected, "{shape:?}");
        assert_eq!(
            desk.number(
                "SELECT count(*) FROM helpdesk.ticket_events WHERE created_at > now() OR account_id <> 1"
            )
            .await,
            0
        );
        assert_counts_match_the_log(&desk).await;
    }
}

/// T2: exactly one, whatever was retried: a merge that gave up on a locked row logs nothing twice.
#[tokio::test]
async fn t2_a_retried_merge_logs_nothing_twice() {
    for shape in Shape::BOTH {
        let mut desk = shape.desk().await;
        fill(&desk).await;
        desk.settings.database.lock_timeout = Duration::from_millis(30);
        let agent = desk
            .begin_with(
                "UPDATE helpdesk.tickets SET status = 'hold' WHERE account_id = 1 AND id = 41",
            )
            .await;

        for _ in 0..2 {
            let error = desk.run(&request(1, 2)).await.unwrap_err();
            assert_eq!((error.class(), error.is_passing()), ("lock_timeout", true));
        }
        agent.commit().await;
        let report = desk.run(&request(1, 2)).await.unwrap();

        assert_eq!(report.ending, Ending::Completed);
        shape.assert_was_used(&desk).await;
        let (entries, tickets) = (
            desk.number("SELECT count(*) FROM helpdesk.ticket_events")
                .await,
            desk.number("SELECT count(DISTINCT ticket_id) FROM helpdesk.ticket_events")
                .await,
        );
        assert_eq!((entries, tickets), (17, 17), "{shape:?}");
        assert_counts_match_the_log(&desk).await;
    }
}

/// T3: no entry of a merge lets a trigger fire: those for CCs and for tickets that came late included.
#[tokio::test]
async fn t3_log_entries_suppress_triggers() {
    for shape in Shape::BOTH {
        let desk = shape.desk().await;
        people(&desk).await;
        desk.tickets(10, 4, 1, "open").await;
        desk.archived_tickets(20, 1, 1).await;
        desk.tickets(30, 2, 3, "open").await;
        for (ticket, user) in [(10, 2), (30, 1), (31, 1), (31, 2)] {
            desk.cc(ticket, user).await;
        }
        desk.execute(
            "INSERT INTO helpdesk.ticket_events (account_id, ticket_id, field, new_value, via)
             VALUES (1, 10, 'cc', '2', 'agent')",
        )
        .await;

        desk.run(&request(1, 2)).await.unwrap();
        desk.tickets(40, 1, 1, "open").await;
        desk.merger().move_late(None, 3600.0, 10).await.unwrap();

        let kinds = desk
            .list(
                "SELECT concat_ws(' ', via, field, suppress_triggers, count(*)) FROM helpdesk.ticket_events
                 GROUP BY via, field, suppress_triggers ORDER BY 1",
            )
            .await;
        let expected = [
            "agent cc f 1",
            "user_merge cc t 3",
            "user_merge requester_id t 6",
        ];
        assert_eq!(kinds, expected, "{shape:?}");
        shape.assert_was_used(&desk).await;
    }
}

/// T6 and T10: a ticket's organization, submitter and assignee stay, and so does all else but its requester
/// and the time of the change; authors of comments stay.
#[tokio::test]
async fn t6_t10_organization_submitter_and_authors_stay() {
    for shape in Shape::BOTH {
        let desk = shape.desk().await;
        people(&desk).await;
        desk.execute("INSERT INTO helpdesk.organizations VALUES (1, 5, 'old'), (1, 6, 'new')")
            .await;
        desk.execute(
            "UPDATE helpdesk.users SET organization_id = 4 + id WHERE account_id = 1 AND id < 3",
        )
        .await;
        desk.tickets(10, 6, 1, "open").await;
        desk.archived_tickets(20, 4, 1).await;
        for table in ["tickets", "archived_tickets"] {
            desk.execute(&format!(
                "UPDATE helpdesk.{table}
                 SET organization_id = 5, assignee_id = 77, created_at = now() - interval '1 year'
                 WHERE id % 2 = 0"
            ))
            .await;
        }
        desk.execute("INSERT INTO helpdesk.community_comments VALUES (1, 1, 1, 1, 'mine')")
            .await;
        let kept = |table| {
            format!(
                "SELECT (to_jsonb(t) - 'requester_id' - 'updated_at')::text FROM helpdesk.{table} t ORDER BY id"
            )
        };
        let mut before = Vec::new();
        for table in ["tickets", "archived_tickets", "community_comments"] {
            before.push(desk.list(&kept(table)).await);
        }

        desk.run(&request(1, 2)).await.unwrap();

        let mut after = Vec::new();
        for table in ["tickets", "archived_tickets", "community_comments"] {
            after.push(desk.list(&kept(table)).await);
        }
        assert_eq!(after, before, "{shape:?}");
        for table in ["tickets", "archived_tickets"] {
            let moved = format!(
                "SELECT count(*) FROM helpdesk.{table} WHERE requester_id = 2 AND submitter_id = 1"
            );
            assert!(desk.number(&moved).await >= 4, "{table}");
        }
        shape.assert_was_used(&desk).await;
    }
}
