//! The walk itself: what is left goes back to its place, however often it is let go of.

use std::time::Duration;

use lapin::BasicProperties;
use user_merge::broker::{DeadLetters, Settled};

use super::{DEAD, desk, drain, ready};

/// Rounds, as a slow replay has them: what was left comes again, and nothing that was taken.
#[tokio::test]
async fn a_walk_that_begins_again_and_again_misses_nothing_and_takes_nothing_twice() {
    let (desk, queues) = desk().await;
    for n in 1..=60_u32 {
        let properties = BasicProperties::default().with_message_id(n.to_string().into());
        queues.publish(DEAD, b"{", properties).await;
    }
    let broker = user_merge::app::broker(&desk.settings).unwrap();
    let opened = DeadLetters::open(&broker).await.unwrap();
    let mut walk = opened.with_rounds_of(Duration::ZERO);
    let (mut taken, mut rounds) = (Vec::new(), 1);
    while let Some(letter) = walk.next().await.unwrap() {
        let id: u32 = letter
            .properties
            .message_id
            .as_ref()
            .unwrap()
            .parse()
            .unwrap();
        if id.is_multiple_of(3) {
            assert_eq!(walk.take(&letter).await.unwrap(), Settled::Done);
            taken.push(id);
            // What dies meanwhile comes behind.
            queues
                .publish(
                    DEAD,
                    b"{",
                    BasicProperties::default().with_message_id("99".into()),
                )
                .await;
        }
        if walk.is_round_over() {
            walk.begin_again().await.unwrap();
            rounds += 1;
        }
    }
    walk.close().await;
    assert_eq!(rounds, 21);
    taken.sort_unstable();
    assert_eq!(taken, (1..=20).map(|n| n * 3).collect::<Vec<_>>());
    ready(&queues, DEAD, 60).await;
    let mut left = drain(&queues, DEAD).await;
    assert_eq!(left.split_off(40), vec!["99"; 20]);
    left.sort_by_key(|id| id.parse::<u32>().unwrap());
    let expected = (1..=60_u32).filter(|n| !n.is_multiple_of(3));
    assert_eq!(left, expected.map(|n| n.to_string()).collect::<Vec<_>>());
}

/// What comes after the walk began is not its business.
#[tokio::test]
async fn a_walk_ends_where_the_queue_ended_when_it_began() {
    let (desk, queues) = desk().await;
    let send = async || queues.publish(DEAD, b"{", BasicProperties::default()).await;
    for _ in 0..20 {
        send().await;
    }
    let broker = user_merge::app::broker(&desk.settings).unwrap();
    let mut walk = DeadLetters::open(&broker).await.unwrap();
    let mut taken = 0;
    while let Some(letter) = walk.next().await.unwrap() {
        // One more for each that is taken: without an end of its own it would go on for ever.
        send().await;
        let _ = walk.take(&letter).await.unwrap();
        taken += 1;
        assert!(taken <= 20, "no end to it");
    }
    walk.close().await;
    assert_eq!(taken, 20);
    ready(&queues, DEAD, 20).await;
}

/// Two at once: each sees what the other doesn't hold, and both end.
#[tokio::test]
async fn what_somebody_else_holds_is_not_waited_for() {
    let (desk, queues) = desk().await;
    for _ in 0..20 {
        queues.publish(DEAD, b"{", BasicProperties::default()).await;
    }
    let broker = user_merge::app::broker(&desk.settings).unwrap();
    let mut first = DeadLetters::open(&broker).await.unwrap();
    let mut second = DeadLetters::open(&broker).await.unwrap();
    assert_eq!(second.there().messages, 20);
    let mut seen = (0, 0);
    while first.next().await.unwrap().is_some() {
        seen.0 += 1;
    }
    while second.next().await.unwrap().is_some() {
        seen.1 += 1;
    }
    assert_eq!(seen, (20, 0));
    first.close().await;
    second.close().await;
    ready(&queues, DEAD, 20).await;
}
