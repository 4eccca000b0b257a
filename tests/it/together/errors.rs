//! Something goes wrong with one of several: halves are tried, until whoever is at fault stands alone.

use user_merge::merge::Ending;

use super::{
    all_traces, assert_all_end_well, assert_log_is_exact, assert_third_stands_apart, endings,
    four_pairs,
};
use crate::harness::{Desk, request};

/// Where and when the third pair's merge (users 12 and 22) fails.
const FAULTS: [(&str, &str); 9] = [
    ("BEFORE UPDATE ON helpdesk.tickets", "NEW.id = 1201"),
    (
        "BEFORE UPDATE ON helpdesk.archived_tickets",
        "NEW.id = 1221",
    ),
    (
        "BEFORE INSERT ON helpdesk.ticket_events",
        "NEW.ticket_id = 1210",
    ),
    ("BEFORE DELETE ON helpdesk.ticket_ccs", "OLD.user_id = 12"),
    ("BEFORE UPDATE ON helpdesk.users", "NEW.id = 22"),
    ("BEFORE UPDATE ON helpdesk.users", "NEW.id = 12"),
    (
        "BEFORE UPDATE ON helpdesk.user_identities",
        "OLD.user_id = 12",
    ),
    (
        "BEFORE INSERT ON user_merge.merges",
        "NEW.source_user_id = 12",
    ),
    (
        "BEFORE INSERT ON user_merge.outbox",
        "NEW.message_id = 'user-deletion:1:12'",
    ),
];

/// A trigger that does this to the rows of one pair.
async fn arm(desk: &Desk, event: &str, condition: &str, act: &str) {
    desk.execute(&format!(
        "CREATE FUNCTION public.fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {act} END $$;
         CREATE TRIGGER fault {event} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION public.fault()"
    ))
    .await;
}

async fn disarm(desk: &Desk) {
    desk.execute("DROP FUNCTION public.fault() CASCADE").await;
}

/// R7: whatever the database says about one pair's rows, of whatever kind, the others are done, once, and nothing of
/// that pair. When the cause is gone, it comes to its end.
#[tokio::test]
async fn r7_an_error_stands_alone() {
    let full = Desk::open().await;
    let requests = four_pairs(&full).await;
    let states = ["40001", "23514", "P0001", "XX000"];
    for (n, (event, condition)) in FAULTS.into_iter().enumerate() {
        println!("{event} of {condition}");
        let desk = full.copy().await;
        let raise = format!("RAISE SQLSTATE '{}';", states[n % states.len()]);
        arm(&desk, event, condition, &raise).await;
        let before = all_traces(&desk, &requests).await;
        let reports = desk.run_together(&requests).await;
        assert_third_stands_apart(&desk, &requests, &before, &reports).await;
        disarm(&desk).await;
        assert_all_end_well(&desk, &requests).await;
    }
}

/// R7: also where it is said only when the transaction is to be committed.
#[tokio::test]
async fn r7_an_error_at_the_commit_stands_alone() {
    let desk = Desk::open().await;
    let requests = four_pairs(&desk).await;
    desk.execute(
        "CREATE FUNCTION public.fault() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE SQLSTATE '23514'; END $$;
         CREATE CONSTRAINT TRIGGER fault AFTER UPDATE ON helpdesk.users DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW WHEN (NEW.id = 12) EXECUTE FUNCTION public.fault()",
    )
    .await;
    let before = all_traces(&desk, &requests).await;
    let reports = desk.run_together(&requests).await;
    assert_third_stands_apart(&desk, &requests, &before, &reports).await;
    disarm(&desk).await;
    assert_all_end_well(&desk, &requests).await;
}

/// D1: rows of one pair that stay where they are, without an error: its end is stopped, and only its end.
#[tokio::test]
async fn d1_what_is_left_of_one_source_stops_only_its_end() {
    let full = Desk::open().await;
    let requests = four_pairs(&full).await;
    for (event, condition) in [
        ("BEFORE UPDATE ON helpdesk.tickets", "OLD.id = 1201"),
        (
            "BEFORE UPDATE ON helpdesk.archived_tickets",
            "OLD.id = 1221",
        ),
        ("BEFORE DELETE ON helpdesk.ticket_ccs", "OLD.user_id = 12"),
        (
            "BEFORE UPDATE ON helpdesk.user_identities",
            "OLD.user_id = 12 AND OLD.kind = 'email'",
        ),
        ("BEFORE UPDATE ON helpdesk.users", "OLD.id = 12"),
        ("BEFORE UPDATE ON helpdesk.users", "OLD.id = 22"),
    ] {
        println!("{event} of {condition}");
        let desk = full.copy().await;
        arm(&desk, event, condition, "RETURN NULL;").await;
        let before = all_traces(&desk, &requests).await;
        let reports = desk.run_together(&requests).await;
        assert_third_stands_apart(&desk, &requests, &before, &reports).await;
        disarm(&desk).await;
        assert_all_end_well(&desk, &requests).await;
    }
}

/// Several merges at once, of users 1 to 8: so the merger has several connections at hand.
async fn warm(desk: &Desk, merger: &user_merge::merge::Merger) {
    desk.users(1..=8).await;
    let all = [request(1, 5), request(2, 6), request(3, 7), request(4, 8)];
    let [a, b, c, d] = all.each_ref().map(|request| desk.run_with(merger, request));
    for ran in <[_; 4]>::from(tokio::join!(a, b, c, d)) {
        assert_eq!(ran.unwrap().ending, Ending::Completed);
    }
}

/// R7: many of them fail: each of the others is done all the same, and by the batch's halves or by itself, once. A
/// half doesn't meet the locks of the whole that it was tried in before.
#[tokio::test]
async fn r7_several_errors_stand_alone() {
    let desk = Desk::open().await;
    let merger = desk.merger();
    Box::pin(warm(&desk, &merger)).await;
    desk.users(100..200).await;
    let mut requests = Vec::new();
    for source in 100..150 {
        desk.tickets(10 * source, 2, source, "open").await;
        requests.push(request(source, source + 50));
    }
    arm(
        &desk,
        "BEFORE UPDATE ON helpdesk.tickets",
        "NEW.requester_id IN (157, 181, 182)",
        "RAISE SQLSTATE 'XX000';",
    )
    .await;
    let mut endings = endings(&desk.run_together_with(&merger, &requests).await);
    let alone: Vec<_> = (0..50).filter(|at| endings[*at].is_none()).collect();
    assert!(alone.len() <= 9, "by themselves: {alone:?}");
    for at in [7, 31, 32] {
        assert_eq!(endings[at], None);
    }
    for (request, ending) in requests.iter().zip(&mut endings) {
        if ending.is_none() {
            *ending = desk.run(request).await.ok().map(|report| report.ending);
        }
    }
    let failed: Vec<_> = (0..50).filter(|at| endings[*at].is_none()).collect();
    assert_eq!(failed, [7, 31, 32]);
    assert_log_is_exact(&desk).await;
    disarm(&desk).await;
    let all = super::run_all(&desk, &requests).await;
    let done = all.iter().filter(|end| **end == Ending::Completed).count();
    assert_eq!((done, all.len()), (3, 50));
    assert_log_is_exact(&desk).await;
    desk.assert_verified().await;
}

/// R7: a database that is away is nobody's fault: nothing is done, and nothing is tried in halves.
#[tokio::test]
async fn r7_without_a_database_each_goes_by_itself() {
    let mut desk = Desk::open().await;
    desk.settings.database.connect_timeout = std::time::Duration::from_millis(300);
    let requests = four_pairs(&desk).await;
    let before = all_traces(&desk, &requests).await;
    let merger = desk.merger();
    desk.shut().await;
    let reports = desk.run_together_with(&merger, &requests).await;
    assert_eq!(endings(&reports), [None; 4]);
    desk.reopen().await;
    assert_eq!(all_traces(&desk, &requests).await, before);
    let again = desk.run_together_with(&merger, &requests).await;
    assert_eq!(endings(&again), [Some(Ending::Completed); 4]);
    desk.assert_verified().await;
}

/// R7: the database goes while the batch is at its last statement.
#[tokio::test]
async fn r7_a_database_that_goes_takes_the_whole_batch_with_it() {
    let desk = Desk::open().await;
    let requests = four_pairs(&desk).await;
    let before = all_traces(&desk, &requests).await;
    // As if an operator ended the session, once all else was written.
    arm(
        &desk,
        "BEFORE INSERT ON user_merge.outbox",
        "NEW.message_id = 'user-deletion:1:13'",
        "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN NEW;",
    )
    .await;
    let reports = desk.run_together(&requests).await;
    assert_eq!(endings(&reports), [None; 4]);
    assert_eq!(all_traces(&desk, &requests).await, before);
    disarm(&desk).await;
    assert_eq!(
        super::run_all(&desk, &requests).await,
        [Ending::Completed; 4]
    );
    assert_log_is_exact(&desk).await;
    desk.assert_verified().await;
}
