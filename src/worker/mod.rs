//! The loops: what joins the merge with the broker. Takes requests off a lane, runs them, settles them, and
//! publishes what they promised.

mod dead;
mod gate;
mod handle;
mod lane;
mod relay;
mod settle;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{self, Lane, Publisher};
use crate::config::Settings;
use crate::merge::Merger;
use crate::store;
use crate::telemetry::{Condition, Health};
use gate::Gate;
use relay::HandOver;

/// All that the loops share.
pub struct Worker {
    settings: Settings,
    broker: broker::Settings,
    merger: Merger,
    pool: store::Pool,
    publisher: Publisher,
    hand_over: HandOver,
    gate: Gate,
    health: Health,
    stop: CancellationToken,
}

/// What must hold for a worker to be ready, besides a database that answers.
#[must_use]
pub fn conditions() -> Vec<Condition> {
    Lane::ALL
        .into_iter()
        .map(|lane| Condition::Consuming(lane.label()))
        .collect()
}

/// Runs the lanes, the relay and the sweep until `stop`, then lets what is under way come to its next safe
/// point: chunks are committed, messages given back or settled, promised messages published.
///
/// # Errors
/// What keeps the worker from ever consuming, found when it starts: refused logins, queues that exist with
/// other arguments. Later failures are repaired, not returned.
pub async fn run(
    settings: Settings,
    broker: broker::Settings,
    pool: store::Pool,
    health: Health,
    stop: CancellationToken,
) -> Result<(), broker::Error> {
    let publisher = Publisher::new(broker.clone(), "outcomes");
    let (hand_over, handed_over) = relay::channel();
    // An idle publisher whose connection died would find out only with the next message.
    let asked = publisher.clone();
    health.probe("publishing", move || {
        let publisher = asked.clone();
        async move { publisher.connect().await.is_ok() }
    });
    let worker = Arc::new(Worker {
        merger: Merger::new(pool.clone(), &settings),
        gate: Gate::new(pool.clone()),
        settings,
        broker,
        pool,
        publisher,
        hand_over,
        health,
        stop,
    });

    // The relay outlives the lanes: it publishes what their last merges promise.
    let relay_stop = CancellationToken::new();
    let relay = tokio::spawn(relay::run(worker.clone(), handed_over, relay_stop.clone()));
    let sweep = tokio::spawn(sweep::run(worker.clone()));

    let lanes = TaskTracker::new();
    let mut running = Vec::new();
    for lane in Lane::ALL {
        running.push(lanes.spawn(lane::run(worker.clone(), lane)));
    }
    lanes.close();
    let mut result = Ok(());
    for lane in running {
        if let Ok(Err(error)) = lane.await {
            // One lane that can't start stops the other one too: half a worker looks like a whole one.
            worker.stop.cancel();
            result = Err(error);
        }
    }
    drop(sweep.await);
    relay_stop.cancel();
    drop(relay.await);
    worker.publisher.close().await;
    result
}

/// Pauses between attempts to get a connection back.
fn reconnect_pauses() -> crate::retry::Pauses {
    crate::retry::Pauses::new(Duration::from_millis(200), Duration::from_secs(10))
}
