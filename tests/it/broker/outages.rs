//! These stop or block a whole broker, one of their own each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use user_merge::broker::{
    Destination, Lane, LinkState, PublishError, Publisher, Session, Settings,
};

use super::{LIMIT, TestBroker, message};
use crate::harness::OwnServers;

const LANE: Lane = Lane::Interactive;

/// The loop that every caller has: open, consume, and from the start after any error.
async fn consume(
    settings: Settings,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<String>>>,
) -> u32 {
    let mut sessions = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut session) = Session::open(&settings, LANE, 20).await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        sessions += 1;
        while !stop.load(Ordering::Relaxed) {
            match tokio::time::timeout(Duration::from_millis(500), session.next()).await {
                Ok(Some(Ok(delivery))) => {
                    seen.lock()
                        .await
                        .insert(delivery.properties.message_id.clone().unwrap());
                    let _ = delivery.ack().await;
                }
                Err(_) if session.is_open() => {}
                Ok(_) | Err(_) => break,
            }
        }
        session.close().await;
    }
    sessions
}

async fn publish(
    publisher: Publisher,
    stop: Arc<AtomicBool>,
    name: u32,
) -> (BTreeSet<String>, u32) {
    let (mut confirmed, mut failed) = (BTreeSet::new(), 0);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{name}-{n}");
        if publisher
            .publish(message(Destination::Lane(LANE), &id))
            .await
            .is_ok()
        {
            confirmed.insert(id);
        } else {
            failed += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    (confirmed, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_confirmed_is_lost_while_the_broker_restarts() {
    let servers = OwnServers::start();
    let mut broker = TestBroker::declared_at(&servers.address("USER_MERGE__BROKER__URL")).await;
    broker.settings.connect_timeout = Duration::from_secs(5);
    broker.settings.publish_timeout = Duration::from_secs(5);
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let consumer = tokio::spawn(consume(broker.settings.clone(), done.clone(), seen.clone()));
    let publisher = broker.publisher();
    let publishers: Vec<_> = (0..8)
        .map(|n| tokio::spawn(publish(publisher.clone(), stop.clone(), n)))
        .collect();
    for command in ["restart", "kill", "restart"] {
        tokio::time::sleep(Duration::from_secs(3)).await;
        servers.run(command, &["rabbitmq"]);
        if command == "kill" {
            servers.run("up", &["rabbitmq"]);
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut confirmed, mut failed) = (BTreeSet::new(), 0);
    for task in publishers {
        let (ids, failures) = task.await.unwrap();
        confirmed.extend(ids);
        failed += failures;
    }
    let deadline = Instant::now() + LIMIT;
    while !confirmed.is_subset(&*seen.lock().await) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done.store(true, Ordering::Relaxed);
    let sessions = consumer.await.unwrap();
    let seen = seen.lock().await;
    println!(
        "confirmed {}, failed {failed}, seen {}, sessions {sessions}",
        confirmed.len(),
        seen.len()
    );
    assert_eq!(confirmed.difference(&seen).count(), 0, "confirmed and lost");
    assert!(failed > 0 && sessions >= 4);
    publisher.close().await;
}

#[tokio::test]
async fn an_alarm_blocks_publishing_alone_and_passes() {
    let servers = OwnServers::start();
    let url = servers.address("USER_MERGE__BROKER__URL");
    let mut broker = TestBroker::declared_at(&url).await;
    broker.settings.publish_timeout = Duration::from_secs(2);
    broker.settings.heartbeat = Duration::from_secs(2);
    broker.settings.url = url.into();
    let publisher = broker.publisher();
    for n in 0..3 {
        publisher
            .publish(message(Destination::Lane(LANE), &n.to_string()))
            .await
            .unwrap();
    }
    servers.run("rabbitmqctl", &["set_vm_memory_high_watermark", "0"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..4 {
        let error = publisher
            .publish(message(Destination::Lane(LANE), "blocked"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, PublishError::Blocked) && !error.is_lasting(),
            "{error}"
        );
    }
    assert_eq!(*publisher.state().borrow(), LinkState::Blocked);
    // Taking messages and acknowledging goes on meanwhile.
    let mut session = Session::open(&broker.settings, LANE, 2).await.unwrap();
    for _ in 0..3 {
        let delivery = tokio::time::timeout(LIMIT, session.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(
            delivery.ack().await.unwrap(),
            user_merge::broker::Settled::Done
        );
    }
    servers.run(
        "rabbitmqctl",
        &["set_vm_memory_high_watermark", "absolute", "512MB"],
    );
    let began = Instant::now();
    while let Err(error) = publisher
        .publish(message(Destination::Lane(LANE), "after"))
        .await
    {
        assert!(began.elapsed() < LIMIT, "{error}");
    }
    assert_eq!(*publisher.state().borrow(), LinkState::Up);
    let mut blocked = 0;
    while let Ok(Some(Ok(delivery))) =
        tokio::time::timeout(Duration::from_secs(2), session.next()).await
    {
        blocked += u32::from(delivery.body == b"body of blocked");
        let _ = delivery.ack().await.unwrap();
    }
    println!(
        "{blocked} of the 4 that failed were stored; publishing again after {:?}",
        began.elapsed()
    );
    assert!(
        blocked <= 1,
        "only the one that made the broker block was sent at all"
    );
    session.close().await;
    publisher.close().await;
    broker.end().await;
}
