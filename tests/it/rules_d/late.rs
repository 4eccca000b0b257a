//! D4: what still reaches a tombstone is moved on by the sweep, and counted.

use std::time::Duration;

use user_merge::domain::MergeId;
use user_merge::merge::Ending;

use crate::harness::{Desk, Queues, Running, eventually, key, request};

const WINDOW: f64 = 3600.0;

async fn merged(desk: &Desk, source: i64, target: i64) -> MergeId {
    let report = desk.run(&request(source, target)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    report.merge
}

async fn sweep(desk: &Desk) -> i64 {
    let (moved, next) = desk.merger().move_late(None, WINDOW, 100).await.unwrap();
    assert_eq!(next, None);
    moved
}

async fn late(desk: &Desk) -> Vec<String> {
    desk.list("SELECT source_user_id || ':' || late FROM user_merge.merges ORDER BY source_user_id")
        .await
}

/// D4: late tickets, archived tickets and CCs go on to the target by the rules T, with log entries like the
/// merge's own, and are counted; archived CCs where the setting moves them.
#[tokio::test]
async fn d4_what_comes_late_is_moved_on_and_counted() {
    for archived_ccs in [false, true] {
        let mut desk = Desk::open().await;
        desk.settings.merge.move_archived_ccs = archived_ccs;
        desk.users([1, 2, 3]).await;
        desk.tickets(10, 2, 1, "open").await;
        let merge = merged(&desk, 1, 2).await;
        assert_eq!(sweep(&desk).await, 0, "nothing is late");

        desk.tickets(20, 2, 1, "new").await;
        desk.archived_tickets(30, 1, 1).await;
        desk.tickets(40, 3, 3, "closed").await;
        desk.archived_tickets(50, 1, 3).await;
        // The source's: on others' tickets, beside the target's, where the target requests. And a third's.
        for (ticket, user) in [(40, 1), (41, 1), (41, 2), (10, 1), (42, 3)] {
            desk.cc(ticket, user).await;
        }
        desk.execute("INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 50, 1)")
            .await;
        let before = desk.log().await.len();

        let expected = 6 + i64::from(archived_ccs);
        assert_eq!(sweep(&desk).await, expected);

        assert_eq!(
            desk.requesters("tickets").await,
            "10:2 11:2 20:2 21:2 40:3 41:3 42:3"
        );
        assert_eq!(desk.requesters("archived_tickets").await, "30:2 50:3");
        assert_eq!(desk.ccs("ticket_ccs").await, "40:2 41:2 42:3");
        let archived = if archived_ccs { "50:2" } else { "50:1" };
        assert_eq!(desk.ccs("archived_ticket_ccs").await, archived);
        let log = desk.log().await;
        assert_eq!(
            i64::try_from(log.len() - before).unwrap(),
            expected,
            "{log:?}"
        );
        for entry in [
            "10 cc 1>",
            "20 requester_id 1>2",
            "30 requester_id 1>2",
            "40 cc 1>2",
            "41 cc 1>",
        ] {
            let entries = log.iter().filter(|line| *line == entry).count();
            assert_eq!(entries, 1, "{entry} in {log:?}");
        }
        let others =
            format!("SELECT count(*) FROM helpdesk.ticket_events WHERE merge_id <> '{merge}'");
        assert_eq!(desk.number(&others).await, 0);
        assert_eq!(late(&desk).await, [format!("1:{expected}")]);
        let counts = desk
            .text("SELECT concat_ws(' ', live, archived, ccs_moved) FROM user_merge.merges")
            .await;
        assert_eq!(counts.unwrap(), "2 0 0", "as it was announced");

        assert_eq!(sweep(&desk).await, 0, "once");
    }
}

/// D4 and D3: when the target has been merged further, what comes late goes to who it is today, in one step.
#[tokio::test]
async fn d4_late_tickets_follow_a_chain_in_one_step() {
    let desk = Desk::open().await;
    desk.users([1, 2, 3]).await;
    merged(&desk, 1, 2).await;
    desk.tickets(10, 1, 1, "new").await;
    merged(&desk, 2, 3).await;
    desk.tickets(20, 1, 1, "new").await;
    desk.tickets(21, 1, 2, "new").await;

    assert_eq!(sweep(&desk).await, 3);

    assert_eq!(desk.requesters("tickets").await, "10:3 20:3 21:3");
    assert_eq!(
        desk.log().await,
        [
            "10 requester_id 1>3",
            "20 requester_id 1>3",
            "21 requester_id 2>3"
        ]
    );
    assert_eq!(late(&desk).await, ["1:2", "2:1"]);
}

/// D4 and D3: the target is merged further while the sweep waits for the tombstone: it does nothing with what
/// it knew, and its next round gets it right.
#[tokio::test]
async fn d4_a_target_merged_further_at_the_same_moment_is_looked_up_again() {
    let mut desk = Desk::open().await;
    desk.settings.database.lock_timeout = Duration::from_secs(25);
    desk.users([1, 2, 3]).await;
    merged(&desk, 1, 2).await;
    desk.tickets(10, 1, 1, "new").await;
    let opening = desk
        .begin_with(
            "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
             VALUES (1, 11, 1, 1, 'late')",
        )
        .await;
    let merger = desk.merger();
    let sweeping = tokio::spawn(async move { merger.move_late(None, WINDOW, 100).await });
    desk.merge_waits_for(&opening).await;

    merged(&desk, 2, 3).await;
    opening.commit().await;

    assert_eq!(sweeping.await.unwrap().unwrap(), (0, None));
    assert_eq!(desk.requesters("tickets").await, "10:1 11:1");
    assert_eq!(sweep(&desk).await, 2);
    assert_eq!(desk.requesters("tickets").await, "10:3 11:3");
}

/// D4: the sweep comes to every tombstone, a batch at a time, in every account; it leaves alone what was merged
/// before its window, refused merges, and users whose row is gone.
#[tokio::test]
async fn d4_a_round_comes_to_every_tombstone_within_the_window() {
    let desk = Desk::open().await;
    desk.users(1..=8).await;
    desk.copy_account(2).await;
    for source in 1..=5 {
        merged(&desk, source, 8).await;
    }
    let mut other = request(1, 8);
    other.account_id = 2.try_into().unwrap();
    desk.run(&other).await.unwrap();
    let refused = desk.run(&request(6, 5)).await.unwrap();
    assert!(matches!(refused.ending, Ending::Rejected(_)));
    for user in [1, 2, 3, 4, 6] {
        desk.tickets(user * 10, 1, user, "new").await;
    }
    desk.execute(
        "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
         VALUES (2, 10, 1, 1, 'late');
         UPDATE user_merge.merges SET completed_at = now() - interval '2 hours' WHERE source_user_id = 4;
         DELETE FROM helpdesk.users WHERE account_id = 1 AND id = 5",
    )
    .await;

    let merger = desk.merger();
    let (mut cursor, mut moved) = (None, Vec::new());
    loop {
        let (count, next) = merger.move_late(cursor, WINDOW, 1).await.unwrap();
        moved.push(count);
        assert!(moved.len() < 20, "the round has an end: {moved:?}");
        if next.is_none() {
            break;
        }
        cursor = next;
    }

    // 1, 2, 3, the one that is gone, the other account's, and the end.
    assert_eq!(moved, [1, 1, 1, 0, 1, 0]);
    assert_eq!(desk.requesters("tickets").await, "10:8 20:8 30:8 40:4 60:6");
    let other = "SELECT requester_id FROM helpdesk.tickets WHERE account_id = 2";
    assert_eq!(desk.number(other).await, 8);
}

/// D4: more than a chunk's worth on one tombstone is moved over several rounds, each one bounded.
#[tokio::test]
async fn d4_a_round_moves_a_chunk_per_tombstone() {
    let mut desk = Desk::open().await;
    let chunk = &mut desk.settings.chunk;
    (chunk.initial, chunk.min, chunk.max) = (4, 4, 4);
    desk.users([1, 2]).await;
    merged(&desk, 1, 2).await;
    desk.tickets(10, 10, 1, "new").await;
    let mut rounds = Vec::new();
    while rounds.last() != Some(&0) {
        rounds.push(sweep(&desk).await);
    }
    assert_eq!(rounds, [4, 4, 2, 0]);
    assert_eq!(late(&desk).await, ["1:10"]);
}

/// D4: a tombstone that can't be had now, busy or broken, doesn't hold up the others; its turn comes with a
/// later round.
#[tokio::test]
async fn d4_a_busy_tombstone_does_not_hold_up_the_others() {
    let mut desk = Desk::open().await;
    desk.settings.database.lock_timeout = Duration::from_millis(30);
    desk.users(1..=4).await;
    for source in 1..=3 {
        merged(&desk, source, 4).await;
        desk.tickets(source * 10, 1, source, "new").await;
    }
    desk.execute(
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER broken BEFORE UPDATE ON helpdesk.tickets FOR EACH ROW WHEN (NEW.id = 20)
         EXECUTE FUNCTION raise()",
    )
    .await;
    let opening = desk
        .begin_with(
            "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
             VALUES (1, 11, 1, 1, 'late')",
        )
        .await;

    assert_eq!(sweep(&desk).await, 1);
    assert_eq!(desk.requesters("tickets").await, "10:1 20:2 30:4");

    opening.commit().await;
    desk.execute("DROP TRIGGER broken ON helpdesk.tickets")
        .await;
    assert_eq!(sweep(&desk).await, 3);
    assert_eq!(late(&desk).await, ["1:2", "2:1", "3:1"]);
}

/// D4: a running worker does so by itself, for as long as the help desk goes on opening tickets.
#[tokio::test]
async fn d4_a_running_worker_sweeps() {
    let mut desk = Desk::open().await;
    desk.settings.sweep.interval = Duration::from_millis(100);
    desk.settings.sweep.batch = 1;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2, 3]).await;
    let worker = Running::start(&desk).await;
    for (source, target) in [(1, 2), (2, 3)] {
        queues.send(&request(source, target)).await;
        assert_eq!(queues.event().await.json()["type"], "merge.completed");
    }

    for ticket in [10, 20, 30] {
        desk.tickets(ticket, 1, 1, "new").await;
        desk.tickets(ticket + 1, 1, 2, "new").await;
        eventually("both tickets with the user of today", || async {
            let others = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id <> 3";
            (desk.number(others).await == 0).then_some(())
        })
        .await;
    }

    worker.stop().await;
    assert_eq!(late(&desk).await, ["1:3", "2:3"]);
    assert!(
        queues.events().await.is_empty(),
        "what comes late is no outcome"
    );
}

/// D4, P4: an e-mail address that is given to a merged user goes on to the target as a secondary one, before
/// the user is deleted together with it.
#[tokio::test]
async fn d4_a_late_address_is_moved_on() {
    let desk = Desk::open().await;
    desk.users([1, 2, 3]).await;
    merged(&desk, 1, 2).await;
    let late_one = desk.identity(1, "email", "late@example.com", true).await;
    let others = desk.identity(3, "email", "other@example.com", true).await;
    desk.identity(1, "x", "lost", true).await;

    assert_eq!(sweep(&desk).await, 1);

    let rows = desk
        .list("SELECT id || ':' || user_id || ':' || is_primary FROM helpdesk.user_identities WHERE kind = 'email' ORDER BY id")
        .await;
    assert_eq!(
        rows,
        [format!("{late_one}:2:false"), format!("{others}:3:true")]
    );
    assert_eq!(late(&desk).await, ["1:1"]);
    assert_eq!(sweep(&desk).await, 0);
}

/// D4, R3: what comes late between the looks at a merge and at a later request for the same pair is the merge's.
#[tokio::test]
async fn d4_what_comes_late_belongs_to_the_merge_that_did_the_work() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    let merge = merged(&desk, 1, 2).await;
    let again = desk.run(&key("again", 1, 2)).await.unwrap();
    assert_eq!(again.ending, Ending::AlreadyMerged);

    let (_, cursor) = desk.merger().move_late(None, WINDOW, 1).await.unwrap();
    assert!(cursor.is_some(), "the later request is looked at next");
    desk.tickets(20, 1, 1, "new").await;
    let (moved, _) = desk.merger().move_late(cursor, WINDOW, 100).await.unwrap();
    assert_eq!(moved, 0);
    assert_eq!(sweep(&desk).await, 1);
    let by = format!(
        "SELECT count(*) FROM helpdesk.ticket_events WHERE ticket_id = 20 AND merge_id = '{merge}'"
    );
    assert_eq!(desk.number(&by).await, 1);
}
