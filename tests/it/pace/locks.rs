//! Sessions that wait for locks.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    BULK, bulk_merges_go_on, only, only_interactive_merges_are_done, send_bulk, status, until_full,
    until_held,
};
use crate::harness::{Desk, Process, Queues, Running, Writer, eventually, request};
use crate::rules_r::waiting_for_locks;

const WAITING: i64 = 5;

/// A queue of the help desk's sessions in front of one lock, that of a user whom no merge touches.
struct LockQueue {
    holder: Writer,
    waiting: Vec<JoinHandle<Result<Writer, sqlx::Error>>>,
}

impl LockQueue {
    async fn make(desk: &Desk) -> Self {
        desk.users([900]).await;
        let lock = "SELECT FROM helpdesk.users WHERE id = 900 FOR UPDATE";
        let holder = desk.begin_with(lock).await;
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            waiting.push(desk.begin().await.start(lock));
        }
        waiting_for_locks(desk, WAITING).await;
        Self { holder, waiting }
    }

    /// One after the other has the lock, in an order of the server's.
    async fn end(self) {
        self.holder.rollback().await;
        let let_go = async |waiting: JoinHandle<Result<Writer, _>>| {
            waiting.await.unwrap().unwrap().rollback().await;
        };
        futures_util::future::join_all(self.waiting.into_iter().map(let_go)).await;
    }
}

#[tokio::test]
async fn a_queue_in_front_of_a_lock_holds_the_bulk_lane_until_it_is_gone() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    only(&mut desk);
    desk.settings.pace.lock_waits = 2;
    desk.users(1..=30).await;
    let worker = Process::worker(&desk).ready().await;
    until_full(&worker, &desk).await;
    let full = status(&desk, &[]).await;
    assert_eq!(full.status, 0);
    assert!(
        full.stdout.contains("\npace           full, since "),
        "{full:?}"
    );
    assert!(full.stdout.contains("\nbulk lane      3 hands"), "{full:?}");

    let locks = LockQueue::make(&desk).await;
    until_held(&worker, "lock_waits").await;
    only_interactive_merges_are_done(&desk, &queues, 1).await;
    let text = status(&desk, &[]).await.stdout;
    let slowed = "\nslowed down    5 sessions wait for locks (limit 2), since ";
    assert!(text.contains(slowed), "{text}");
    assert!(text.contains("\nbulk lane      takes nothing"), "{text}");
    let shown = status(&desk, &["--json"]).await.json();
    let shown = &shown["workers"][0];
    assert_eq!(shown["state"], "held");
    assert_eq!(
        (&shown["reason"], &shown["measured"], &shown["allowed"]),
        (&json!("lock_waits"), &json!(5.0), &json!(2.0))
    );
    assert!(worker.is_ready().await);

    locks.end().await;
    bulk_merges_go_on(&queues, 1).await;
    until_full(&worker, &desk).await;
    for line in ["the bulk lane takes nothing", "at full pace again"] {
        worker.line(line).await;
    }
}

/// However long it lasts: what waits too long in hand goes to the lane's end, which counts towards no limit, and the
/// broker's patience isn't tried.
#[tokio::test]
async fn a_bulk_lane_that_is_held_for_long_loses_no_message() {
    let mut desk = Desk::open().await;
    desk.settings.broker.delivery_limit = 2;
    let queues = Queues::open(&mut desk).await;
    only(&mut desk);
    desk.settings.pace.lock_waits = 2;
    desk.settings.merge.slice = Duration::from_millis(50);
    desk.users(1..=4).await;
    let worker = Running::start(&desk).await;
    let locks = LockQueue::make(&desk).await;
    let held = "SELECT count(*) FROM user_merge.pace WHERE state = 'held'";
    eventually("a bulk lane that is held", || async {
        (desk.number(held).await == 1).then_some(())
    })
    .await;
    for source in 1..=3 {
        send_bulk(&queues, &request(source, 4)).await;
    }
    // Many times as long as a message may wait.
    tokio::time::sleep(desk.settings.merge.slice * 40).await;
    assert_eq!(
        desk.number("SELECT count(*) FROM user_merge.merges").await,
        0
    );
    locks.end().await;
    bulk_merges_go_on(&queues, 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_while_it_is_held_gives_its_messages_back_and_its_row_is_gone() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    only(&mut desk);
    desk.settings.pace.lock_waits = 2;
    desk.users(1..=4).await;
    let mut worker = Process::worker(&desk).ready().await;
    let locks = LockQueue::make(&desk).await;
    until_held(&worker, "lock_waits").await;
    for source in 1..=3 {
        send_bulk(&queues, &request(source, 4)).await;
    }
    eventually("messages that are taken", || async {
        (queues.count(BULK).await == 0).then_some(())
    })
    .await;
    assert_eq!(desk.number("SELECT count(*) FROM user_merge.pace").await, 1);
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
    eventually("messages that are given back", || async {
        (queues.count(BULK).await == 3).then_some(())
    })
    .await;
    assert_eq!(desk.number("SELECT count(*) FROM user_merge.pace").await, 0);
    assert_eq!(status(&desk, &[]).await.status, 1);
    locks.end().await;
}
