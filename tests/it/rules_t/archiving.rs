//! T9: tickets that are archived, or taken out of the archive, while a merge runs: between its passes, and in
//! transactions that are open when it takes its locks.

use std::time::Duration;

use user_merge::merge::Ending;

use super::{assert_counts_match_the_log, people};
use crate::harness::{Desk, Shape, Writer, request};

/// Tickets 10 to 16 and archived ones 20 to 25 are the source's.
async fn desk_of(shape: Shape) -> Desk {
    let desk = shape.desk().await;
    people(&desk).await;
    desk.tickets(10, 7, 1, "open").await;
    desk.archived_tickets(20, 6, 1).await;
    desk
}

/// The first half of archiving: locks the ticket, keeps a copy, and takes it out with its CCs.
pub(super) fn take_out(ticket: i64) -> String {
    let here = |column| format!("WHERE account_id = 1 AND {column} = {ticket}");
    let (row, ccs) = (here("id"), here("ticket_id"));
    format!(
        "CREATE TEMP TABLE taken ON COMMIT DROP AS SELECT * FROM helpdesk.tickets {row} FOR UPDATE;
         CREATE TEMP TABLE taken_ccs ON COMMIT DROP AS SELECT * FROM helpdesk.ticket_ccs {ccs} FOR UPDATE;
         DELETE FROM helpdesk.ticket_ccs {ccs};
         DELETE FROM helpdesk.tickets {row}"
    )
}

/// The second half: needs the requester's row, through the foreign key.
pub(super) const PUT_AWAY: &str =
    "INSERT INTO helpdesk.archived_tickets SELECT taken.*, now() FROM taken;
                        INSERT INTO helpdesk.archived_ticket_ccs SELECT * FROM taken_ccs";

async fn archive(desk: &Desk, ticket: i64) -> Writer {
    let mut writer = desk.begin_with(&take_out(ticket)).await;
    writer.execute(PUT_AWAY).await.unwrap();
    writer
}

async fn restore(desk: &Desk, ticket: i64) {
    desk.execute(&format!(
        "WITH back AS (DELETE FROM helpdesk.archived_tickets WHERE id = {ticket} RETURNING *)
         INSERT INTO helpdesk.tickets
         SELECT account_id, id, requester_id, submitter_id, assignee_id, organization_id, status, subject,
                created_at, updated_at FROM back"
    ))
    .await;
}

/// All 13 tickets are the target's, wherever they are, each with one log entry.
async fn assert_all_moved_once(desk: &Desk, what: &str) {
    let all = "(SELECT id, requester_id FROM helpdesk.tickets
                UNION ALL SELECT id, requester_id FROM helpdesk.archived_tickets) t";
    let tickets = format!(
        "SELECT concat_ws(' ', count(*), count(DISTINCT id), min(requester_id), max(requester_id)) FROM {all}"
    );
    assert_eq!(desk.text(&tickets).await.unwrap(), "13 13 2 2", "{what}");
    let entries =
        "SELECT concat_ws(' ', count(*), count(DISTINCT ticket_id)) FROM helpdesk.ticket_events
                   WHERE field = 'requester_id'";
    assert_eq!(desk.text(entries).await.unwrap(), "13 13", "{what}");
    assert_counts_match_the_log(desk).await;
}

/// T9: a ticket that goes into the archive before the live pass gets to it is met there.
#[tokio::test]
async fn t9_a_ticket_archived_between_two_chunks_is_met_in_the_archive() {
    let shape = Shape::Chunks;
    let desk = desk_of(shape).await;
    desk.cc(15, 1).await;
    let merger = desk.merger();
    let first = desk.run_slice(&merger, &request(1, 2)).await.unwrap();
    assert_eq!(first.ending, Ending::SliceOver);

    archive(&desk, 15).await.commit().await;
    archive(&desk, 10).await.commit().await;

    let last = desk.run_with(&merger, &request(1, 2)).await.unwrap();
    assert_eq!(last.ending, Ending::Completed);
    assert_all_moved_once(&desk, "15 before its pass, 10 after").await;
    let places = desk
        .text("SELECT concat_ws(' ', live, closed, archived) FROM user_merge.merges")
        .await;
    assert_eq!(places.unwrap(), "6 0 7", "10 moved while it was live");
    shape.assert_was_used(&desk).await;
}

/// T9: a ticket that comes back from the archive, behind the live pass and before the archived one gets to it,
/// is met by the last sweep.
#[tokio::test]
async fn t9_a_ticket_restored_behind_the_live_pass_is_swept_up() {
    let shape = Shape::Chunks;
    let desk = desk_of(shape).await;
    let agent = desk
        .begin_with("UPDATE helpdesk.archived_tickets SET subject = 'edited' WHERE id = 21")
        .await;
    let merge = desk.start(&request(1, 2));
    desk.merge_waits_for(&agent).await;

    restore(&desk, 22).await;
    restore(&desk, 25).await;
    agent.commit().await;

    assert_eq!(merge.await.unwrap().unwrap().ending, Ending::Completed);
    assert_all_moved_once(&desk, "22 and 25").await;
    let places = desk
        .text("SELECT concat_ws(' ', live, closed, archived) FROM user_merge.merges")
        .await;
    assert_eq!(places.unwrap(), "7 2 4", "live, closed, archived");
    shape.assert_was_used(&desk).await;
}

/// T9: archiving that has come all the way but its commit is waited for.
#[tokio::test]
async fn t9_a_ticket_on_its_way_into_the_archive_is_waited_for() {
    for (shape, commits) in Shape::BOTH
        .into_iter()
        .flat_map(|s| [(s, true), (s, false)])
    {
        let desk = desk_of(shape).await;
        desk.cc(14, 1).await;
        desk.cc(14, 3).await;
        let archiving = archive(&desk, 14).await;
        let merge = desk.start(&request(1, 2));
        desk.merge_waits_for(&archiving).await;

        if commits {
            archiving.commit().await;
        } else {
            archiving.rollback().await;
        }

        assert_eq!(merge.await.unwrap().unwrap().ending, Ending::Completed);
        assert_all_moved_once(&desk, &format!("{shape:?}, {commits}")).await;
        // Archived CCs stay (rule T4); those on a live ticket do not.
        let (live, archived) = (
            desk.ccs("ticket_ccs").await,
            desk.ccs("archived_ticket_ccs").await,
        );
        let expected = if commits {
            ("", "14:1 14:3")
        } else {
            ("14:3", "")
        };
        assert_eq!((live.as_str(), archived.as_str()), expected, "{shape:?}");
        shape.assert_was_used(&desk).await;
    }
}

/// T9, the other way round: archiving that begins after the merge has moved the ticket waits for the merge,
/// and archives what the merge made of it.
#[tokio::test]
async fn t9_archiving_a_ticket_that_the_merge_has_moved_waits_for_it() {
    let shape = Shape::OneTransaction;
    let desk = desk_of(shape).await;
    desk.identity(1, "email", "first@example.com", true).await;
    desk.cc(14, 1).await;
    let profile = desk
        .begin_with("UPDATE helpdesk.user_identities SET verified = true WHERE user_id = 1")
        .await;
    let merge = desk.start(&request(1, 2));
    desk.merge_waits_for(&profile).await;
    let archiving = desk.begin().await;
    let pid = archiving.pid();
    let taking = archiving.start(&take_out(14));
    desk.waits_for_merge(pid).await;

    profile.commit().await;

    assert_eq!(merge.await.unwrap().unwrap().ending, Ending::Completed);
    let mut archiving = taking.await.unwrap().unwrap();
    archiving.execute(PUT_AWAY).await.unwrap();
    archiving.commit().await;
    assert_all_moved_once(&desk, "14").await;
    assert_eq!(desk.ccs("archived_ticket_ccs").await, "");
    shape.assert_was_used(&desk).await;
}

/// Runs into each other: the merge holds the source and waits for the ticket, archiving holds the ticket and
/// waits for the source. Returns once one has given way: it must be the merge. Then it is tried again.
async fn assert_the_merge_gives_way(
    desk: &Desk,
    merge: tokio::task::JoinHandle<user_merge::store::Result<user_merge::merge::Report>>,
    archiving: tokio::task::JoinHandle<Result<Writer, sqlx::Error>>,
) {
    let error = merge.await.unwrap().unwrap_err();
    assert_eq!((error.class(), error.is_passing()), ("lock_timeout", true));
    assert!(error.is_worth_another_try());
    let archiving = archiving.await.unwrap().expect("the help desk goes on");
    archiving.commit().await;

    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
}

/// T9: a deadlock with archiving, at the default patience: the merge gives way and not the help desk, and
/// succeeds at its next try.
#[tokio::test]
async fn t9_in_a_deadlock_the_merge_gives_way() {
    for shape in Shape::BOTH {
        let mut desk = desk_of(shape).await;
        desk.settings.database.lock_timeout = Desk::open().await.settings.database.lock_timeout;
        // A chunk may have to wait for the agent for more than one patience.
        desk.settings.retry.immediate = 20;

        let (merge, archiving) = match shape {
            Shape::OneTransaction => {
                let archiving = desk.begin_with(&take_out(14)).await;
                (desk.start(&request(1, 2)), archiving)
            }
            Shape::Chunks => {
                // Behind the live pass: the ticket is for the last transaction to find.
                let agent = desk
                    .begin_with(
                        "UPDATE helpdesk.archived_tickets SET subject = 'edited' WHERE id = 21",
                    )
                    .await;
                let merge = desk.start(&request(1, 2));
                desk.merge_waits_for(&agent).await;
                restore(&desk, 25).await;
                let archiving = desk.begin_with(&take_out(25)).await;
                agent.commit().await;
                (merge, archiving)
            }
        };
        desk.merge_waits_for(&archiving).await;
        let archiving = archiving.start(PUT_AWAY);

        assert_the_merge_gives_way(&desk, merge, archiving).await;
        assert_all_moved_once(&desk, &format!("{shape:?}")).await;
        shape.assert_was_used(&desk).await;
    }
}

/// T9: also where archiving was the first to wait, because the merge, with the source locked, waited for
/// something else before: at the default patience both waits are over before the server looks for deadlocks.
#[tokio::test]
async fn t9_in_a_deadlock_the_merge_gives_way_though_it_waits_for_less_long() {
    let shape = Shape::OneTransaction;
    let mut desk = desk_of(shape).await;
    let patience = Desk::open().await.settings.database.lock_timeout;
    assert!(
        patience * 3 < Duration::from_secs(1),
        "the server's deadlock_timeout"
    );
    desk.settings.database.lock_timeout = patience;
    let archiving = desk.begin_with(&take_out(14)).await;
    // Stops the merge right after it has locked the source.
    let stop = desk
        .begin_with("LOCK TABLE helpdesk.organization_memberships IN ACCESS EXCLUSIVE MODE")
        .await;
    let merge = desk.start(&request(1, 2));
    desk.merge_waits_for(&stop).await;
    let pid = archiving.pid();
    let archiving = archiving.start(PUT_AWAY);
    desk.waits_for_merge(pid).await;
    stop.rollback().await;

    assert_the_merge_gives_way(&desk, merge, archiving).await;
    assert_all_moved_once(&desk, "14").await;
    shape.assert_was_used(&desk).await;
}
