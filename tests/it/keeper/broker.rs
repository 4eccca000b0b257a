//! A keeper needs both: the database for its lock, and the broker for what it keeps.

use std::time::Duration;

use super::{all_published, keeper_of, keeps, left_behind};
use crate::harness::proxy::{Mode, Proxy};
use crate::harness::{Desk, Process, Queues, broker_url, eventually};

/// D2: a keeper that has lost its way to the broker, and not that to the database, leaves the outbox to another one.
#[tokio::test]
async fn d2_a_keeper_that_can_not_reach_the_broker_lets_go() {
    let mut desk = Desk::open().await;
    desk.settings.relay.interval = Duration::from_millis(100);
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=4).await;
    let proxy = Proxy::of_url(&broker_url());
    let direct = desk.settings.broker.url.clone();
    desk.settings.broker.url = Some(proxy.url(&broker_url()).into());
    let first = Process::worker(&desk).ready().await;
    keeper_of(&[&first]).await;
    desk.settings.broker.url = direct;
    let second = Process::worker(&desk).ready().await;

    proxy.set(Mode::Refuse);
    proxy.cut();
    left_behind(&desk, 1, 2).await;
    assert_eq!(queues.event().await.json()["source_user_id"], 1);
    all_published(&desk).await;
    first.line("keeper: there is no way to the broker").await;
    assert_eq!(keeper_of(&[&first, &second]).await, 1);

    // Once it has a way again it is as good as any other.
    proxy.set(Mode::Pass);
    second.signal("KILL");
    eventually("the first one keeps again", || async {
        keeps(&first).await.then_some(())
    })
    .await;
}
