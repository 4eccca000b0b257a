//! While merges go on: what is under way is no finding, and what came late is the sweep's for a while.

use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;
use user_merge::domain::MergeRequest;
use user_merge::verify::{self, Plan, Progress, Report};

use super::lived_in::lived_in;
use crate::harness::{Desk, Queues, Running, eventually, found, request};

/// Verifies; as soon as `is_time` says so it stands still, until the test has done something meanwhile.
async fn verify_and_meanwhile(
    desk: &Desk,
    plan: Plan,
    is_time: fn(Progress<'_>) -> bool,
    meanwhile: impl Future<Output = ()>,
) -> Report {
    let (tell, told) = oneshot::channel();
    let (go_on, wait) = mpsc::channel();
    let mut tell = Some(tell);
    let pool = user_merge::app::pool(&desk.settings).unwrap();
    let verifying = tokio::spawn(async move {
        let watch = move |progress: Progress<'_>| {
            if is_time(progress)
                && let Some(tell) = tell.take()
            {
                tell.send(()).unwrap();
                tokio::task::block_in_place(|| wait.recv().unwrap());
            }
        };
        verify::run(&pool, &plan, watch).await.unwrap()
    });
    told.await.expect("the time never came");
    meanwhile.await;
    go_on.send(()).unwrap();
    verifying.await.unwrap()
}

/// The log is read in several batches: the merge wrote some entries behind the reader and some before it.
#[tokio::test(flavor = "multi_thread")]
async fn t8_a_merge_that_goes_on_while_the_log_is_read_is_left_for_the_next_time() {
    let desk = lived_in().await;
    for entries in [1, 20, 40] {
        desk.tickets(600 + 10 * entries, 4, 15, "open").await;
        let plan = Plan {
            batch: 1,
            ..desk.plan()
        };
        let is_time = match entries {
            1 => |progress: Progress<'_>| progress.report.log_entries == 1,
            20 => |progress: Progress<'_>| progress.report.log_entries == 20,
            _ => |progress: Progress<'_>| progress.report.log_entries == 40,
        };
        let report = verify_and_meanwhile(&desk, plan, is_time, async {
            desk.run_one_chunk(&request(15, 16)).await.unwrap();
            desk.run(&request(30 + entries, 60)).await.unwrap();
        })
        .await;
        assert_eq!(found(&report), []);
        assert_eq!(report.in_motion, 2, "the chunk, and a request that is new");
    }
    assert_eq!(desk.verify().await.in_motion, 0);
}

/// D4: a ticket that has just come late is no finding if the sweep moves it on in time.
#[tokio::test(flavor = "multi_thread")]
async fn d4_what_came_late_is_the_sweeps_for_a_while() {
    let desk = lived_in().await;
    desk.tickets(500, 1, 7, "new").await;
    desk.cc(40, 7).await;
    desk.identity(8, "email", "late@example.com", true).await;
    let patient = |seconds| Plan {
        patience: Duration::from_secs(seconds),
        ..desk.plan()
    };
    let waits = |progress: Progress<'_>| progress.account.is_none();
    let report = verify_and_meanwhile(&desk, patient(1), waits, async {}).await;
    let codes: Vec<_> = found(&report)
        .iter()
        .map(|(check, _)| check.code())
        .collect();
    assert_eq!(codes, ["left_ticket", "left_cc", "left_email"]);
    let report = verify_and_meanwhile(&desk, patient(3_600), waits, async {
        let moved = desk.merger().move_late(None, 3_600.0, 100).await.unwrap();
        assert_eq!(moved.1, None, "the whole round");
    })
    .await;
    assert_eq!(found(&report), []);
}

/// D4: nobody is waited for where no sweep will come.
#[tokio::test]
async fn d4_what_reaches_a_user_who_is_no_longer_looked_after_is_found_at_once() {
    let desk = lived_in().await;
    desk.tickets(500, 1, 3, "new").await;
    let plan = Plan {
        patience: Duration::from_hours(1),
        ..desk.plan()
    };
    let pool = user_merge::app::pool(&desk.settings).unwrap();
    let watch = |progress: Progress<'_>| assert!(progress.account.is_some(), "it waits");
    let report = verify::run(&pool, &plan, watch).await.unwrap();
    pool.close().await;
    assert_eq!(report.violations(), 1);
}

/// Merges of several chunks, chains, many into one, and tickets that come late, by a worker with a sweep.
#[tokio::test]
async fn a_worker_at_work_gives_nothing_to_report() {
    let mut desk = Desk::open().await;
    desk.chunks_of(3);
    desk.settings.sweep.interval = Duration::from_millis(50);
    desk.settings.relay.interval = Duration::from_millis(50);
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=50).await;
    for source in 1..=40 {
        desk.tickets(source * 100, 10, source, "open").await;
        desk.archived_tickets(source * 100 + 50, 5, source).await;
    }
    desk.execute(
        "INSERT INTO helpdesk.ticket_ccs
         SELECT 1, ticket * 100, user_id FROM generate_series(1, 40) ticket, generate_series(1, 40, 3) user_id",
    )
    .await;
    let worker = Running::start(&desk).await;
    let requests: Vec<MergeRequest> = (1..=40)
        .map(|source| request(source, if source > 30 { 41 } else { source + 10 }))
        .collect();
    for request in &requests {
        queues.send(request).await;
    }
    let plan = Plan {
        patience: Duration::from_mins(1),
        batch: 7,
        ..desk.plan()
    };
    let ended = "SELECT count(*) FROM user_merge.merges WHERE state IN ('completed', 'rejected')";
    let mut late = 10_000;
    loop {
        // Before it looks, so that it looks at the end once more.
        let all = desk.number(ended).await == 40;
        let report = desk.verify_as(&plan).await;
        assert_eq!(found(&report), []);
        if all {
            break;
        }
        desk.execute(&format!(
            "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
             SELECT 1, {late} + id, id, 1, 'late' FROM helpdesk.users WHERE merged_into IS NOT NULL ORDER BY id LIMIT 2"
        ))
        .await;
        late += 100;
    }
    eventually("a quiet desk", || async {
        desk.verify().await.holds().then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(desk.verify().await.in_motion, 0);
}
