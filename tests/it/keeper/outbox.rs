//! The outbox under a keeper: more than fits into one look, messages that can't go out, two relays at once.

use std::collections::BTreeSet;
use std::time::Duration;

use user_merge::store::outbox::{Key, claim, mark_refused};

use super::all_published;
use crate::harness::{Desk, Process, Queues, Running, eventually};

/// Events that nobody has published, under routing keys made by this expression over `n`.
async fn waiting(desk: &Desk, count: i64, routing_key: &str) {
    desk.execute(&format!(
        "INSERT INTO user_merge.outbox (account_id, merge_id, destination, routing_key, message_id, body, claimed_until)
         SELECT 1, gen_random_uuid(), 'event', {routing_key}, 'm' || n, '{{}}', now() - interval '1 min'
         FROM generate_series(1, {count}) n"
    ))
    .await;
}

/// D2: what a crash left behind goes out as fast as the broker confirms, not one batch per interval; a worker that
/// takes over begins at once.
#[tokio::test]
async fn d2_a_backlog_does_not_wait_for_the_interval() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.relay.interval = Duration::from_hours(1);
    desk.settings.relay.batch = 7;
    waiting(&desk, 60, "'merge.completed'").await;
    let worker = Running::start(&desk).await;
    all_published(&desk).await;
    worker.stop().await;
    let ids: Vec<String> = queues
        .events()
        .await
        .iter()
        .map(|event| event.properties.message_id().as_ref().unwrap().to_string())
        .collect();
    assert_eq!(
        (ids.len(), ids.iter().collect::<BTreeSet<_>>().len()),
        (60, 60)
    );
}

/// D2: messages that the broker can't take hold up none of those behind them, wait longer each time, and are not
/// complained about one by one.
#[tokio::test]
async fn d2_messages_that_can_not_go_out_hold_up_no_other() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.relay.interval = Duration::from_millis(100);
    desk.settings.relay.batch = 2;
    desk.settings.relay.lease = Duration::from_secs(1);
    desk.settings.broker.publish_timeout = Duration::from_millis(500);
    // AMQP has no routing keys of this length; and they have waited longest.
    waiting(&desk, 30, "repeat('k', 300)").await;
    desk.execute("UPDATE user_merge.outbox SET claimed_until = now() - interval '1 h'")
        .await;
    waiting(&desk, 3, "'merge.completed'").await;
    let worker = Process::worker(&desk).ready().await;
    for _ in 0..3 {
        queues.event().await;
    }
    eventually("each has been refused twice", || async {
        let least =
            "SELECT min(refusals)::bigint FROM user_merge.outbox WHERE published_at IS NULL";
        (desk.number(least).await >= 2).then_some(())
    })
    .await;
    let said = worker
        .lines()
        .iter()
        .filter(|line| line.contains("a promised message waits"))
        .count();
    assert!(said <= 3, "{said} lines for 60 refusals");
    let pending = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
    assert_eq!(desk.number(pending).await, 30, "none is lost");
}

/// D2: a message that is refused waits for twice as long each time, up to an hour.
#[tokio::test]
async fn d2_a_refused_message_waits_twice_as_long_each_time() {
    let desk = Desk::open().await;
    waiting(&desk, 1, "'x'").await;
    let wait = "SELECT round(extract(epoch FROM claimed_until - now()) / 10)::bigint FROM user_merge.outbox";
    let key = claim(&desk.pool, 1, 30.0).await.unwrap();
    let key = [key[0].key];
    for tens_of_seconds in [3, 6, 12, 24] {
        mark_refused(&desk.pool, &key, 30.0).await.unwrap();
        assert_eq!(desk.number(wait).await, tens_of_seconds);
    }
    desk.execute("UPDATE user_merge.outbox SET refusals = 1000000")
        .await;
    mark_refused(&desk.pool, &key, 30.0).await.unwrap();
    assert_eq!(desk.number(wait).await, 360);
}

/// D2: relays that claim at the same time, as two keepers might, each get rows of their own and miss none.
#[tokio::test]
async fn d2_relays_at_once_claim_every_row_once() {
    let desk = Desk::open().await;
    waiting(&desk, 200, "'x'").await;
    let claiming = (0..8).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let claimed = claim(&desk.pool, 9, 30.0).await.unwrap();
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed.into_iter().map(|message| message.key));
        }
    });
    let all = futures_util::future::join_all(claiming).await.concat();
    let distinct: BTreeSet<Key> = all.iter().copied().collect();
    // One that finds all others locked ends early; then the rest is there for the next look.
    let rest = claim(&desk.pool, 1_000, 30.0).await.unwrap();
    assert_eq!(all.len(), distinct.len(), "claimed twice");
    assert_eq!(all.len() + rest.len(), 200);
}

/// D2: a kind of message that only a later version knows is left to that one, and holds up nothing.
#[tokio::test]
async fn d2_a_message_of_an_unknown_kind_is_left_alone() {
    let desk = Desk::open().await;
    desk.execute("ALTER TABLE user_merge.outbox DROP CONSTRAINT outbox_destination_check")
        .await;
    waiting(&desk, 2, "'x'").await;
    desk.execute("UPDATE user_merge.outbox SET destination = 'later' WHERE message_id = 'm1'")
        .await;
    let claimed = claim(&desk.pool, 10, 30.0).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].draft.message_id, "m2");
}
