//! Beside a worker that goes on.

use lapin::BasicProperties;

use super::{BULK, DEAD, json, ready};
use crate::harness::{Running, request};

/// R6: what dies again, and what dies for the first time meanwhile, comes after what was there: it ends.
#[tokio::test]
async fn r6_a_replay_ends_although_its_letters_die_again() {
    let (desk, queues) = super::desk().await;
    desk.users([1, 2]).await;
    let worker = Running::start(&desk).await;
    for _ in 0..60 {
        queues.publish(BULK, b"{", BasicProperties::default()).await;
    }
    ready(&queues, DEAD, 60).await;
    let replaying = json(
        &desk,
        "replay --all --yes --include-unreadable --rate 1000/s",
    );
    let sending = async {
        for _ in 0..40 {
            queues.publish(BULK, b"[", BasicProperties::default()).await;
        }
        queues.send(&request(1, 2)).await;
    };
    let (replayed, ()) = tokio::join!(replaying, sending);
    let there = replayed["there"].as_u64().unwrap();
    assert!((60..=100).contains(&there), "{replayed}");
    assert_eq!(replayed["replayed"], there);
    assert_eq!(queues.event().await.json()["type"], "merge.completed");
    ready(&queues, DEAD, 100).await;
    worker.stop().await;
}
