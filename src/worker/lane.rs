//! One lane: a session with the broker, kept up for as long as the worker runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::taking::{self, CAUTION, Consuming, Ended};
use super::{Worker, reconnect_pauses};
use crate::broker::{Error, Lane, Session};
use crate::config;
use crate::telemetry::{Condition, metric};

/// A failure that goes on is told anew after this long.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// Consumes until the worker stops. An error before the first message of all, and one that won't pass, is
/// returned; whatever happens later is answered by a new session.
pub(super) async fn run(worker: Arc<Worker>, lane: Lane) -> Result<(), Error> {
    let settings = settings(&worker, lane).clone();
    let mut consuming = Consuming {
        breaker: worker.breaker(lane).clone(),
        hands: Arc::new(Semaphore::new(settings.concurrency.into())),
        tasks: TaskTracker::new(),
        careful_until: Instant::now(),
        settings: settings.clone(),
        worker: worker.clone(),
        lane,
    };
    let mut told = Told::default();
    let consumed = Condition::Consuming(lane.label());
    let mut pauses = reconnect_pauses();
    let mut has_consumed = false;

    while !worker.stop.is_cancelled() {
        let is_careful = Instant::now() < consuming.careful_until || !consuming.breaker.is_closed();
        let prefetch = if is_careful { 1 } else { settings.prefetch };
        let error = match Session::open(&worker.broker, lane, prefetch).await {
            Ok(session) => {
                has_consumed = true;
                pauses.reset();
                told = Told::default();
                info!(lane = lane.label(), "consuming");
                worker.health.set(consumed, true);
                let ended = taking::run(&mut consuming, session, is_careful).await;
                match ended {
                    Ok(Ended::Stopped) => break,
                    Ok(Ended::CautionOver) => continue,
                    Ok(Ended::Suspect) => {
                        consuming.careful_until = Instant::now() + CAUTION;
                        continue;
                    }
                    Ok(Ended::Held) => {
                        tokio::select! {
                            () = consuming.breaker.may_take() => continue,
                            () = worker.stop.cancelled() => break,
                        }
                    }
                    Err(error) => error,
                }
            }
            Err(error) if error.is_lasting() && !has_consumed => return Err(error),
            Err(error) => error,
        };
        // A frame that can't be read comes back until the broker dead-letters it (rule R6).
        if matches!(error, Error::Unreadable { .. }) {
            consuming.careful_until = Instant::now() + CAUTION;
        }
        metric::broker_failures("consuming", error.label());
        told.tell(lane, &error);
        tokio::select! {
            () = sleep(pauses.next_pause()) => {}
            () = worker.stop.cancelled() => {}
        }
    }
    consuming.tasks.close();
    consuming.tasks.wait().await;
    Ok(())
}

/// The last failure that was told, unless a session came after it.
#[derive(Default)]
struct Told(Option<(&'static str, Instant)>);

impl Told {
    /// Once, and again where it is another failure or goes on: not each attempt to connect.
    fn tell(&mut self, lane: Lane, error: &Error) {
        let (lane, cause) = (lane.label(), error.label());
        let is_told = |(told, at): (&str, Instant)| told == cause && at.elapsed() < TOLD_EVERY;
        if self.0.is_some_and(is_told) {
            return;
        }
        self.0 = Some((cause, Instant::now()));
        if error.is_lasting() {
            error!(lane, %error, cause, "can't consume");
        } else {
            warn!(lane, %error, cause, "consuming was interrupted");
        }
    }
}

fn settings(worker: &Worker, lane: Lane) -> &config::Lane {
    match lane {
        Lane::Interactive => &worker.settings.lanes.interactive,
        Lane::Bulk => &worker.settings.lanes.bulk,
    }
}
