//! T7 and T9: what the help desk writes while a merge runs. Each interleaving is forced: a transaction of the
//! help desk's is held open until the merge waits for it, or the other way round.

use tokio::task::JoinHandle;
use user_merge::merge::{Ending, Report};
use user_merge::store;

use super::{assert_counts_match_the_log, people};
use crate::harness::{Desk, Shape, Writer, request};

/// What can reach the source: what the help desk writes, and how it looks once it is the target's.
struct Arrival {
    what: &'static str,
    sql: &'static str,
    is_the_targets: &'static str,
    /// The entry in the ticket event log, where it has one.
    log: Option<&'static str>,
}

const ARRIVALS: [Arrival; 5] = [
    Arrival {
        what: "a ticket is opened",
        sql: "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
              VALUES (1, 90, 1, 1, 'late')",
        is_the_targets: "SELECT count(*) FROM helpdesk.tickets WHERE id = 90 AND requester_id = 2",
        log: Some("90 requester_id 1>2"),
    },
    Arrival {
        what: "an agent makes the source a requester",
        sql: "UPDATE helpdesk.tickets SET requester_id = 1 WHERE account_id = 1 AND id = 30",
        is_the_targets: "SELECT count(*) FROM helpdesk.tickets WHERE id = 30 AND requester_id = 2",
        log: Some("30 requester_id 1>2"),
    },
    Arrival {
        what: "a ticket comes straight into the archive",
        sql: "INSERT INTO helpdesk.archived_tickets
                  (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
              VALUES (1, 91, 1, 1, 'closed', 'imported', now(), now())",
        is_the_targets: "SELECT count(*) FROM helpdesk.archived_tickets WHERE id = 91 AND requester_id = 2",
        log: Some("91 requester_id 1>2"),
    },
    Arrival {
        what: "the source is copied",
        sql: "INSERT INTO helpdesk.ticket_ccs VALUES (1, 31, 1)",
        is_the_targets: "SELECT count(*) FROM helpdesk.ticket_ccs WHERE ticket_id = 31 AND user_id = 2",
        log: Some("31 cc 1>2"),
    },
    Arrival {
        what: "the source gets an e-mail address",
        sql: "INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary)
              VALUES (1, 1, 'email', 'late@example.com', true)",
        is_the_targets: "SELECT count(*) FROM helpdesk.user_identities
                         WHERE user_id = 2 AND value = 'late@example.com' AND NOT is_primary",
        log: None,
    },
];

/// Tickets 10 to 16 are the source's, 30 and 31 somebody else's; the source has an address.
async fn desk_of(shape: Shape) -> Desk {
    let desk = shape.desk().await;
    people(&desk).await;
    desk.tickets(10, 7, 1, "open").await;
    desk.tickets(30, 2, 3, "open").await;
    desk.identity(1, "email", "first@example.com", true).await;
    desk
}

/// A merge that stands still before its last transaction: in chunks, at a row that an agent is editing.
struct Stalled {
    merge: JoinHandle<store::Result<Report>>,
    agent: Writer,
}

impl Stalled {
    async fn in_a_chunk(desk: &Desk) -> Self {
        let agent = desk
            .begin_with("UPDATE helpdesk.tickets SET status = 'hold' WHERE id = 14")
            .await;
        let merge = desk.start(&request(1, 2));
        desk.merge_waits_for(&agent).await;
        Self { merge, agent }
    }

    /// In its last transaction, after everything of rules T is done: at an address of the source's.
    async fn at_its_last_statement(desk: &Desk) -> Self {
        let agent = desk
            .begin_with("UPDATE helpdesk.user_identities SET verified = true WHERE user_id = 1")
            .await;
        let merge = desk.start(&request(1, 2));
        desk.merge_waits_for(&agent).await;
        Self { merge, agent }
    }

    async fn go_on(self) -> JoinHandle<store::Result<Report>> {
        self.agent.commit().await;
        self.merge
    }
}

async fn completed(merge: JoinHandle<store::Result<Report>>) -> Report {
    let report = merge.await.unwrap().unwrap();
    assert_eq!(report.ending, Ending::Completed);
    report
}

/// That the arrival is the target's, logged once, and nothing is left on the source.
async fn assert_it_moved(desk: &Desk, arrival: &Arrival, late: i64) {
    let what = arrival.what;
    assert_eq!(desk.number(arrival.is_the_targets).await, 1, "{what}");
    if let Some(entry) = arrival.log {
        let log = desk.log().await;
        assert_eq!(
            log.iter().filter(|line| *line == entry).count(),
            1,
            "{what}: {log:?}"
        );
    }
    let left = "SELECT (SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 1)
                     + (SELECT count(*) FROM helpdesk.archived_tickets WHERE requester_id = 1)
                     + (SELECT count(*) FROM helpdesk.ticket_ccs WHERE user_id = 1)
                     + (SELECT count(*) FROM helpdesk.user_identities WHERE user_id = 1)";
    assert_eq!(desk.number(left).await, 0, "{what}");
    assert_eq!(
        desk.number("SELECT late FROM user_merge.merges").await,
        late,
        "{what}"
    );
}

/// T9: what is written to the source but not committed when the merge begins its last transaction is waited
/// for and is part of the merge.
#[tokio::test]
async fn t9_what_is_in_flight_before_the_last_transaction_is_waited_for() {
    for shape in Shape::BOTH {
        for arrival in &ARRIVALS {
            let desk = desk_of(shape).await;
            let (merge, writer) = match shape {
                Shape::OneTransaction => {
                    let writer = desk.begin_with(arrival.sql).await;
                    (desk.start(&request(1, 2)), writer)
                }
                Shape::Chunks => {
                    let stalled = Stalled::in_a_chunk(&desk).await;
                    let writer = desk.begin_with(arrival.sql).await;
                    (stalled.go_on().await, writer)
                }
            };
            desk.merge_waits_for(&writer).await;
            assert_eq!(
                desk.number("SELECT count(merged_into) FROM helpdesk.users")
                    .await,
                0
            );

            writer.commit().await;

            completed(merge).await;
            assert_it_moved(&desk, arrival, 0).await;
            assert_counts_match_the_log(&desk).await;
            shape.assert_was_used(&desk).await;
        }
    }
}

/// T9: what is committed between a large merge's chunks, behind the place where it is, is not missed.
#[tokio::test]
async fn t9_what_is_committed_between_two_passes_is_not_missed() {
    let shape = Shape::Chunks;
    for arrival in &ARRIVALS {
        let desk = desk_of(shape).await;
        // At the archived tickets, past the live ones; and the ticket that a CC is for comes last.
        desk.archived_tickets(20, 4, 1).await;
        let agent = desk
            .begin_with("UPDATE helpdesk.archived_tickets SET subject = 'edited' WHERE id = 22")
            .await;
        let merge = desk.start(&request(1, 2));
        desk.merge_waits_for(&agent).await;

        desk.execute(arrival.sql).await;
        agent.commit().await;

        completed(merge).await;
        assert_it_moved(&desk, arrival, 0).await;
        assert_counts_match_the_log(&desk).await;
        shape.assert_was_used(&desk).await;
    }
}

/// T9 and D4: what is written to the source after the merge has locked it waits until the merge has committed.
/// It then reaches the tombstone and is moved on by the sweep, which counts it.
#[tokio::test]
async fn t9_what_comes_after_the_lock_waits_for_the_commit_and_is_late() {
    for shape in Shape::BOTH {
        for arrival in ARRIVALS.iter().filter(|arrival| arrival.log.is_some()) {
            let desk = desk_of(shape).await;
            let stalled = Stalled::at_its_last_statement(&desk).await;
            let writer = desk.begin().await;
            let pid = writer.pid();
            let writing = writer.start(arrival.sql);
            desk.waits_for_merge(pid).await;

            let report = completed(stalled.go_on().await).await;
            writing.await.unwrap().unwrap().commit().await;

            assert_eq!(
                desk.number(arrival.is_the_targets).await,
                0,
                "{}",
                arrival.what
            );
            let late = desk.merger().move_late(None, 3600.0, 10).await.unwrap();
            assert_eq!(late, (1, None), "{}", arrival.what);
            assert_it_moved(&desk, arrival, 1).await;
            let entries = format!(
                "SELECT count(*) FROM helpdesk.ticket_events WHERE merge_id = '{}' AND suppress_triggers",
                report.merge
            );
            assert_eq!(
                desk.number(&entries).await,
                8,
                "{}: 7 tickets and this",
                arrival.what
            );
            shape.assert_was_used(&desk).await;
        }
    }
}

/// T7: a ticket that an agent is giving to somebody else while the merge waits for its row is left alone,
/// without a log entry; if the agent thinks better of it, it is moved.
#[tokio::test]
async fn t7_a_ticket_that_an_agent_moves_away_is_left_alone() {
    for (shape, thinks_better) in Shape::BOTH
        .into_iter()
        .flat_map(|s| [(s, false), (s, true)])
    {
        for table in ["tickets", "archived_tickets"] {
            let desk = desk_of(shape).await;
            desk.archived_tickets(10, 7, 1).await;
            desk.execute("UPDATE helpdesk.tickets SET id = id + 10 WHERE requester_id = 1")
                .await;
            let given_away = if table == "tickets" { 24 } else { 14 };
            let agent = desk
                .begin_with(&format!(
                    "UPDATE helpdesk.{table} SET requester_id = 3 WHERE id = {given_away}"
                ))
                .await;
            let merge = desk.start(&request(1, 2));
            desk.merge_waits_for(&agent).await;

            let (requester, entries, moved) = if thinks_better {
                agent.rollback().await;
                (2, 1, 14)
            } else {
                agent.commit().await;
                (3, 0, 13)
            };

            let report = completed(merge).await;
            assert_eq!(report.moved.tickets.total(), moved, "{table}, {shape:?}");
            let of_it = |what: &str| format!("SELECT {what} = {given_away}");
            let requester_now = of_it(&format!("requester_id FROM helpdesk.{table} WHERE id"));
            assert_eq!(
                desk.number(&requester_now).await,
                requester,
                "{table}, {shape:?}"
            );
            let logged = of_it("count(*) FROM helpdesk.ticket_events WHERE ticket_id");
            assert_eq!(desk.number(&logged).await, entries, "{table}, {shape:?}");
            assert_counts_match_the_log(&desk).await;
            shape.assert_was_used(&desk).await;
        }
    }
}

/// T7: so is one that an agent gave away between two chunks.
#[tokio::test]
async fn t7_a_ticket_given_away_between_two_chunks_is_left_alone() {
    let desk = desk_of(Shape::Chunks).await;
    let merger = desk.merger();

    let first = desk.run_slice(&merger, &request(1, 2)).await.unwrap();
    assert_eq!(
        (first.ending, first.moved.tickets.total()),
        (Ending::SliceOver, 3)
    );
    desk.execute("UPDATE helpdesk.tickets SET requester_id = 3 WHERE id IN (11, 14)")
        .await;

    desk.run_with(&merger, &request(1, 2)).await.unwrap();
    assert_eq!(
        desk.requesters("tickets").await,
        "10:2 11:3 12:2 13:2 14:3 15:2 16:2 30:3 31:3"
    );
    let logged = desk
        .list("SELECT DISTINCT ticket_id::text FROM helpdesk.ticket_events ORDER BY 1")
        .await;
    assert_eq!(logged, ["10", "11", "12", "13", "15", "16"]);
}

/// T5: the target is being copied on a ticket at the moment when the source's CC there is to become the
/// target's: one row remains, whether that transaction commits or not.
#[tokio::test]
async fn t5_a_cc_for_the_target_at_the_same_moment_is_no_conflict() {
    for (shape, commits) in Shape::BOTH
        .into_iter()
        .flat_map(|s| [(s, true), (s, false)])
    {
        let desk = desk_of(shape).await;
        desk.cc(30, 1).await;
        let copying = desk
            .begin_with("INSERT INTO helpdesk.ticket_ccs VALUES (1, 30, 2)")
            .await;
        let merge = desk.start(&request(1, 2));
        desk.merge_waits_for(&copying).await;

        let (entry, counts) = if commits {
            copying.commit().await;
            ("30 cc 1>", (0, 1))
        } else {
            copying.rollback().await;
            ("30 cc 1>2", (1, 0))
        };

        let ccs = completed(merge).await.moved.ccs;
        assert_eq!((ccs.moved, ccs.deduplicated), counts, "{shape:?}");
        assert_eq!(desk.ccs("ticket_ccs").await, "30:2", "{shape:?}");
        assert_eq!(desk.log().await.last().unwrap(), entry, "{shape:?}");
        assert_counts_match_the_log(&desk).await;
        shape.assert_was_used(&desk).await;
    }
}

/// T5: the target is being made the requester of a ticket on which the source is copied: the merge waits for
/// that, and the source's row goes.
#[tokio::test]
async fn t5_who_requests_is_decided_before_the_cc_is() {
    for shape in Shape::BOTH {
        let desk = desk_of(shape).await;
        desk.cc(30, 1).await;
        let agent = desk
            .begin_with("UPDATE helpdesk.tickets SET requester_id = 2 WHERE id = 30")
            .await;
        let merge = desk.start(&request(1, 2));
        desk.merge_waits_for(&agent).await;
        agent.commit().await;

        completed(merge).await;
        assert_eq!(desk.ccs("ticket_ccs").await, "", "{shape:?}");
        assert_eq!(desk.log().await.last().unwrap(), "30 cc 1>", "{shape:?}");
        shape.assert_was_used(&desk).await;
    }
}

/// T5: an agent edits a ticket and copies the target on it in one transaction; the merge waits for that, and
/// the target ends up as the requester only.
#[tokio::test]
async fn t5_a_target_copied_while_the_merge_waits_for_the_ticket_is_not_on_its_own_ticket() {
    for shape in Shape::BOTH {
        let desk = desk_of(shape).await;
        let agent = desk
            .begin_with(
                "WITH edited AS (UPDATE helpdesk.tickets SET status = 'hold' WHERE id = 14)
                 INSERT INTO helpdesk.ticket_ccs VALUES (1, 14, 2)",
            )
            .await;
        let merge = desk.start(&request(1, 2));
        desk.merge_waits_for(&agent).await;
        agent.commit().await;
        completed(merge).await;
        assert_eq!(desk.ccs("ticket_ccs").await, "", "{shape:?}");
        assert_counts_match_the_log(&desk).await;
    }
}
