//! Stopping the real worker by signals: what it is at comes to a safe point, and nothing is lost if it doesn't.
//! Locks that the test holds keep a merge where it is for as long as the test wants.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use sqlx::{Postgres, Transaction};
use user_merge::domain::MergeRequest;

use crate::harness::{Desk, Process, Queues, eventually, request};

const LANE: &str = "user-merge.requests";
const DELETIONS: &str = "user-deletion.requests";
const TICKETS: i64 = 10_000;

/// A desk whose source has 10,000 tickets, moved in chunks of 100, and a worker that is patient with locks.
async fn large() -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    patient(&mut desk);
    let chunk = &mut desk.settings.chunk;
    (chunk.min, chunk.initial, chunk.max) = (100, 100, 100);
    desk.users([1, 2]).await;
    desk.tickets(1, TICKETS, 1, "open").await;
    (desk, queues)
}

fn patient(desk: &mut Desk) {
    desk.settings.database.lock_timeout = Duration::from_secs(50);
    desk.settings.database.statement_timeout = Duration::from_mins(1);
}

/// Holds one row, as the help desk may, until it is rolled back.
async fn hold(desk: &Desk, table: &str, id: i64) -> Transaction<'static, Postgres> {
    let mut tx = desk.pool.begin().await.unwrap();
    let lock =
        format!("SELECT id FROM helpdesk.{table} WHERE account_id = 1 AND id = {id} FOR UPDATE");
    sqlx::query(sqlx::AssertSqlSafe(lock))
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx
}

/// Waits until so many of the worker's statements stand in front of locks.
async fn blocked(desk: &Desk, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a statement that waits for a lock", || async {
        (desk.number(waiting).await == count).then_some(())
    })
    .await;
}

/// How many messages are ready in the interactive lane: not those that a worker has.
async fn waiting(queues: &Queues) -> u32 {
    let (name, passive) = (
        queues.name(LANE),
        QueueDeclareOptions {
            passive: true,
            ..Default::default()
        },
    );
    let declared =
        queues
            .channel
            .queue_declare(name.as_str().into(), passive, FieldTable::default());
    declared.await.unwrap().message_count()
}

async fn until_waiting(queues: &Queues, count: u32) {
    eventually(&format!("{count} messages in the lane"), || async {
        (waiting(queues).await == count).then_some(())
    })
    .await;
}

/// What was moved so far, by the tickets and by the merge's own count.
async fn moved(desk: &Desk) -> (i64, i64) {
    let tickets = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2";
    let counted = "SELECT live FROM user_merge.merges WHERE state = 'running'";
    (desk.number(tickets).await, desk.number(counted).await)
}

/// Another worker ends the merge; then everything is there, and nothing twice.
async fn another_worker_finishes(desk: &Desk, queues: &Queues) {
    let mut worker = Process::worker(desk).ready().await;
    let event = queues.event().await.json();
    assert_eq!(event["type"], "merge.completed");
    assert_eq!(event["tickets"]["live"], TICKETS);
    let deletion = queues.next(DELETIONS).await.json();
    assert_eq!(deletion["idempotency_key"], "user-deletion:1:1");
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
    assert!(
        queues.peek(DELETIONS).await.is_none(),
        "a second deletion message"
    );
    assert!(queues.events().await.is_empty(), "a second event");
    assert_eq!(waiting(queues).await, 0);
    for (sql, expected) in [
        (
            "SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2",
            TICKETS,
        ),
        ("SELECT count(*) FROM helpdesk.ticket_events", TICKETS),
        (
            "SELECT count(DISTINCT ticket_id) FROM helpdesk.ticket_events",
            TICKETS,
        ),
        (
            "SELECT count(DISTINCT merge_id) FROM helpdesk.ticket_events",
            1,
        ),
        (
            "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL",
            0,
        ),
        (
            "SELECT count(*) FROM user_merge.merges WHERE state <> 'completed'",
            0,
        ),
    ] {
        assert_eq!(desk.number(sql).await, expected, "{sql}");
    }
}

/// T8 and R4: the running chunk is finished, progress is kept, the message goes back.
async fn stops_between_two_chunks(signal: &str) {
    let (desk, queues) = large().await;
    let row = hold(&desk, "tickets", 5_000).await;
    let mut worker = Process::worker(&desk).ready().await;
    queues.send(&request(1, 2)).await;
    blocked(&desk, 1).await;
    let before = moved(&desk).await;
    assert_eq!(before, (4_900, 4_900), "49 chunks, and one that waits");

    worker.signal(signal);
    worker.line("stopping: no more messages are taken").await;
    assert!(worker.runs(), "its chunk is not finished");
    row.rollback().await.unwrap();
    assert_eq!(worker.exit().await, 0);
    worker.line("\"stopped\"").await;
    assert_eq!(
        moved(&desk).await,
        (5_000, 5_000),
        "the chunk it was at, and no more"
    );
    until_waiting(&queues, 1).await;
    another_worker_finishes(&desk, &queues).await;
}

#[tokio::test]
async fn r4_sigterm_ends_a_large_merge_between_two_chunks() {
    stops_between_two_chunks("TERM").await;
}

#[tokio::test]
async fn r4_sigint_ends_a_large_merge_between_two_chunks() {
    stops_between_two_chunks("INT").await;
}

/// Not even the client library, which is off otherwise, has something to complain about.
#[tokio::test]
async fn an_idle_worker_stops_without_a_complaint() {
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    for signal in ["TERM", "INT"] {
        let worker = Process::worker_with(&desk, &[("RUST_LOG", "trace")]);
        let mut worker = worker.ready().await;
        worker.signal(signal);
        assert_eq!(worker.exit().await, 0);
        let lines = worker.json_lines();
        assert_eq!(lines.last().unwrap()["message"], "stopped");
        let complains =
            |line: &&serde_json::Value| line["level"] == "WARN" || line["level"] == "ERROR";
        assert_eq!(lines.iter().find(complains), None);
    }
}

/// What was taken ahead goes back at once, not after what is at work.
#[tokio::test]
async fn messages_taken_ahead_are_given_back_at_once() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    patient(&mut desk);
    let lane = &mut desk.settings.lanes.interactive;
    (lane.concurrency, lane.prefetch) = (1, 5);
    desk.users(1..=12).await;
    let row = hold(&desk, "users", 1).await;
    let mut worker = Process::worker(&desk).ready().await;
    let requests: Vec<MergeRequest> = (1..=6).map(|id| request(id, id + 6)).collect();
    for request in &requests {
        queues.send(request).await;
    }
    blocked(&desk, 1).await;
    until_waiting(&queues, 1).await;

    worker.signal("TERM");
    until_waiting(&queues, 5).await;
    assert!(worker.runs());
    row.rollback().await.unwrap();
    assert_eq!(worker.exit().await, 0);
    let done = "SELECT string_agg(source_user_id::text, ',') FROM user_merge.merges WHERE state = 'completed'";
    assert_eq!(desk.text(done).await.as_deref(), Some("1"));
    assert_eq!(waiting(&queues).await, 5);

    let mut worker = Process::worker(&desk).ready().await;
    let all = "SELECT count(*) FROM user_merge.merges WHERE state = 'completed'";
    eventually("all merges", || async {
        (desk.number(all).await == 6).then_some(())
    })
    .await;
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
    let mut deleted = Vec::new();
    while let Some(message) = queues.peek(DELETIONS).await {
        deleted.push(message.json()["user_id"].as_i64().unwrap());
    }
    deleted.sort_unstable();
    assert_eq!(deleted, [1, 2, 3, 4, 5, 6]);
}

/// R4: what the process was at is rolled back, or finished by the server; either way it goes on from there.
#[tokio::test]
async fn r4_a_second_signal_ends_it_at_once_and_nothing_is_lost() {
    let (desk, queues) = large().await;
    let row = hold(&desk, "tickets", 5_000).await;
    let mut worker = Process::worker(&desk).ready().await;
    queues.send(&request(1, 2)).await;
    blocked(&desk, 1).await;
    worker.signal("TERM");
    worker.line("stopping: no more messages are taken").await;
    worker.signal("INT");
    assert_eq!(worker.exit().await, 1);
    worker.line("ended by a second signal").await;
    until_waiting(&queues, 1).await;
    row.rollback().await.unwrap();
    another_worker_finishes(&desk, &queues).await;
}

/// R4: likewise.
#[tokio::test]
async fn r4_the_grace_period_ends_it_and_nothing_is_lost() {
    let (mut desk, queues) = large().await;
    desk.settings.worker.grace = Duration::from_secs(1);
    let row = hold(&desk, "tickets", 5_000).await;
    let mut worker = Process::worker(&desk).ready().await;
    queues.send(&request(1, 2)).await;
    blocked(&desk, 1).await;
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 1);
    // Not always the last line: the statement that was cut off may be logged as a slow one after it.
    let lines = worker.json_lines();
    let says = |line: &serde_json::Value| {
        let message = line["message"].as_str();
        message.is_some_and(|message| message.contains("worker.grace"))
    };
    assert!(lines.iter().any(says), "{lines:?}");
    until_waiting(&queues, 1).await;
    row.rollback().await.unwrap();
    another_worker_finishes(&desk, &queues).await;
}

/// A database that never answered is no reason to hang.
#[tokio::test]
async fn a_worker_that_waits_for_its_database_lives_and_stops() {
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    // Nobody listens there.
    desk.settings.database.url = Some("postgres://127.0.0.1:1/x".to_owned().into());
    desk.settings.database.connect_timeout = Duration::from_millis(100);
    let mut worker = Process::worker(&desk);
    worker.line("waiting for the database at 127.0.0.1:").await;
    assert_eq!(worker.get("/healthz").await.0, 200);
    let (status, body) = worker.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("database"), "{body}");
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
}
