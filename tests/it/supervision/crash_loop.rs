//! A message that ends every worker it is delivered to.

use super::lines;
use crate::harness::{Desk, Process, Queues, Writer, eventually, request};
use crate::telemetry::until_merges;

const LANE: &str = "user-merge.requests";

/// A worker takes the message that waits for this lock, and is killed at it.
async fn crash(desk: &Desk, locked: &Writer) {
    let worker = Process::worker(desk).ready().await;
    desk.merge_waits_for(locked).await;
    drop(worker);
    eventually("the end of its connections", || async {
        let left = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'user-merge'";
        desk.end_connections().await;
        (desk.number(left).await == 0).then_some(())
    })
    .await;
}

/// R7: its last delivery gives the merge up, with a reason, and frees or keeps its users as any failure does.
#[tokio::test]
async fn r7_a_message_that_crashes_every_worker_is_given_up_with_its_reason() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.broker.delivery_limit = 20;
    desk.settings.database.lock_timeout = std::time::Duration::from_secs(50);
    desk.settings.database.statement_timeout = std::time::Duration::from_mins(1);
    desk.settings.worker.stuck_after = std::time::Duration::from_mins(10);
    desk.chunks_of(10);
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    let locked = desk
        .begin_with("SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE")
        .await;
    queues.send(&request(1, 2)).await;
    // Nobody has the patience for twenty crashes: most are returns by hand. One more is the worker's, which takes
    // a suspect alone.
    for _ in 0..17 {
        give_back_once(&queues).await;
    }
    crash(&desk, &locked).await;
    crash(&desk, &locked).await;

    let worker = Process::worker(&desk).ready().await;
    worker
        .line("the message came back unsettled too often")
        .await;
    assert_eq!(lines(&worker, "given up"), 1);
    locked.rollback().await;
    let event = queues.event().await.json();
    assert_eq!(
        (
            &event["type"],
            &event["failure"]["reason"],
            &event["tickets"]["live"]
        ),
        (&"merge.failed".into(), &"delivery_limit".into(), &10.into())
    );
    let dead = queues.next("user-merge.dead").await;
    let headers = ["x-reason", "x-detail", "x-lane"].map(|name| dead.header(name));
    let expected = ["delivery_limit", "delivery_limit", "interactive"];
    assert_eq!(headers, expected.map(|text| Some(text.to_owned())));
    let row = "SELECT concat_ws(' ', state, holds_users, last_error) FROM user_merge.merges";
    assert_eq!(
        desk.text(row).await.as_deref(),
        Some("failed t delivery_limit")
    );
    assert!(queues.peek(LANE).await.is_none());

    // Replayed, it begins with a count of its own.
    queues.publish(LANE, &dead.body, dead.properties).await;
    until_merges(&desk, "completed", 1).await;
}

/// R6, R7: those that are taken together with it are not given up with it.
#[tokio::test]
async fn r7_a_message_that_crashes_every_worker_takes_no_other_with_it() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.database.lock_timeout = std::time::Duration::from_secs(50);
    desk.settings.database.statement_timeout = std::time::Duration::from_mins(1);
    desk.settings.worker.stuck_after = std::time::Duration::from_mins(10);
    // The others are taken ahead each time, and none of them is begun.
    desk.settings.lanes.interactive.concurrency = 1;
    desk.users(1..=12).await;
    let locked = desk
        .begin_with("SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE")
        .await;
    for source in 1..=6 {
        queues.send(&request(source, source + 6)).await;
    }
    // As after the first crashes: all have come back nearly half as often as they may.
    for _ in 0..9 {
        give_back_once(&queues).await;
    }
    for _ in 0..6 {
        crash(&desk, &locked).await;
    }
    let worker = Process::worker(&desk).ready().await;
    until_merges(&desk, "failed", 1).await;
    until_merges(&desk, "completed", 5).await;
    locked.rollback().await;
    let failed = "SELECT source_user_id FROM user_merge.merges WHERE state = 'failed'";
    assert_eq!(desk.number(failed).await, 1);
    let dead = queues.next("user-merge.dead").await;
    assert_eq!(dead.header("x-reason").as_deref(), Some("delivery_limit"));
    assert!(queues.peek("user-merge.dead").await.is_none());
    drop(worker);
}

/// All that the lane holds is taken once and given back, in its order.
async fn give_back_once(queues: &Queues) {
    use lapin::options::{BasicGetOptions, BasicNackOptions};
    let lane = queues.name(LANE);
    let mut taken = Vec::new();
    let get = || {
        queues
            .channel
            .basic_get(lane.as_str().into(), BasicGetOptions::default())
    };
    while let Some(message) = get().await.unwrap() {
        taken.push(message);
    }
    assert!(!taken.is_empty());
    let options = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    for message in taken {
        assert!(message.delivery.acker.nack(options).await.unwrap());
    }
    eventually("all of them back", || async {
        (queues.count(LANE).await > 0).then_some(())
    })
    .await;
}
