//! No delivery comes near the broker's consumer time-out, whatever it waits for; and if one does, no harm is done.

use std::time::Duration;

use super::{lines, missing};
use crate::harness::{Desk, OwnServers, Process, Queues, eventually, request};
use crate::telemetry::{metric, until_merges, until_metric};

const LANE: &str = "user-merge.requests";
const FAILURES: &str = "user_merge_broker_failures_total";
/// The broker's patience. The worker's is at most four slices: 4 s.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(8);

async fn open(servers: &OwnServers) -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    let queues = Queues::open_at(&mut desk, servers.address("USER_MERGE__BROKER__URL")).await;
    desk.settings.merge.slice = Duration::from_secs(1);
    desk.settings.database.connect_timeout = Duration::from_millis(300);
    let lane = &mut desk.settings.lanes.interactive;
    (lane.concurrency, lane.prefetch) = (1, 2);
    desk.users(1..=20).await;
    (desk, queues)
}

#[tokio::test]
async fn r7_nothing_is_held_until_the_broker_loses_its_patience() {
    let servers = OwnServers::start();
    let milliseconds = CONSUMER_TIMEOUT.as_millis();
    let set = format!(
        "application:set_env(rabbit, consumer_timeout, {milliseconds}),
         application:set_env(rabbit, channel_tick_interval, 1000)."
    );
    servers.run("rabbitmqctl", &["eval", &set]);
    an_outage_gives_back_what_was_taken(&servers).await;
    a_publish_that_is_blocked_gives_its_message_back(&servers).await;
    what_waits_behind_large_merges_is_put_back(&servers).await;
    a_message_that_was_taken_back_is_done_once(&servers).await;
}

/// The database is away for longer than the broker's patience.
async fn an_outage_gives_back_what_was_taken(servers: &OwnServers) {
    let (mut desk, queues) = open(servers).await;
    desk.settings.retry.max_attempts = 1;
    let worker = Process::worker(&desk).ready().await;
    desk.shut().await;
    for source in 1..=5 {
        queues.send(&request(source, source + 10)).await;
    }
    eventually("all messages given back", || async {
        (queues.count(LANE).await == 5).then_some(())
    })
    .await;
    let all = [
        "consuming bulk",
        "consuming interactive",
        "taking bulk",
        "taking interactive",
        "database",
    ];
    missing(&worker, &all).await;
    tokio::time::sleep(CONSUMER_TIMEOUT).await;
    assert_eq!(metric(&worker, FAILURES, "consuming").await, 0);
    assert_eq!(queues.count(LANE).await, 5);
    desk.reopen().await;
    let worker = worker.ready().await;
    until_merges(&desk, "completed", 5).await;
    assert_eq!(metric(&worker, FAILURES, "consuming").await, 0);
    assert_eq!(
        desk.number("SELECT sum(attempts) FROM user_merge.merges")
            .await,
        0
    );
}

/// The broker takes no messages (a memory alarm), so a request can't be put off.
async fn a_publish_that_is_blocked_gives_its_message_back(servers: &OwnServers) {
    let (mut desk, queues) = open(servers).await;
    desk.settings.broker.publish_timeout = Duration::from_millis(500);
    let worker = Process::worker(&desk).ready().await;
    desk.execute(
        "INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id,
                                        lane, state, holds_users)
         VALUES (1, gen_random_uuid(), 'other', 7, 8, 'bulk', 'running', true)",
    )
    .await;
    queues.send(&request(8, 9)).await;
    queues.send(&request(1, 11)).await;
    until_metric(&worker, "user_merge_outbox_published_total", "", 2).await;
    servers.run("rabbitmqctl", &["set_vm_memory_high_watermark", "0"]);
    until_metric(
        &worker,
        FAILURES,
        "connection=\"publishing\",cause=\"blocked\"",
        3,
    )
    .await;
    missing(&worker, &["publishing"]).await;
    assert_eq!(
        lines(&worker, "can't publish"),
        1,
        "one line for all who wait"
    );
    tokio::time::sleep(CONSUMER_TIMEOUT).await;
    assert_eq!(metric(&worker, FAILURES, "consuming").await, 0);
    assert_eq!(worker.get("/healthz").await.0, 200);
    servers.run(
        "rabbitmqctl",
        &["set_vm_memory_high_watermark", "absolute", "512MB"],
    );
    let worker = worker.ready().await;
    worker.line("publishing again").await;
    desk.execute("DELETE FROM user_merge.merges WHERE idempotency_key = 'other'")
        .await;
    until_merges(&desk, "completed", 2).await;
}

/// Merges that take their time, one after the other on one hand, and all of them taken ahead at once.
async fn what_waits_behind_large_merges_is_put_back(servers: &OwnServers) {
    let (mut desk, queues) = open(servers).await;
    desk.settings.lanes.interactive.prefetch = 100;
    desk.chunks_of(10);
    for source in 1..=10 {
        desk.tickets(source * 100, 40, source, "open").await;
    }
    desk.execute(
        "CREATE FUNCTION helpdesk.slow() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END$$;
         CREATE TRIGGER slow AFTER UPDATE ON helpdesk.tickets FOR EACH STATEMENT
             EXECUTE FUNCTION helpdesk.slow()",
    )
    .await;
    for source in 1..=10 {
        queues.send(&request(source, source + 10)).await;
    }
    let worker = Process::worker(&desk).ready().await;
    until_merges(&desk, "completed", 10).await;
    assert_eq!(metric(&worker, FAILURES, "consuming").await, 0);
    assert_eq!(metric(&worker, "user_merge_stale_acks_total", "").await, 0);
}

/// A statement that takes longer than the broker waits: the channel is closed, and the message comes again while
/// the first worker still has it.
async fn a_message_that_was_taken_back_is_done_once(servers: &OwnServers) {
    let (mut desk, queues) = open(servers).await;
    desk.settings.database.lock_timeout = Duration::from_secs(50);
    desk.settings.database.statement_timeout = Duration::from_mins(1);
    desk.settings.worker.stuck_after = Duration::from_mins(10);
    desk.tickets(1, 25, 1, "open").await;
    let worker = Process::worker(&desk).ready().await;
    let locked = desk
        .begin_with("SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE")
        .await;
    queues.send(&request(1, 2)).await;
    until_metric(
        &worker,
        FAILURES,
        "connection=\"consuming\",cause=\"consumer_timeout\"",
        1,
    )
    .await;
    assert_eq!(lines(&worker, "consuming was interrupted"), 1);
    let worker = worker.ready().await;
    locked.rollback().await;
    until_merges(&desk, "completed", 1).await;
    until_metric(&worker, "user_merge_stale_acks_total", "", 1).await;
    let event = queues.event().await.json();
    assert_eq!(event["tickets"]["live"], 25);
    assert_eq!(
        desk.number("SELECT count(*) FROM helpdesk.ticket_events")
            .await,
        25
    );
    let deletion = queues.next("user-deletion.requests").await.json();
    assert_eq!(deletion["idempotency_key"], "user-deletion:1:1");
    drop(worker);
    assert!(queues.peek("user-deletion.requests").await.is_none());
}
