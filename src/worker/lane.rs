//! One lane: a session with the broker, kept up for as long as the worker runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::{Worker, handle, reconnect_pauses};
use crate::broker::{Error, Lane, Session};
use crate::config;
use crate::telemetry::{Condition, metric};

/// How long messages are taken one by one after a frame that can't be read: the broker needs less to dead-letter
/// the message that is in it.
const CAUTION: Duration = Duration::from_secs(30);

/// Why a session ended that did not fail.
enum Ended {
    /// The worker stops.
    Stopped,
    /// Messages were taken one by one for long enough.
    CautionOver,
}

/// Consumes until the worker stops. An error before the first message of all, and one that won't pass, is
/// returned; whatever happens later is answered by a new session.
pub(super) async fn run(worker: Arc<Worker>, lane: Lane) -> Result<(), Error> {
    let settings = settings(&worker, lane).clone();
    let hands = Arc::new(Semaphore::new(settings.concurrency.into()));
    let tasks = TaskTracker::new();
    let mut pauses = reconnect_pauses();
    let mut has_consumed = false;
    let mut is_cautious = false;

    while !worker.stop.is_cancelled() {
        let prefetch = if is_cautious { 1 } else { settings.prefetch };
        let error = match Session::open(&worker.broker, lane, prefetch).await {
            Ok(session) => {
                has_consumed = true;
                pauses.reset();
                info!(lane = lane.label(), "consuming");
                worker.health.set(Condition::Consuming(lane.label()), true);
                let ended = consume(&worker, session, &hands, &tasks, is_cautious).await;
                worker.health.set(Condition::Consuming(lane.label()), false);
                match ended {
                    Ok(Ended::Stopped) => break,
                    Ok(Ended::CautionOver) => {
                        is_cautious = false;
                        continue;
                    }
                    Err(error) => error,
                }
            }
            Err(error) if error.is_lasting() && !has_consumed => return Err(error),
            Err(error) => error,
        };
        // A frame that can't be read comes back until the broker dead-letters it: alone, so that no other
        // message is counted with it (rule R6).
        is_cautious = matches!(error, Error::Unreadable { .. });
        metric::broker_failures("consuming", error.label());
        if error.is_lasting() {
            error!(lane = lane.label(), %error, "can't consume");
        } else {
            warn!(lane = lane.label(), %error, "consuming was interrupted");
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.next_pause()) => {}
            () = worker.stop.cancelled() => {}
        }
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// Takes messages, as many at once as there are hands, until the session ends or the worker stops.
async fn consume(
    worker: &Arc<Worker>,
    mut session: Session,
    hands: &Arc<Semaphore>,
    tasks: &TaskTracker,
    is_cautious: bool,
) -> Result<Ended, Error> {
    let lane = session.lane();
    let caution = tokio::time::sleep(if is_cautious { CAUTION } else { Duration::MAX });
    tokio::pin!(caution);
    let ended = loop {
        let hand = tokio::select! {
            hand = hands.clone().acquire_owned() => hand,
            () = worker.stop.cancelled() => break Ok(Ended::Stopped),
            () = ends(&session) => break Err(cancelled(worker, lane)),
        };
        tokio::select! {
            () = worker.gate.wait() => {}
            () = worker.stop.cancelled() => break Ok(Ended::Stopped),
        }
        let delivery = tokio::select! {
            delivery = session.next() => delivery,
            () = &mut caution => break Ok(Ended::CautionOver),
            () = worker.stop.cancelled() => break Ok(Ended::Stopped),
        };
        match delivery {
            Some(Ok(delivery)) => {
                let worker = worker.clone();
                // A task of its own that nobody cancels: see `store::Transaction`.
                tasks.spawn(async move {
                    handle::handle(&worker, lane, delivery).await;
                    drop(hand);
                });
            }
            Some(Err(error)) => break Err(error),
            None => break Err(cancelled(worker, lane)),
        }
    };
    if ended.is_ok() {
        // Give back what was taken ahead; what is at work settles itself while the session is still open.
        if let Err(error) = session.cancel().await {
            warn!(lane = lane.label(), %error, "messages taken ahead come back when the connection closes");
        }
        tasks.close();
        tasks.wait().await;
        tasks.reopen();
    }
    session.close().await;
    ended
}

/// Ends when the session does: nobody listens to it while all hands are busy.
async fn ends(session: &Session) {
    while session.is_open() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn cancelled(worker: &Worker, lane: Lane) -> Error {
    Error::Cancelled {
        queue: worker.broker.names.lane(lane).to_owned(),
    }
}

fn settings(worker: &Worker, lane: Lane) -> &config::Lane {
    match lane {
        Lane::Interactive => &worker.settings.lanes.interactive,
        Lane::Bulk => &worker.settings.lanes.bulk,
    }
}
