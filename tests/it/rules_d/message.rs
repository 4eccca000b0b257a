//! D2: the deletion message goes out after the commit, at least once, always under the same key.

use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::harness::{Desk, Message, Queues, Running, eventually, key, request};

const DELETION: &str = "user-deletion.requests";

/// Users 1 to 4. What couldn't be published is due again soon.
async fn desk() -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    desk.settings.relay.lease = Duration::from_secs(1);
    desk.settings.relay.interval = Duration::from_millis(50);
    desk.settings.broker.publish_timeout = Duration::from_millis(900);
    desk.settings.database.lock_timeout = Duration::from_secs(25);
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=4).await;
    (desk, queues)
}

fn message_id(message: &Message) -> String {
    message
        .properties
        .message_id()
        .as_ref()
        .unwrap()
        .to_string()
}

/// Returns once every promised message is marked as published.
async fn all_published(desk: &Desk) {
    eventually("all messages published", || async {
        let pending = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
        (desk.number(pending).await == 0).then_some(())
    })
    .await;
}

/// Lets the transaction that promises user 1's deletion do this when it commits.
async fn at_commit(desk: &Desk, statement: &str) {
    desk.execute(&format!(
        "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN {statement}; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON user_merge.outbox
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
         WHEN (NEW.message_id = 'user-deletion:1:1') EXECUTE FUNCTION at_commit()"
    ))
    .await;
}

/// D2: never before the merge has committed. Its commit is held up; a merge that came after it is handed over
/// meanwhile, so the way is free and only the commit is missing.
#[tokio::test]
async fn d2_no_message_before_the_commit() {
    let (desk, queues) = desk().await;
    at_commit(&desk, "PERFORM pg_advisory_xact_lock(42)").await;
    let holding = desk.begin_with("SELECT pg_advisory_xact_lock(42)").await;
    let worker = Running::start(&desk).await;

    queues.send(&request(1, 2)).await;
    desk.merge_waits_for(&holding).await;
    queues.send(&request(3, 4)).await;

    let first = queues.next(DELETION).await;
    assert_eq!(message_id(&first), "user-deletion:1:3");
    assert_eq!(queues.event().await.json()["source_user_id"], 3);
    all_published(&desk).await;
    assert!(queues.peek(DELETION).await.is_none());
    assert!(queues.events().await.is_empty());

    holding.commit().await;
    let second = queues.next(DELETION).await;
    assert_eq!(message_id(&second), "user-deletion:1:1");
    assert_eq!(queues.event().await.json()["source_user_id"], 1);
    worker.stop().await;
}

/// D2: a merge that fails as it commits never has a message, though the worker goes on.
#[tokio::test]
async fn d2_a_merge_that_is_rolled_back_asks_for_no_deletion() {
    let (desk, queues) = desk().await;
    at_commit(&desk, "RAISE EXCEPTION 'no'").await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;
    assert_eq!(queues.event().await.json()["type"], "merge.failed");
    queues.send(&request(3, 4)).await;

    let only = queues.next(DELETION).await;
    assert_eq!(message_id(&only), "user-deletion:1:3");
    all_published(&desk).await;
    worker.stop().await;
    assert!(queues.peek(DELETION).await.is_none());
    let tombstones = "SELECT count(merged_into) FROM helpdesk.users";
    assert_eq!(desk.number(tombstones).await, 1);
}

/// D2: a deletion queue that refuses the message, full, and one that is gone: the merge is done all the same,
/// its message waits in the outbox and is tried again; once there is a queue it goes out, once, under its key.
#[tokio::test]
async fn d2_the_message_waits_for_its_queue() {
    let (desk, queues) = desk().await;
    let worker = Running::start(&desk).await;
    // The publisher declares what is missing when it connects: let that be over.
    queues.send(&request(3, 4)).await;
    let first = queues.next(DELETION).await;
    assert_eq!(message_id(&first), "user-deletion:1:3");
    assert_eq!(queues.event().await.json()["source_user_id"], 3);
    delete_queue(&queues).await;
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongInt(0));
    full.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    queues
        .channel
        .queue_declare(queues.name(DELETION).as_str().into(), durable, full)
        .await
        .unwrap();

    queues.send(&request(1, 2)).await;
    assert_eq!(queues.event().await.json()["type"], "merge.completed");
    for _ in 0..2 {
        let before = waiting_until(&desk).await;
        eventually("another try", || async {
            (waiting_until(&desk).await != before).then_some(())
        })
        .await;
    }
    assert!(waiting_until(&desk).await.is_some());
    let tombstone = "SELECT merged_into FROM helpdesk.users WHERE id = 1";
    assert_eq!(desk.number(tombstone).await, 2);

    delete_queue(&queues).await;
    all_published(&desk).await;
    let message = queues.next(DELETION).await;
    assert_eq!(message_id(&message), "user-deletion:1:1");
    worker.stop().await;
    assert!(queues.peek(DELETION).await.is_none(), "once");
}

async fn delete_queue(queues: &Queues) {
    let name = queues.name(DELETION);
    let options = QueueDeleteOptions::default();
    queues
        .channel
        .queue_delete(name.as_str().into(), options)
        .await
        .unwrap();
}

/// Until when somebody has the unpublished message: each try sets it anew.
async fn waiting_until(desk: &Desk) -> Option<String> {
    desk.list(
        "SELECT claimed_until::text FROM user_merge.outbox
         WHERE message_id = 'user-deletion:1:1' AND published_at IS NULL",
    )
    .await
    .pop()
}

/// D2: what a worker committed and did not live to publish goes out by the next one; what it published and did
/// not live to mark goes out again, the same to the byte and under the same key.
#[tokio::test]
async fn d2_what_a_crash_left_is_published_under_the_same_key() {
    let (desk, queues) = desk().await;
    // Committed, and nobody has published it.
    let merge = desk.run(&request(1, 2)).await.unwrap().merge;
    let worker = Running::start(&desk).await;
    let first = queues.next(DELETION).await;
    all_published(&desk).await;
    worker.stop().await;

    assert_eq!(message_id(&first), "user-deletion:1:1");
    let body = first.json();
    assert_eq!(body["idempotency_key"], "user-deletion:1:1");
    assert_eq!(body["merge_id"], merge.to_string());
    assert_eq!(
        (&body["user_id"], &body["merged_into"]),
        (&1.into(), &2.into())
    );
    assert_eq!(first.properties.delivery_mode(), &Some(2), "persistent");

    // Published, and not marked.
    desk.execute("UPDATE user_merge.outbox SET published_at = NULL, claimed_until = now()")
        .await;
    let worker = Running::start(&desk).await;
    let again = queues.next(DELETION).await;
    all_published(&desk).await;
    worker.stop().await;
    assert_eq!(message_id(&again), message_id(&first));
    assert_eq!(again.body, first.body);
}

/// D2: a repeated request, and another key for the same pair, ask for no second deletion.
#[tokio::test]
async fn d2_one_deletion_however_often_the_merge_is_asked_for() {
    let (desk, queues) = desk().await;
    let worker = Running::start(&desk).await;
    for name in ["first", "first", "second"] {
        queues.send(&key(name, 1, 2)).await;
        assert_eq!(queues.event().await.json()["type"], "merge.completed");
    }
    all_published(&desk).await;
    worker.stop().await;

    let only = queues.next(DELETION).await;
    assert_eq!(message_id(&only), "user-deletion:1:1");
    assert!(queues.peek(DELETION).await.is_none());
}
