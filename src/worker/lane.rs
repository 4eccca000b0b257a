//! One lane: a session with the broker, kept up for as long as the worker runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::breaker::Breaker;
use super::{Worker, handle, reconnect_pauses};
use crate::broker::{Delivery, Error, Lane, Session};
use crate::config;
use crate::telemetry::{Condition, metric};

/// How long messages are taken one by one after something that may have counted against all that were taken
/// ahead: a frame that can't be read, or a message that has come back often.
const CAUTION: Duration = Duration::from_secs(30);
/// How long nothing may come before the broker is asked whether nothing is there.
const SILENCE: Duration = Duration::from_secs(10);

/// A failure that goes on is told anew after this long.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// Why a session ended that did not fail.
enum Ended {
    /// The worker stops.
    Stopped,
    /// Messages can be taken ahead again.
    CautionOver,
    /// A message has come back often: from now on one by one, so that no other is counted with it.
    Suspect,
    /// The breaker has not been closed for a whole slice: what was taken ahead must not wait until the broker
    /// loses its patience.
    Held,
}

/// What a session and those before it share.
struct Consuming {
    worker: Arc<Worker>,
    lane: Lane,
    breaker: Breaker,
    hands: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Until then messages are taken one by one.
    careful_until: Instant,
    /// The last failure that was told, unless a session came after it.
    told: Option<(&'static str, Instant)>,
}

/// Consumes until the worker stops. An error before the first message of all, and one that won't pass, is
/// returned; whatever happens later is answered by a new session.
pub(super) async fn run(worker: Arc<Worker>, lane: Lane) -> Result<(), Error> {
    let settings = settings(&worker, lane).clone();
    let mut consuming = Consuming {
        breaker: worker.breaker(lane).clone(),
        hands: Arc::new(Semaphore::new(settings.concurrency.into())),
        tasks: TaskTracker::new(),
        careful_until: Instant::now(),
        told: None,
        worker: worker.clone(),
        lane,
    };
    let mut pauses = reconnect_pauses();
    let mut has_consumed = false;

    while !worker.stop.is_cancelled() {
        let is_careful = Instant::now() < consuming.careful_until || !consuming.breaker.is_closed();
        let prefetch = if is_careful { 1 } else { settings.prefetch };
        let error = match Session::open(&worker.broker, lane, prefetch).await {
            Ok(session) => {
                has_consumed = true;
                pauses.reset();
                consuming.told = None;
                info!(lane = lane.label(), "consuming");
                worker.health.set(Condition::Consuming(lane.label()), true);
                match consuming.session(session, is_careful).await {
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
        consuming.tell(&error);
        tokio::select! {
            () = sleep(pauses.next_pause()) => {}
            () = worker.stop.cancelled() => {}
        }
    }
    consuming.tasks.close();
    consuming.tasks.wait().await;
    Ok(())
}

impl Consuming {
    /// Takes messages, as many at once as there are hands, until the session ends or the worker stops.
    async fn session(&mut self, mut session: Session, is_careful: bool) -> Result<Ended, Error> {
        let worker = self.worker.clone();
        let breaker = self.breaker.clone();
        let slice = worker.settings.merge.slice;
        let began = Instant::now();
        let ended = loop {
            let (hand, delivery) = tokio::select! {
                taken = self.next(&mut session) => match taken {
                    Ok(taken) => taken,
                    Err(error) => break Err(error),
                },
                () = self.caution_over(), if is_careful => break Ok(Ended::CautionOver),
                () = breaker.troubled_for(slice, began) => break Ok(Ended::Held),
                () = worker.stop.cancelled() => break Ok(Ended::Stopped),
            };
            if self.is_suspect(&delivery) {
                if !is_careful {
                    // Unsettled, it comes back first of all when the session ends.
                    break Ok(Ended::Suspect);
                }
                self.careful_until = Instant::now() + CAUTION;
            }
            let (worker, lane, at_work) = (worker.clone(), self.lane, breaker.at_work());
            // A task of its own that nobody cancels: see `store::Transaction`.
            self.tasks.spawn(async move {
                handle::handle(&worker, lane, delivery).await;
                drop((at_work, hand));
            });
        };
        let condition = Condition::Consuming(self.lane.label());
        worker.health.set(condition, false);
        if ended.is_ok() {
            // Give back what was taken ahead; what is at work settles itself while the session is still open.
            if let Err(error) = session.cancel(Vec::new()).await {
                warn!(lane = self.lane.label(), %error, "messages taken ahead come back when the connection closes");
            }
            self.tasks.close();
            self.tasks.wait().await;
            self.tasks.reopen();
        }
        session.close().await;
        ended
    }

    /// A hand, the breaker's leave, and a message. Cancel-safe.
    async fn next(&self, session: &mut Session) -> Result<(OwnedSemaphorePermit, Delivery), Error> {
        let ready = async {
            let hand = self.hands.clone().acquire_owned().await;
            self.breaker.may_take().await;
            hand.ok()
        };
        let hand = tokio::select! {
            hand = ready => hand,
            () = ends(session) => None,
        };
        let mut passed_over = 0;
        loop {
            match timeout(SILENCE, session.next()).await {
                Ok(Some(Ok(delivery))) => {
                    // Without a hand the session was at its end, and what it still gives comes again.
                    let hand = hand.ok_or_else(|| session.cancelled())?;
                    return Ok((hand, delivery));
                }
                Ok(Some(Err(error))) => return Err(error),
                Ok(None) => return Err(session.cancelled()),
                // A connection that stands and a consumer that is silent for ever: it has been seen.
                Err(_) => {
                    let is_owed = session.check().await? && self.breaker.is_idle();
                    passed_over = if is_owed { passed_over + 1 } else { 0 };
                    if passed_over == 2 {
                        return Err(session.silent());
                    }
                }
            }
        }
    }

    /// Once, and again where it is another failure or goes on: not each attempt to connect.
    fn tell(&mut self, error: &Error) {
        let (lane, cause) = (self.lane.label(), error.label());
        let is_told = |(told, at): (&str, Instant)| told == cause && at.elapsed() < TOLD_EVERY;
        if self.told.is_some_and(is_told) {
            return;
        }
        self.told = Some((cause, Instant::now()));
        if error.is_lasting() {
            error!(lane, %error, cause, "can't consume");
        } else {
            warn!(lane, %error, cause, "consuming was interrupted");
        }
    }

    async fn caution_over(&self) {
        sleep(self.careful_until.saturating_duration_since(Instant::now())).await;
        self.breaker.closed().await;
    }

    /// Whether a message has come back half as often as it may, and may come back once more. A low limit leaves no
    /// room for this.
    fn is_suspect(&self, delivery: &Delivery) -> bool {
        let limit = self.worker.broker.delivery_limit;
        limit >= 8 && (limit / 2..limit - 1).contains(&delivery.delivery_count)
    }
}

/// Ends when the session does: nobody listens to it while all hands are busy.
async fn ends(session: &Session) {
    while session.is_open() {
        sleep(Duration::from_millis(500)).await;
    }
}

fn settings(worker: &Worker, lane: Lane) -> &config::Lane {
    match lane {
        Lane::Interactive => &worker.settings.lanes.interactive,
        Lane::Bulk => &worker.settings.lanes.bulk,
    }
}
