//! Who is stuck is ended, and who waits is not.

use std::time::Duration;

use super::lines;
use crate::harness::proxy::{Mode, Proxy};
use crate::harness::{Desk, OwnServers, Process, Queues, eventually, request};
use crate::rules_r::assert_each_moved_once;
use crate::telemetry::until_merges;

/// One of the server's processes, stopped until the value is dropped: its connection stands and answers no more.
struct Frozen(i32);

impl Frozen {
    /// Stops the worker's process that waits for a lock, once there is one.
    async fn waiting_for_a_lock(desk: &Desk) -> Self {
        let waiting = "SELECT coalesce(max(pid), 0)::bigint FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name = 'user-merge'
                         AND wait_event_type = 'Lock'";
        eventually("a stopped process", || async {
            let pid = i32::try_from(desk.number(waiting).await).unwrap();
            if pid == 0 {
                return None;
            }
            signal("STOP", pid);
            let frozen = Self(pid);
            // It may have given up waiting just before.
            (i64::from(pid) == desk.number(waiting).await).then_some(frozen)
        })
        .await
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", self.0);
    }
}

fn signal(name: &str, pid: i32) {
    let pid = pid.to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &pid])
        .status();
    assert!(sent.unwrap().success(), "no process {pid}");
}

/// The process says who is stuck, first to whoever asks, then in its last line, and ends with status 1.
async fn ends_over(mut worker: Process, name: &str) {
    eventually("a worker that says it is stuck", || async {
        let (status, body) = worker.get("/healthz").await;
        (status == 503 && body.contains(&format!("[\"{name}\"]"))).then_some(())
    })
    .await;
    assert_eq!(worker.exit().await, 1);
    let lines = worker.json_lines();
    let says = |line: &&serde_json::Value| line["task"] == name && line["level"] == "ERROR";
    assert_eq!(lines.iter().filter(says).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn r5_a_worker_that_is_stuck_ends_and_one_that_waits_does_not() {
    let servers = OwnServers::start();
    let mut desk = Desk::open_at(&servers.address("USER_MERGE__DATABASE__URL")).await;
    let queues = Queues::open_at(&mut desk, servers.address("USER_MERGE__BROKER__URL")).await;
    impatient(&mut desk);
    desk.users([1, 2, 3, 4]).await;
    desk.tickets(1, 25, 1, "open").await;

    // A chunk whose connection answers no more: time-outs of the server don't arrive.
    let ticket = desk
        .begin_with("SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE")
        .await;
    let worker = Process::worker(&desk).ready().await;
    queues.send(&request(1, 2)).await;
    let frozen = Frozen::waiting_for_a_lock(&desk).await;
    ends_over(worker, "interactive merge").await;
    ticket.rollback().await;
    drop(frozen);
    let worker = Process::worker(&desk).ready().await;
    until_merges(&desk, "completed", 1).await;
    assert_each_moved_once(&desk, 25).await;

    // The relay's connection, likewise: it gives up that one and goes on, for its work is done on any.
    let outbox = desk
        .begin_with("LOCK TABLE user_merge.outbox IN ACCESS EXCLUSIVE MODE")
        .await;
    let frozen = Frozen::waiting_for_a_lock(&desk).await;
    worker.line("no answer from the database in time").await;
    outbox.rollback().await;
    queues.send(&request(3, 4)).await;
    for source in [1, 3] {
        let deletion = queues.next("user-deletion.requests").await.json();
        assert_eq!(deletion["user_id"], source);
    }
    drop(frozen);

    // Both servers away for longer than that: nobody is stuck.
    let mut worker = worker.ready().await;
    for server in ["rabbitmq", "postgres"] {
        servers.run("kill", &[server]);
    }
    tokio::time::sleep(desk.settings.worker.stuck_after + Duration::from_secs(4)).await;
    assert!(worker.runs());
    assert_eq!(worker.get("/healthz").await.0, 200);
    assert_eq!(lines(&worker, "stuck"), 0);
    for server in ["rabbitmq", "postgres"] {
        servers.run("up", &[server]);
    }
    let worker = worker.ready().await;
    drop(worker);
}

/// A network that swallows everything: no statement answers any more, and no time-out of the server arrives.
#[tokio::test]
async fn r5_a_database_behind_a_black_hole_ends_the_worker_and_nothing_is_lost() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    let url = desk.url();
    let proxy = Proxy::of_url(&url);
    desk.settings.database.url = Some(proxy.url(&url).into());
    impatient(&mut desk);
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    let ticket = desk
        .begin_with("SELECT FROM helpdesk.tickets WHERE id = 15 FOR UPDATE")
        .await;
    let mut worker = Process::worker(&desk).ready().await;
    queues.send(&request(1, 2)).await;
    desk.merge_waits_for(&ticket).await;
    proxy.set(Mode::BlackHole);
    assert_eq!(worker.exit().await, 1);
    worker.line("stuck: the process ends").await;
    ticket.rollback().await;

    proxy.set(Mode::Pass);
    let worker = Process::worker(&desk).ready().await;
    until_merges(&desk, "completed", 1).await;
    assert_each_moved_once(&desk, 25).await;
    drop(worker);
}

/// Chunks of ten, and the least patience that the settings allow.
fn impatient(desk: &mut Desk) {
    let database = &mut desk.settings.database;
    database.connect_timeout = Duration::from_millis(500);
    database.lock_timeout = Duration::from_millis(900);
    database.statement_timeout = Duration::from_secs(1);
    desk.settings.worker.stuck_after = Duration::from_secs(5);
    desk.settings.relay.interval = Duration::from_millis(50);
    desk.chunks_of(10);
}
