//! The loops: what joins the merge with the broker. Takes requests off a lane, runs them, settles them, and
//! publishes what they promised.

mod ahead;
mod batch;
mod breaker;
mod dead;
mod hand_over;
mod handle;
mod keeper;
mod lane;
mod outbox;
mod outlet;
mod pace;
mod precedence;
mod relay;
mod reply;
mod settle;
mod sweep;
mod taking;
mod trouble;
mod under_way;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::{self, Lane, Publisher};
use crate::config::Settings;
use crate::merge::Merger;
use crate::store;
use crate::telemetry::{Condition, Health, Pulse};
use breaker::Breaker;
use hand_over::HandOver;
use keeper::Keeping;
use outlet::Outlet;
use pace::Pace;
use precedence::Precedence;

/// All that the loops share.
pub struct Worker {
    settings: Settings,
    broker: broker::Settings,
    merger: Merger,
    pool: store::Pool,
    publisher: Publisher,
    outlet: Outlet,
    hand_over: HandOver,
    precedence: Precedence,
    keeping: Keeping,
    pace: Pace,
    breakers: [Breaker; 2],
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

/// Why a worker ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lane can't be consumed, and waiting can't help: a refused login, a queue with other arguments.
    #[error("can't consume the {lane} lane")]
    Lane {
        /// Which one.
        lane: Lane,
        /// Why not.
        source: broker::Error,
    },
    /// A mistake in this program. Another start may do better than half a worker.
    #[error("the loop `{0}` panicked")]
    Panic(&'static str),
}

/// Runs the lanes, the relay and the keeper until `stop`, then lets what is under way come to its next safe
/// point: chunks are committed, messages given back or settled, promised messages published.
///
/// # Errors
/// What keeps the worker from ever consuming, found when it starts, and a loop that panicked; the rest of the
/// worker is then stopped as by `stop`. Later failures of the broker are repaired, not returned.
pub async fn run(
    settings: Settings,
    broker: broker::Settings,
    pool: store::Pool,
    health: Health,
    stop: CancellationToken,
) -> Result<(), Error> {
    let publisher = Publisher::new(broker.clone(), "outcomes");
    let (hand_over, handed_over) = hand_over::channel();
    let asked = publisher.clone();
    health.probe("publishing", move || outlet::is_open(asked.clone()));
    let worker = Arc::new(Worker {
        merger: Merger::new(pool.clone(), &settings),
        breakers: Lane::ALL.map(|lane| {
            let (pool, health, stop) = (pool.clone(), health.clone(), stop.clone());
            Breaker::new(lane, &settings, pool, health, stop)
        }),
        pace: Pace::new(settings.lanes.bulk.concurrency),
        settings,
        broker,
        pool,
        outlet: Outlet::new(publisher.clone()),
        publisher,
        hand_over,
        precedence: Precedence::default(),
        keeping: Keeping::default(),
        health,
        stop,
    });

    // The relay outlives the others: it publishes what their last merges promise.
    let relay_stop = CancellationToken::new();
    let relay = relay::run(worker.clone(), handed_over, relay_stop.clone());
    let relay = watched(&worker, "relay", relay.map(Ok));
    let mut loops = vec![watched(
        &worker,
        "keeper",
        keeper::run(worker.clone()).map(Ok),
    )];
    loops.push(watched(&worker, "pace", pace::run(worker.clone()).map(Ok)));
    for lane in Lane::ALL {
        let (of_lane, pulse) = (worker.clone(), worker.pulse(lane.label()));
        let running = async move { pulse.through(lane::run(of_lane, lane)).await };
        let running = running.map_err(move |source| Error::Lane { lane, source });
        loops.push(watched(&worker, lane.label(), running));
    }

    let mut result = Ok(());
    for ended in loops {
        // In any order: the first that fails stops all the others.
        result = result.and(ended.await.unwrap_or(Err(Error::Panic("runtime"))));
    }
    relay_stop.cancel();
    result = result.and(relay.await.unwrap_or(Err(Error::Panic("runtime"))));
    worker.publisher.close().await;
    result
}

impl Worker {
    fn breaker(&self, lane: Lane) -> &Breaker {
        match lane {
            Lane::Interactive => &self.breakers[0],
            Lane::Bulk => &self.breakers[1],
        }
    }

    /// The database as a whole is away: both lanes stop taking messages.
    fn away(&self, cause: &'static str) {
        for breaker in &self.breakers {
            breaker.away(cause);
        }
    }

    /// A sign of life for the watchdog, expected until it is dropped.
    fn pulse(&self, name: &'static str) -> Pulse {
        self.health.pulse(name, self.settings.worker.stuck_after)
    }

    /// The same for work on one merge: a lane may turn while a merge of it is stuck.
    fn merge_pulse(&self, lane: Lane) -> Pulse {
        self.pulse(match lane {
            Lane::Interactive => "interactive merge",
            Lane::Bulk => "bulk merge",
        })
    }

    /// How long a message may wait for a hand. More than a slice: by then whoever had the hands has let them go, and
    /// what waits behind one large merge is served.
    fn waiting(&self) -> Duration {
        self.settings.merge.slice * 2
    }

    /// How long a message may be held in all, from its arrival: while it waited, for a slice of work, and for a slice
    /// of waiting for the database or the broker. The broker's patience has an end.
    fn hold(&self) -> Duration {
        self.waiting() + self.settings.merge.slice * 2
    }
}

/// Runs a loop in a task of its own. If it fails, or panics, all others are stopped: half a worker looks like a
/// whole one from outside.
fn watched(
    worker: &Arc<Worker>,
    name: &'static str,
    running: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> JoinHandle<Result<(), Error>> {
    let stop = worker.stop.clone();
    tokio::spawn(async move {
        let caught = AssertUnwindSafe(running).catch_unwind().await;
        let result = caught.unwrap_or(Err(Error::Panic(name)));
        if result.is_err() {
            stop.cancel();
        }
        result
    })
}

/// Pauses between attempts to get a connection back.
fn reconnect_pauses() -> crate::retry::Pauses {
    crate::retry::Pauses::new(Duration::from_millis(200), Duration::from_secs(10))
}
