//! T7 and T8, R4 and R5: a large merge that moves two chunks side by side. Each interleaving is forced, by a ticket
//! that somebody has locked.

use std::time::Duration;

use user_merge::domain::MergeId;
use user_merge::merge::Ending;
use user_merge::store::Error;
use user_merge::store::merges::hold;

use super::assert_counts_match_the_log;
use crate::harness::{Desk, Writer, envelope, eventually, request};
use crate::rules_r::{assert_each_moved_once, waiting_for_locks};

const MOVED: &str = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2";
const COUNTED: &str = "SELECT live FROM user_merge.merges";

/// Tickets 1 to 45 are the source's, and chunks have 10. One connection is to spare.
async fn desk() -> Desk {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.settings.database.max_connections += 1;
    assert_eq!(desk.settings.spare_connections(), 1);
    desk.settings.database.lock_timeout = Duration::from_secs(25);
    desk.users([1, 2]).await;
    desk.tickets(1, 45, 1, "open").await;
    desk
}

/// An agent who is editing a ticket.
async fn editing(desk: &Desk, ticket: i64) -> Writer {
    let edit = format!("UPDATE helpdesk.tickets SET subject = 'edited' WHERE id = {ticket}");
    desk.begin_with(&edit).await
}

async fn moved(desk: &Desk, tickets: i64) {
    eventually(&format!("{tickets} tickets moved"), || async {
        (desk.number(MOVED).await == tickets).then_some(())
    })
    .await;
}

/// T8: while one chunk waits for a ticket, others go on beside it, and what they move is counted.
#[tokio::test]
async fn t8_what_one_chunk_waits_for_does_not_hold_up_the_others() {
    let desk = desk().await;
    desk.archived_tickets(101, 12, 1).await;
    let agent = editing(&desk, 5).await;
    let merge = desk.start(&request(1, 2));
    desk.merge_waits_for(&agent).await;

    moved(&desk, 35).await;
    assert_eq!(desk.number(COUNTED).await, 35);
    assert_counts_match_the_log(&desk).await;
    agent.commit().await;

    let report = merge.await.unwrap().unwrap();
    let tickets = report.moved.tickets;
    assert_eq!((tickets.live, tickets.archived), (45, 12));
    assert_each_moved_once(&desk, 57).await;
    let edited = "SELECT requester_id FROM helpdesk.tickets WHERE subject = 'edited'";
    assert_eq!(desk.number(edited).await, 2);
}

/// T8: where a chunk fails for good, the one beside it comes to its commit, and no other begins.
#[tokio::test]
async fn t8_the_failure_of_one_chunk_stops_those_beside_it() {
    let desk = desk().await;
    // Once: a sequence doesn't forget what is rolled back.
    desk.execute(
        "CREATE SEQUENCE failures;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF nextval('failures') = 1 THEN RAISE 'broken for a test'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER fail BEFORE UPDATE ON helpdesk.tickets FOR EACH ROW WHEN (NEW.id = 14)
         EXECUTE FUNCTION fail()",
    )
    .await;
    let agent = editing(&desk, 5).await;
    let merge = desk.start(&request(1, 2));
    desk.merge_waits_for(&agent).await;
    eventually("a chunk that fails", || async {
        let failed = "SELECT is_called::int::bigint FROM failures";
        (desk.number(failed).await == 1).then_some(())
    })
    .await;
    agent.commit().await;

    let error = merge.await.unwrap().unwrap_err();
    assert!(!error.is_passing(), "{error}");
    // One more may have begun before the failure was known.
    let moved = desk.number(MOVED).await;
    assert!([10, 20].contains(&moved), "{moved} tickets moved");
    assert_each_moved_once(&desk, moved).await;
    assert_counts_match_the_log(&desk).await;

    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.moved.tickets.live, 45 - moved);
    assert_each_moved_once(&desk, 45).await;
}

/// R4: a pause ends both lanes, and each chunk that was at work is part of the run that moved it.
#[tokio::test]
async fn r4_a_pause_counts_what_both_chunks_have_moved() {
    let desk = desk().await;
    let (mut endings, mut all) = (Vec::new(), 0);
    while endings.last() != Some(&Ending::Completed) {
        assert!(endings.len() < 10, "{endings:?}");
        let report = desk.run_one_chunk(&request(1, 2)).await.unwrap();
        endings.push(report.ending);
        all += report.moved.tickets.live;
        assert_each_moved_once(&desk, all).await;
        assert_counts_match_the_log(&desk).await;
    }
    assert_eq!(all, 45);
}

/// R4 and R7: a chunk that can't have one of its tickets is cut up until that ticket stands alone, after all others
/// are moved.
#[tokio::test]
async fn r4_a_range_that_failed_is_claimed_again_in_smaller_chunks() {
    let mut desk = desk().await;
    desk.settings.chunk.min = 1;
    desk.settings.database.lock_timeout = Duration::from_millis(20);
    desk.settings.retry.immediate = 1000;
    let agent = editing(&desk, 5).await;
    let merge = desk.start(&request(1, 2));
    eventually("all but one moved", || async {
        assert!(!merge.is_finished(), "it has given up");
        (desk.number(MOVED).await == 44).then_some(())
    })
    .await;
    agent.commit().await;

    let report = merge.await.unwrap().unwrap();
    assert_eq!(report.moved.tickets.live, 45);
    assert_each_moved_once(&desk, 45).await;
    assert_counts_match_the_log(&desk).await;
}

/// R5: a worker with two chunks in hand loses the merge: neither of them does anything.
#[tokio::test]
async fn r5_both_chunks_of_a_worker_that_lost_the_merge_do_nothing() {
    let desk = desk().await;
    let merge = request(1, 2);
    let (one, other) = (editing(&desk, 5).await, editing(&desk, 15).await);
    let old = desk.start(&merge);
    waiting_for_locks(&desk, 2).await;
    let mut taking = desk.pool.begin().await.unwrap();
    let held = hold(&mut taking, MergeId::now_v7(), envelope(&merge)).await;
    assert_eq!(held.unwrap().record.fence, 2);
    taking.commit().await.unwrap();
    one.commit().await;
    other.commit().await;

    let error = old.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Fenced), "{error}");
    assert_each_moved_once(&desk, 0).await;
    assert_eq!(desk.number(COUNTED).await, 0);

    let report = desk.run(&merge).await.unwrap();
    assert_eq!(report.moved.tickets.live, 45);
    assert_each_moved_once(&desk, 45).await;
}
