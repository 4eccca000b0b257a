//! Statements that take long.

use std::time::Duration;

use super::{only, send_bulk, status, until_full, until_held};
use crate::harness::{Desk, Process, Queues, eventually, request};
use crate::telemetry::until_metric;

/// A large merge whose chunks take much longer than they are meant to.
#[tokio::test]
async fn slow_chunks_hold_the_bulk_lane_and_pause_between_each_other() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    only(&mut desk);
    desk.settings.pace.interval = Duration::from_millis(200);
    desk.settings.pace.statement_time = Duration::from_millis(200);
    desk.chunks_of(2);
    desk.users(1..=6).await;
    desk.tickets(10, 8, 1, "open").await;
    desk.execute(
        "CREATE FUNCTION helpdesk.slow() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END$$;
         CREATE TRIGGER slow BEFORE UPDATE ON helpdesk.tickets FOR EACH ROW EXECUTE FUNCTION helpdesk.slow()",
    )
    .await;
    let worker = Process::worker(&desk).ready().await;
    queues.send(&request(1, 2)).await;
    until_held(&worker, "statement_time").await;
    send_bulk(&queues, &request(3, 4)).await;
    queues.send(&request(5, 6)).await;

    let shown = eventually("a merge that says why it is slow", || async {
        let shown = status(&desk, &["merge-1-2"]).await;
        let is_said = shown.stdout.contains("\nslowed down    a statement takes ");
        is_said.then_some(shown)
    })
    .await;
    assert!(shown.stdout.contains(" s (limit 0.2 s)"), "{shown:?}");
    let shown = status(&desk, &["merge-5-6", "--json"]).await.json();
    assert!(
        shown["merges"][0]["slowed_down"].is_null(),
        "it is done: {shown}"
    );

    let mut done = Vec::new();
    for _ in 0..3 {
        done.push(
            queues.event().await.json()["source_user_id"]
                .as_i64()
                .unwrap(),
        );
    }
    assert_eq!(done[0], 5, "the interactive lane was held up");
    until_metric(&worker, "user_merge_paused_seconds_total", "interactive", 1).await;
    until_full(&worker, &desk).await;
    let done = status(&desk, &["merge-1-2"]).await;
    assert!(!done.stdout.contains("slowed down"), "{done:?}");
}
