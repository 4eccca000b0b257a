//! One session's messages: taken as they come, served as hands get free, put back where they wait for too long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{self, sleep, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::ahead::{Ahead, Taken};
use super::breaker::Breaker;
use super::{Worker, batch, handle, reply};
use crate::broker::{Delivery, Error, Lane, Session};
use crate::config;
use crate::telemetry::Condition;

/// How long messages are taken one by one after something that may have counted against all that were taken
/// ahead: a frame that can't be read, or a message that has come back often.
pub(super) const CAUTION: Duration = Duration::from_secs(30);
/// How long nothing may come before the broker is asked whether nothing is there.
const SILENCE: Duration = Duration::from_secs(10);

/// Why a session ended that did not fail.
pub(super) enum Ended {
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

/// What all sessions of a lane share.
pub(super) struct Consuming {
    pub worker: Arc<Worker>,
    pub lane: Lane,
    pub settings: config::Lane,
    pub breaker: Breaker,
    pub hands: Arc<Semaphore>,
    pub tasks: TaskTracker,
    /// Until then messages are taken one by one.
    pub careful_until: Instant,
}

/// One session, and what it has in hand.
struct Taking<'a> {
    consuming: &'a mut Consuming,
    session: &'a mut Session,
    ahead: Ahead,
    /// Since when a batch could have begun, if it had been let.
    wanted_since: Option<time::Instant>,
    /// What batches leave to be done alone.
    left: mpsc::UnboundedSender<Taken>,
    /// Since when nothing has come.
    silent_since: time::Instant,
    /// How often in a row others were given what this session should have got.
    passed_over: u8,
}

/// Until the session ends or the worker stops. Then what is in hand is given back, and what is at work settles
/// itself while the session is still open.
pub(super) async fn run(
    consuming: &mut Consuming,
    mut session: Session,
    is_careful: bool,
) -> Result<Ended, Error> {
    let (left, mut goes_alone) = mpsc::unbounded_channel();
    let mut taking = Taking {
        session: &mut session,
        consuming,
        ahead: Ahead::default(),
        wanted_since: None,
        left,
        silent_since: time::Instant::now(),
        passed_over: 0,
    };
    let ended = taking.turn(&mut goes_alone, is_careful).await;
    let ahead = taking.ahead.take_all();
    drop(taking.left);
    let consumed = Condition::Consuming(consuming.lane.label());
    consuming.worker.health.set(consumed, false);
    if ended.is_ok() {
        let waiting = ahead.into_iter().map(|taken| taken.delivery).collect();
        if let Err(error) = session.cancel(waiting).await {
            let lane = consuming.lane.label();
            warn!(lane, %error, "messages taken ahead come back when the connection closes");
        }
        consuming.tasks.close();
        consuming.tasks.wait().await;
        consuming.tasks.reopen();
        while let Some(taken) = goes_alone.recv().await {
            reply::give_back(&[&taken.delivery]).await;
        }
    }
    session.close().await;
    ended
}

impl Taking<'_> {
    async fn turn(
        &mut self,
        goes_alone: &mut mpsc::UnboundedReceiver<Taken>,
        is_careful: bool,
    ) -> Result<Ended, Error> {
        let (worker, breaker) = (
            self.consuming.worker.clone(),
            self.consuming.breaker.clone(),
        );
        let (slice, patience) = (worker.settings.merge.slice, worker.waiting());
        let began = Instant::now();
        loop {
            self.want();
            // In this order: whatever has come fills a batch, and nothing is waited for to fill it.
            tokio::select! {
                biased;
                () = worker.stop.cancelled() => return Ok(Ended::Stopped),
                () = self.consuming.caution_over(), if is_careful => return Ok(Ended::CautionOver),
                () = breaker.troubled_for(slice, began) => return Ok(Ended::Held),
                Some(taken) = goes_alone.recv() => self.ahead.push_left(taken),
                next = self.session.next() => {
                    if let Some(ended) = self.arrived(next, is_careful)? {
                        return Ok(ended);
                    }
                }
                () = self.ahead.overdue(patience), if breaker.is_closed() => self.put_back(),
                hand = self.consuming.leave(self.wanted_since), if !self.ahead.is_empty() => self.begin(hand),
                () = sleep_until(self.silent_since + SILENCE) => self.ask().await?,
            }
        }
    }

    fn want(&mut self) {
        if self.ahead.is_empty() {
            self.wanted_since = None;
        } else {
            self.wanted_since.get_or_insert_with(time::Instant::now);
        }
    }

    /// A message, and whatever has come with it. Says so where that ends the session.
    fn arrived(
        &mut self,
        next: Option<Result<Delivery, Error>>,
        is_careful: bool,
    ) -> Result<Option<Ended>, Error> {
        self.silent_since = time::Instant::now();
        self.passed_over = 0;
        let mut arrived = Some(next);
        while let Some(next) = arrived {
            let delivery = next.unwrap_or_else(|| Err(self.session.cancelled()))?;
            if self.consuming.is_suspect(&delivery) {
                if !is_careful {
                    // Unsettled, it comes back first of all when the session ends.
                    return Ok(Some(Ended::Suspect));
                }
                self.consuming.careful_until = Instant::now() + CAUTION;
            }
            let present = self.consuming.worker.precedence.enter(self.consuming.lane);
            self.ahead.push(Taken::new(delivery, present));
            arrived = self.session.next().now_or_never();
        }
        Ok(None)
    }

    /// As many as may share a transaction and are there: one alone where the breaker tries a merge to see.
    fn begin(&mut self, hand: Option<OwnedSemaphorePermit>) {
        self.wanted_since = None;
        let consuming = &*self.consuming;
        let most = if consuming.breaker.is_closed() {
            let precedence = &consuming.worker.precedence;
            precedence.share(consuming.lane, consuming.settings.batch.into())
        } else {
            1
        };
        let mut taken = self.ahead.take(most);
        let at_work = consuming.breaker.at_work(taken.len());
        let (worker, lane, left) = (consuming.worker.clone(), consuming.lane, self.left.clone());
        // A task of its own that nobody cancels: see `store::Transaction`.
        consuming.tasks.spawn(async move {
            if taken.len() > 1 {
                for alone in batch::handle(&worker, lane, taken).await {
                    drop(left.send(alone));
                }
            } else if let Some(taken) = taken.pop() {
                handle::handle(&worker, lane, taken.delivery).await;
                drop(taken.present);
            }
            drop((at_work, hand));
        });
    }

    /// All that wait, so that they keep their order among each other and to what large merges go on with: those that
    /// stayed would be served before those that went, time and again.
    fn put_back(&mut self) {
        let taken = self.ahead.take_all();
        let (worker, lane) = (self.consuming.worker.clone(), self.consuming.lane);
        self.consuming.tasks.spawn(async move {
            let deliveries: Vec<_> = taken.iter().map(|taken| &taken.delivery).collect();
            reply::put_back(&worker, lane, &deliveries).await;
        });
    }

    /// A connection that stands and a consumer that is silent for ever: it has been seen.
    async fn ask(&mut self) -> Result<(), Error> {
        self.silent_since = time::Instant::now();
        let is_idle = self.ahead.is_empty() && self.consuming.breaker.is_idle();
        let is_owed = self.session.check().await? && is_idle;
        self.passed_over = if is_owed { self.passed_over + 1 } else { 0 };
        if self.passed_over == 2 {
            return Err(self.session.silent());
        }
        Ok(())
    }
}

impl Consuming {
    /// Leave to begin: whatever bears on when the lane may take up its next work is asked here. Cancel-safe.
    async fn leave(&self, wanted_since: Option<time::Instant>) -> Option<OwnedSemaphorePermit> {
        let (worker, hands) = (&self.worker, self.hands.clone());
        let hand = hands.acquire_owned().await;
        self.breaker.may_take().await;
        worker.pace.may_begin(self.lane, || self.busy()).await;
        if let Some(since) = wanted_since {
            let busy = || self.busy();
            worker.precedence.give_way(self.lane, since, busy).await;
        }
        let (link, patience) = (worker.publisher.state(), worker.broker.publish_timeout);
        worker.hand_over.room(self.lane, link, patience).await;
        hand.ok()
    }

    /// Hands at work, and the one that is about to be.
    fn busy(&self) -> usize {
        usize::from(self.settings.concurrency).saturating_sub(self.hands.available_permits())
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
