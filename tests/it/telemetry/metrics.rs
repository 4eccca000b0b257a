//! `/metrics` after a run of mixed outcomes: whatever is counted has been counted.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::QueueDeleteOptions;
use user_merge::telemetry::metric::ALL;

use super::{blocked, until_merges, until_metric};
use crate::harness::{Desk, Process, Queues, eventually, key, request};

const LANE: &str = "user-merge.requests";

async fn mixed(desk: &mut Desk) {
    desk.settings.relay.interval = Duration::from_millis(50);
    desk.settings.sweep.interval = Duration::from_millis(50);
    desk.settings.database.lock_timeout = Duration::from_secs(20);
    let chunk = &mut desk.settings.chunk;
    (chunk.min, chunk.initial, chunk.max) = (5, 5, 5);
    desk.users(1..=20).await;
    desk.tickets(10, 2, 1, "open").await;
    desk.tickets(20, 1, 1, "closed").await;
    desk.archived_tickets(30, 1, 1).await;
    desk.tickets(40, 2, 9, "open").await;
    desk.cc(40, 1).await;
    desk.cc(41, 1).await;
    desk.cc(41, 2).await;
    // A merge that was never finished holds users 7 and 8.
    desk.execute(
        "INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id,
                                        lane, state, holds_users)
         VALUES (1, gen_random_uuid(), 'other', 7, 8, 'bulk', 'running', true)",
    )
    .await;
    // A serialization failure for whoever is merged into 12, another error for 14.
    desk.execute(
        "CREATE FUNCTION helpdesk.fail() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'no' USING ERRCODE = TG_ARGV[0]; END $$;
         CREATE TRIGGER busy BEFORE UPDATE ON helpdesk.users FOR EACH ROW
             WHEN (NEW.merged_into = 12) EXECUTE FUNCTION helpdesk.fail('40001');
         CREATE TRIGGER broken BEFORE UPDATE ON helpdesk.users FOR EACH ROW
             WHEN (NEW.merged_into = 14) EXECUTE FUNCTION helpdesk.fail('22000')",
    )
    .await;
}

#[tokio::test]
async fn a_run_of_mixed_outcomes_moves_every_metric() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    mixed(&mut desk).await;
    let worker = Process::worker(&desk).ready().await;

    queues.send(&request(1, 2)).await;
    until_merges(&desk, "completed", 1).await;
    queues.send(&request(1, 2)).await;
    queues.send(&request(5, 5)).await;
    queues.send(&key("conflict", 8, 9)).await;
    queues.send(&request(11, 12)).await;
    queues.send(&request(13, 14)).await;
    queues
        .publish(LANE, b"{}", BasicProperties::default())
        .await;
    desk.tickets(50, 1, 1, "open").await;
    stale_and_fenced(&desk, &queues, &worker).await;
    // A message that waits for its broker, as far as the outbox shows.
    desk.execute(
        "INSERT INTO user_merge.outbox (account_id, merge_id, destination, message_id, body, created_at, claimed_until)
         VALUES (1, gen_random_uuid(), 'event', 'x', '{}', now() - interval '1 hour', now() + interval '1 hour')",
    )
    .await;

    for (name, labels, least) in [
        (
            "user_merge_requests_total",
            "lane=\"interactive\",outcome=\"completed\"",
            1,
        ),
        ("user_merge_requests_total", "repeated", 1),
        ("user_merge_requests_total", "rejected", 1),
        ("user_merge_requests_total", "put_off", 1),
        ("user_merge_requests_total", "unreadable", 1),
        ("user_merge_requests_total", "failed", 1),
        ("user_merge_rejections_total", "same_user", 1),
        ("user_merge_merge_seconds_count", "interactive", 1),
        ("user_merge_tickets_moved_total", "live", 2),
        ("user_merge_tickets_moved_total", "closed", 1),
        ("user_merge_tickets_moved_total", "archived", 1),
        ("user_merge_ccs_total", "moved", 1),
        ("user_merge_ccs_total", "deduplicated", 1),
        ("user_merge_chunk_seconds_count", "", 3),
        ("user_merge_chunk_rows_sum", "", 6),
        ("user_merge_retries_total", "serialization", 2),
        ("user_merge_put_off_total", "serialization", 1),
        ("user_merge_put_off_total", "conflicting_merge", 1),
        ("user_merge_dead_letters_total", "missing_field", 1),
        ("user_merge_dead_letters_total", "other", 1),
        ("user_merge_outbox_published_total", "deletion", 1),
        ("user_merge_outbox_published_total", "event", 3),
        ("user_merge_outbox_published_total", "dead", 1),
        ("user_merge_outbox_pending", "", 1),
        ("user_merge_outbox_oldest_seconds", "", 3600),
        ("user_merge_late_tickets_total", "", 1),
        (
            "user_merge_broker_failures_total",
            "connection=\"consuming\",cause=\"cancelled\"",
            1,
        ),
        ("user_merge_stale_acks_total", "", 1),
        ("user_merge_in_flight", "", 0),
        ("user_merge_consuming", "bulk", 1),
        ("user_merge_fenced_total", "", 1),
        ("user_merge_build_info", env!("CARGO_PKG_VERSION"), 1),
    ] {
        until_metric(&worker, name, labels, least).await;
    }
    // Nothing is counted that the list lacks, and nothing is on the list that never is.
    let (_, text) = worker.get("/metrics").await;
    for listed in ALL {
        let sample = |line: &str| line.starts_with(listed.name);
        assert!(
            text.lines().any(sample),
            "{} was never recorded",
            listed.name
        );
    }
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(
            ALL.iter().any(|listed| listed.name == name),
            "{name} is not listed"
        );
    }
}

/// R5: while a large merge waits for a lock its queue is deleted, and another worker takes it over.
async fn stale_and_fenced(desk: &Desk, queues: &Queues, worker: &Process) {
    desk.tickets(100, 50, 15, "open").await;
    let mut row = desk.pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM helpdesk.tickets WHERE id = 103 FOR UPDATE")
        .fetch_one(&mut *row)
        .await
        .unwrap();
    queues.send(&request(15, 16)).await;
    blocked(desk).await;
    until_metric(worker, "user_merge_in_flight", "interactive", 1).await;
    let lane = queues.name(LANE);
    let delete = queues
        .channel
        .queue_delete(lane.as_str().into(), QueueDeleteOptions::default());
    delete.await.unwrap();
    until_metric(worker, "user_merge_broker_failures_total", "cancelled", 1).await;
    // All chunks pass now; the last transaction waits for the target, and finds another fence when it has it.
    let mut target = desk.pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM helpdesk.users WHERE id = 16 FOR NO KEY UPDATE")
        .fetch_one(&mut *target)
        .await
        .unwrap();
    row.rollback().await.unwrap();
    let moved = "SELECT live FROM user_merge.merges WHERE source_user_id = 15";
    eventually("all chunks", || async {
        (desk.number(moved).await == 50).then_some(())
    })
    .await;
    blocked(desk).await;
    let take_over = "UPDATE user_merge.merges SET fence = fence + 1 WHERE source_user_id = 15";
    desk.execute(take_over).await;
    target.rollback().await.unwrap();
    until_metric(worker, "user_merge_fenced_total", "", 1).await;
    let running =
        "SELECT count(*) FROM user_merge.merges WHERE source_user_id = 15 AND state = 'running'";
    assert_eq!(desk.number(running).await, 1);
}
