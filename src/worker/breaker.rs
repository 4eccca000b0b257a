//! Each lane's circuit breaker: where the database is away, or refuses one merge after the other, nobody's attempts
//! are burnt. Those at work wait here, and the lane takes no other message. Its log lines belong to no merge.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker::Lane;
use crate::config::Settings;
use crate::domain::MergeRequest;
use crate::retry::Pauses;
use crate::store;
use crate::telemetry::{Condition, Health, metric};

/// The pauses between two questions to a database that is away.
const AWAY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The first pause after one merge too many has failed.
const REFUSING: Duration = Duration::from_secs(1);

/// One merge, whatever its message: a message that comes again and fails again is one that fails.
type Key = (i64, i64, i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open,
    /// One merge at a time, to see.
    HalfOpen {
        is_tried: bool,
    },
}

struct Status {
    state: State,
    /// Since when it is not closed.
    since: Option<Instant>,
    /// Messages taken and not settled.
    at_work: usize,
    /// Merges that failed since the last one that did not.
    failed: HashSet<Key>,
    away: Pauses,
    refusing: Pauses,
}

/// A lane's breaker; clones share one state.
#[derive(Clone)]
pub(super) struct Breaker(Arc<Inner>);

struct Inner {
    lane: Lane,
    threshold: usize,
    patience: Duration,
    pool: store::Pool,
    health: Health,
    stop: CancellationToken,
    status: watch::Sender<Status>,
}

/// Messages that are being worked on.
pub(super) struct AtWork {
    breaker: Breaker,
    messages: usize,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let messages = self.messages;
        self.breaker.0.status.send_if_modified(|status| {
            status.at_work -= messages;
            // While it is closed nobody waits for that.
            status.state != State::Closed
        });
    }
}

/// One try of one merge. Dropped without a word, it has shown nothing.
pub(super) struct Pass {
    breaker: Breaker,
    is_trial: AtomicBool,
}

impl Pass {
    /// Something was committed.
    pub(super) fn succeeded(&self) {
        let mut is_over = false;
        self.breaker.0.status.send_if_modified(|status| {
            status.failed.clear();
            status.away.reset();
            status.refusing.reset();
            is_over = matches!(status.state, State::HalfOpen { .. });
            false
        });
        if is_over {
            self.breaker.close("merges succeed again");
        }
    }

    /// The database as a whole is away: see [`Breaker::away`].
    pub(super) fn away(&self, error: &store::Error) {
        self.is_trial.store(false, Ordering::Relaxed);
        self.breaker.away(error.class());
    }

    /// The database did not do what it should.
    pub(super) fn failed(&self, request: &MergeRequest, error: &store::Error) -> Verdict {
        if !error.may_hit_all() {
            return Verdict::Count;
        }
        let is_trial = self.is_trial.swap(false, Ordering::Relaxed);
        let breaker = &self.breaker;
        let (mut verdict, mut opens) = (Verdict::Wait, false);
        breaker.0.status.send_if_modified(|status| {
            match status.state {
                State::Closed => {
                    status.failed.insert(key(request));
                    opens = status.failed.len() >= breaker.0.threshold;
                    if !opens {
                        verdict = Verdict::Count;
                    }
                }
                // Otherwise a message that always fails would be tried for ever.
                State::HalfOpen { .. } if is_trial => {
                    (verdict, opens) = (Verdict::Count, true);
                }
                State::Open | State::HalfOpen { .. } => {}
            }
            false
        });
        if opens {
            breaker.refuse(error.class());
        }
        verdict
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if *self.is_trial.get_mut() {
            self.breaker.0.status.send_if_modified(|status| {
                let is_ours = status.state == State::HalfOpen { is_tried: true };
                if is_ours {
                    status.state = State::HalfOpen { is_tried: false };
                }
                is_ours
            });
        }
    }
}

fn key(request: &MergeRequest) -> Key {
    (
        request.account_id.get(),
        request.source_user_id.get(),
        request.target_user_id.get(),
    )
}

/// What becomes of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the merge's own.
    Count,
    /// It hits everyone: wait for the next [`Pass`].
    Wait,
}

impl Breaker {
    pub(super) fn new(
        lane: Lane,
        settings: &Settings,
        pool: store::Pool,
        health: Health,
        stop: CancellationToken,
    ) -> Self {
        let retry = &settings.retry;
        health.set(Condition::Taking(lane.label()), true);
        metric::breaker_openings(lane.label(), "connection", 0);
        Self(Arc::new(Inner {
            lane,
            threshold: retry.breaker_after.into(),
            patience: settings.database.connect_timeout,
            pool,
            health,
            stop,
            status: watch::Sender::new(Status {
                state: State::Closed,
                since: None,
                at_work: 0,
                failed: HashSet::new(),
                away: Pauses::new(AWAY.0, AWAY.1),
                refusing: Pauses::new(REFUSING.min(retry.breaker_pause), retry.breaker_pause),
            }),
        }))
    }

    /// Waits until the lane may take another message.
    pub(super) async fn may_take(&self) {
        self.until(|status| match status.state {
            State::Closed => true,
            State::Open => false,
            State::HalfOpen { .. } => status.at_work == 0,
        })
        .await;
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&self) {
        self.until(|status| status.state == State::Closed).await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.status.borrow().state == State::Closed
    }

    /// Whether no message is taken and unsettled.
    pub(super) fn is_idle(&self) -> bool {
        self.0.status.borrow().at_work == 0
    }

    /// Waits until it has not been closed for so long at a stretch, not counting what was before `from`.
    pub(super) async fn troubled_for(&self, long: Duration, from: Instant) {
        loop {
            self.until(|status| status.since.is_some()).await;
            let Some(since) = self.0.status.borrow().since else {
                continue;
            };
            tokio::select! {
                () = sleep(long.saturating_sub(since.max(from).elapsed())) => return,
                () = self.closed() => {}
            }
        }
    }

    /// Messages are taken; they count until the value is dropped.
    pub(super) fn at_work(&self, messages: usize) -> AtWork {
        self.0.status.send_if_modified(|status| {
            status.at_work += messages;
            false
        });
        AtWork {
            breaker: self.clone(),
            messages,
        }
    }

    /// Leave to try several merges at once, if it is closed.
    pub(super) fn pass_together(&self) -> Option<Pass> {
        self.is_closed().then(|| Pass {
            breaker: self.clone(),
            is_trial: AtomicBool::new(false),
        })
    }

    /// Waits until a merge may be tried.
    pub(super) async fn pass(&self) -> Pass {
        loop {
            let mut passed = None;
            self.0.status.send_if_modified(|status| match status.state {
                State::Closed => {
                    passed = Some(false);
                    false
                }
                State::HalfOpen { is_tried: false } => {
                    passed = Some(true);
                    status.state = State::HalfOpen { is_tried: true };
                    true
                }
                State::Open | State::HalfOpen { is_tried: true } => false,
            });
            if let Some(is_trial) = passed {
                return Pass {
                    breaker: self.clone(),
                    is_trial: AtomicBool::new(is_trial),
                };
            }
            self.until(|status| {
                matches!(
                    status.state,
                    State::Closed | State::HalfOpen { is_tried: false }
                )
            })
            .await;
        }
    }

    /// The database is away: no fault of any merge. Who waits may pass once it answers.
    pub(super) fn away(&self, cause: &'static str) {
        if !self.open(cause) {
            return;
        }
        warn!(
            parent: None,
            lane = self.lane(),
            cause, "the database is away: no messages are taken until it answers"
        );
        let breaker = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = sleep(breaker.next_pause(|status| &mut status.away)) => {}
                    () = breaker.0.stop.cancelled() => return,
                }
                // Over a black hole no answer would ever come.
                let answer = timeout(breaker.0.patience, store::answers(&breaker.0.pool));
                if matches!(answer.await, Ok(Ok(()))) {
                    return breaker.close("the database answers again");
                }
            }
        });
    }

    /// One merge too many has failed: a pause, then one at a time.
    fn refuse(&self, cause: &'static str) {
        if !self.open(cause) {
            return;
        }
        let pause = self.next_pause(|status| &mut status.refusing);
        let delay_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        warn!(
            parent: None,
            lane = self.lane(),
            cause, delay_ms, "merges fail one after the other: no messages are taken for a while"
        );
        let breaker = self.clone();
        tokio::spawn(async move {
            sleep(pause).await;
            info!(
                lane = breaker.lane(),
                "one merge at a time is tried, to see"
            );
            breaker.0.status.send_modify(|status| {
                status.state = State::HalfOpen { is_tried: false };
            });
            breaker
                .0
                .health
                .set(Condition::Taking(breaker.lane()), true);
        });
    }

    /// Whoever opens it looks after it. False where somebody did already.
    fn open(&self, cause: &'static str) -> bool {
        let is_news = self.0.status.send_if_modified(|status| {
            let was = std::mem::replace(&mut status.state, State::Open);
            status.since.get_or_insert_with(Instant::now);
            was != State::Open
        });
        if is_news {
            self.0.health.set(Condition::Taking(self.lane()), false);
            metric::breaker_openings(self.lane(), cause, 1);
        }
        is_news
    }

    fn close(&self, why: &'static str) {
        let is_news = self.0.status.send_if_modified(|status| {
            status.since = None;
            status.failed.clear();
            std::mem::replace(&mut status.state, State::Closed) != State::Closed
        });
        if !is_news {
            return;
        }
        self.0.health.set(Condition::Taking(self.lane()), true);
        info!(parent: None, lane = self.lane(), "{why}");
    }

    fn next_pause(&self, which: fn(&mut Status) -> &mut Pauses) -> Duration {
        let mut pause = Duration::ZERO;
        // Nobody waits for this: no need to wake anyone.
        self.0.status.send_if_modified(|status| {
            pause = which(status).next_pause();
            false
        });
        pause
    }

    fn lane(&self) -> &'static str {
        self.0.lane.label()
    }

    async fn until(&self, condition: impl FnMut(&Status) -> bool) {
        // The sender lives as long as `self`, so this can't fail.
        drop(self.0.status.subscribe().wait_for(condition).await);
    }
}
