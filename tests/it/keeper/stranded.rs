//! Merges that stand still are found by their rows and enqueued again: the database is the truth.

use std::time::Duration;

use lapin::options::QueuePurgeOptions;
use serde_json::json;

use super::all_published;
use crate::harness::{Desk, Queues, Running, eventually, request};
use crate::rules_r::{assert_each_moved_once, open_transaction, waiting_for_locks};

const HOUR: Duration = Duration::from_hours(1);
/// Not touched for two hours.
const STRAND: &str = "UPDATE user_merge.merges SET updated_at = now() - interval '2 h'";
const COPIES: &str = "SELECT count(*) FROM user_merge.outbox WHERE destination = 'request'";

async fn desk() -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.chunks_of(10);
    desk.settings.sweep.interval = Duration::from_millis(200);
    desk.users([1, 2, 3]).await;
    desk.tickets(1, 25, 1, "open").await;
    (desk, queues)
}

async fn found(desk: &Desk) -> usize {
    let found = desk.merger().enqueue_stranded(HOUR).await.unwrap();
    found.len()
}

async fn purge(queues: &Queues, queue: &str) {
    let name = queues.name(queue);
    queues
        .channel
        .queue_purge(name.as_str().into(), QueuePurgeOptions::default())
        .await
        .unwrap();
}

/// One completed merge with each of its effects, and nothing left over in any queue.
async fn assert_done_once(desk: &Desk, queues: &Queues) {
    let event = queues.event().await.json();
    assert_eq!(
        (&event["type"], &event["tickets"]["live"]),
        (&"merge.completed".into(), &25.into())
    );
    let deletion = queues.next("user-deletion.requests").await.json();
    assert_eq!(deletion["merge_id"], event["merge_id"]);
    all_published(desk).await;
    assert_each_moved_once(desk, 25).await;
    for queue in [
        "user-merge.requests",
        "user-merge.requests.bulk",
        "user-merge.dead",
    ] {
        assert!(queues.peek(queue).await.is_none(), "{queue}");
    }
    assert!(queues.peek("user-deletion.requests").await.is_none());
    assert!(queues.events().await.is_empty());
}

/// R4: a large merge stops after a chunk, and an operator purges its lane: it is found, enqueued again with all that
/// its request was, and completed, every effect once.
#[tokio::test]
async fn r4_a_merge_whose_lane_was_purged_is_found_and_completed() {
    let (mut desk, queues) = desk().await;
    let mut asked = request(1, 2);
    asked.reason = Some("same person".to_owned());
    let envelope = user_merge::store::merges::Envelope {
        lane: "bulk",
        correlation_id: Some("conversation-9"),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ..crate::harness::envelope(&asked)
    };
    let until = user_merge::merge::Until::new(Default::default(), Duration::ZERO);
    desk.merger().run(envelope, &until).await.unwrap();
    let body = user_merge::message::request::encode(&asked);
    queues
        .publish("user-merge.requests.bulk", &body, Default::default())
        .await;
    purge(&queues, "user-merge.requests.bulk").await;
    desk.execute(STRAND).await;

    // Nobody consumes: what arrives can be looked at.
    let promised = desk.merger().enqueue_stranded(HOUR).await.unwrap();
    let [message] = promised.as_slice() else {
        panic!("{promised:?}");
    };
    assert_eq!(message.draft.routing_key, "bulk");
    assert_eq!(message.draft.body.as_bytes(), body);
    assert_eq!(message.correlation_id.as_deref(), envelope.correlation_id);
    assert_eq!(message.traceparent.as_deref(), envelope.traceparent);
    desk.execute("UPDATE user_merge.outbox SET claimed_until = now()")
        .await;
    desk.settings.relay.interval = Duration::from_millis(100);
    let worker = Running::start(&desk).await;
    assert_done_once(&desk, &queues).await;
    worker.stop().await;
    let attempts = "SELECT max(attempts)::bigint FROM user_merge.merges";
    assert_eq!(desk.number(attempts).await, 0, "it cost no try");
}

/// R7: the message of a merge that was put off is purged from its retry queue: likewise, by a running worker alone.
#[tokio::test]
async fn r7_a_merge_that_was_put_off_and_purged_is_found_and_completed() {
    let (mut desk, queues) = desk().await;
    desk.settings.retry.immediate = 1;
    desk.settings.database.lock_timeout = Duration::from_millis(50);
    desk.settings.sweep.stranded_after = Duration::from_secs(4);
    let locked = open_transaction(
        &desk.pool,
        "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE",
    )
    .await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;
    // Taken out of its retry queue, by the test: whoever purges it does no more.
    let retry = queues.next("user-merge.retry.1s").await;
    assert_eq!(retry.header("x-attempts").as_deref(), Some("1"));
    locked.rollback().await.unwrap();
    assert_eq!(desk.number(COPIES).await, 0);

    assert_done_once(&desk, &queues).await;
    assert_eq!(desk.number(COPIES).await, 1);
    worker.stop().await;
}

/// R5: only what is unfinished and untouched is found; a merge at work isn't, nor one that was given up.
#[tokio::test]
async fn r5_a_merge_at_work_is_left_alone() {
    let (desk, _queues) = desk().await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    assert_eq!(found(&desk).await, 0, "it has just moved something");

    for state in ["completed", "rejected", "failed"] {
        let end = format!(
            "UPDATE user_merge.merges SET state = '{state}', holds_users = false, outcome = '{{}}', completed_at = now()"
        );
        desk.execute(&end).await;
        desk.execute(STRAND).await;
        assert_eq!(found(&desk).await, 0, "{state}");
    }
    desk.execute("UPDATE user_merge.merges SET state = 'running'")
        .await;
    // Between the look and the mark its worker comes back.
    let mut at_work = open_transaction(&desk.pool, STRAND).await;
    let merger = desk.merger();
    let looking = tokio::spawn(async move { merger.enqueue_stranded(HOUR).await });
    waiting_for_locks(&desk, 1).await;
    sqlx::raw_sql("UPDATE user_merge.merges SET updated_at = now()")
        .execute(&mut *at_work)
        .await
        .unwrap();
    at_work.commit().await.unwrap();
    assert!(looking.await.unwrap().unwrap().is_empty());
    assert_eq!(desk.number(COPIES).await, 0);
}

/// R5: of keepers that find it at once, one enqueues it.
#[tokio::test]
async fn r5_two_keepers_at_once_enqueue_one_copy() {
    let (desk, _queues) = desk().await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    desk.execute(STRAND).await;
    let keepers: Vec<_> = (0..6).map(|_| desk.merger()).collect();
    let looks = keepers.iter().map(|keeper| keeper.enqueue_stranded(HOUR));
    let copies: usize = futures_util::future::join_all(looks)
        .await
        .into_iter()
        .map(|look| look.unwrap().len())
        .sum();
    assert_eq!((copies, desk.number(COPIES).await), (1, 1));
}

/// R4: a merge whose message only waits in a deep queue is not flooded with copies: each waits twice as long as the
/// one before, up to a day.
#[tokio::test]
async fn r4_the_pause_between_two_copies_doubles() {
    let (desk, _queues) = desk().await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    desk.execute("UPDATE user_merge.merges SET updated_at = now() - interval '90 days'")
        .await;
    assert_eq!(found(&desk).await, 1);
    for (copies, hours) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 24), (6, 24), (7, 24)] {
        assert_eq!(found(&desk).await, 0, "{copies}: at once");
        let wait = format!(
            "UPDATE user_merge.merges SET enqueued_again_at = now() - interval '{hours} h' + interval '1 min'"
        );
        desk.execute(&wait).await;
        assert_eq!(found(&desk).await, 0, "{copies}: a minute early");
        desk.execute(&wait.replace(" + ", " - ")).await;
        assert_eq!(found(&desk).await, 1, "{copies}: {hours} hours later");
    }
    assert_eq!(desk.number(COPIES).await, 8);
}

/// R4: `status` says that a merge was found so, and how often.
#[tokio::test]
async fn r4_status_says_how_often_a_merge_was_enqueued_again() {
    let (desk, _queues) = desk().await;
    let merge = desk.run_one_chunk(&request(1, 2)).await.unwrap().merge;
    desk.execute(STRAND).await;
    assert_eq!(found(&desk).await, 1);
    let found = user_merge::store::merges::status(&desk.pool, "merge-1-2", None)
        .await
        .unwrap();
    assert_eq!((found[0].merge_id, found[0].enqueued_again), (merge, 1));
    let json = serde_json::to_value(&found[0]).unwrap();
    assert_eq!(json["enqueued_again"], json!(1));
    assert_eq!(json["messages_pending"], json!(1));
    eventually("a time", || async { found[0].enqueued_again_at.map(drop) }).await;
}
