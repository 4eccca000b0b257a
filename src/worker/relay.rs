//! The outbox's way to the broker: what a commit has just promised, and what a crash left behind (rule D2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::Worker;
use super::hand_over::HandedOver;
use super::outbox::{count, left_behind, mark, tidy};
use super::trouble::Trouble;
use super::under_way::{Published, UnderWay};
use crate::broker::PublishError;
use crate::failpoint::failpoint;
use crate::store::outbox::{Key, Promised};
use crate::telemetry::metric;

/// Settled messages are marked together: once there are so many, at most so many, and none later than this.
const MARKED_FROM: usize = 200;
const MARKED_AT_MOST: usize = 2_000;
const MARKED_WITHIN: Duration = Duration::from_secs(1);
/// The backlog is counted at every so many looks.
const COUNTED_EVERY: u32 = 5;
/// How often what was published long ago is removed.
const TIDIED_EVERY: Duration = Duration::from_mins(1);

/// Publishes until told to stop, then finishes what it has. What this worker's merges promise is its own to publish;
/// what others left behind is the keeper's. The database is asked beside: confirms don't wait for it.
pub(super) async fn run(worker: Arc<Worker>, mut handed_over: HandedOver, stop: CancellationToken) {
    let settings = worker.settings.relay.clone();
    let pulse = worker.pulse("relay");
    let mut ticks = tokio::time::interval(settings.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut keeping = worker.keeping.changes();
    let mut under_way = UnderWay::default();
    let mut clerk = Clerk::new(&worker);
    let mut settled = Settled::default();
    let mut trouble = Trouble::default();

    let mut beats = tokio::time::interval(MARKED_WITHIN);
    loop {
        pulse.beat();
        tokio::select! {
            biased;
            _ = beats.tick() => {}
            published = under_way.next(), if !under_way.is_empty() => {
                for published in published {
                    settled.sort(published, &mut trouble);
                }
            }
            Some(left) = clerk.asking.next(), if !clerk.is_idle() => {
                // As many as there may be at once: there are more. A broker that confirms sets the pace.
                if left.len() >= settings.batch as usize {
                    ticks.reset_immediately();
                }
                let mut claimed = Vec::new();
                for message in left {
                    failpoint!(RelayClaimed, else break);
                    claimed.push((message, None));
                }
                under_way.publish(&worker, claimed);
            }
            // Before the messages of merges that end now: where they never cease, what a crash left is due too.
            _ = ticks.tick(), if under_way.room() > 0 && !clerk.is_to_look && !stop.is_cancelled() => {
                if let Some(over) = trouble.fresh_until() {
                    ticks.reset_at(over.min(Instant::now() + settings.interval).into());
                } else {
                    clerk.is_to_look = true;
                }
            }
            Ok(()) = keeping.changed() => ticks.reset_immediately(),
            Some(first) = handed_over.recv(), if under_way.room() > 0 => {
                let more = std::iter::from_fn(|| handed_over.try_recv());
                let all = std::iter::once(first).chain(more).take(under_way.room());
                let all = all.map(|(message, place)| (message, Some(place))).collect();
                under_way.publish(&worker, all);
            }
            () = stop.cancelled(), if under_way.is_empty() && handed_over.is_empty()
                && settled.len() == 0 && clerk.is_idle() => break,
        }
        if clerk.is_idle() {
            if clerk.is_to_look && !stop.is_cancelled() {
                clerk.look();
            } else if settled.are_due(under_way.is_empty()) {
                clerk.mark(settled.take());
            }
        }
    }
}

/// Asks the outbox one thing at a time.
struct Clerk<'a> {
    worker: &'a Worker,
    /// Answers what is to be published.
    asking: FuturesUnordered<BoxFuture<'a, Vec<Promised>>>,
    is_to_look: bool,
    looks: u32,
    last_tidied: Instant,
}

impl<'a> Clerk<'a> {
    fn new(worker: &'a Worker) -> Self {
        Self {
            worker,
            asking: FuturesUnordered::new(),
            is_to_look: false,
            looks: 0,
            last_tidied: Instant::now(),
        }
    }

    fn is_idle(&self) -> bool {
        self.asking.is_empty()
    }

    fn mark(&self, settled: Settled) {
        let worker = self.worker;
        let marking = async move {
            mark(worker, settled.confirmed, settled.refused).await;
            Vec::new()
        };
        self.asking.push(marking.boxed());
    }

    fn look(&mut self) {
        let worker = self.worker;
        let keeps = worker.keeping.is_ours();
        let counts = self.looks.is_multiple_of(COUNTED_EVERY);
        let tidies = keeps && self.last_tidied.elapsed() > TIDIED_EVERY;
        if tidies {
            self.last_tidied = Instant::now();
        }
        self.looks = self.looks.wrapping_add(1);
        self.is_to_look = false;
        let looking = async move {
            let left = if keeps {
                left_behind(worker).await
            } else {
                Vec::new()
            };
            if counts {
                count(worker).await;
            }
            if tidies {
                tidy(worker).await;
            }
            left
        };
        self.asking.push(looking.boxed());
    }
}

/// Messages whose publish has ended, to be marked.
#[derive(Default)]
struct Settled {
    confirmed: Vec<Key>,
    refused: Vec<Key>,
    since: Option<Instant>,
}

impl Settled {
    fn sort(&mut self, (key, published): Published, trouble: &mut Trouble) {
        match published {
            Ok(()) => {
                trouble.passed();
                self.confirmed.push(key);
            }
            Err((destination, error)) => {
                if is_the_messages(&error) {
                    metric::broker_failures("publishing", error.label());
                    self.refused.push(key);
                } else {
                    trouble.arose(error.label());
                }
                trouble.say(destination, &error);
            }
        }
        if self.len() > 0 {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    fn len(&self) -> usize {
        self.confirmed.len() + self.refused.len()
    }

    /// Many at once, unless there is time, or it is time.
    fn are_due(&self, is_calm: bool) -> bool {
        let are_late = self
            .since
            .is_some_and(|since| since.elapsed() >= MARKED_WITHIN);
        self.len() >= MARKED_FROM || (self.len() > 0 && (is_calm || are_late))
    }

    fn take(&mut self) -> Self {
        let rest = self.confirmed.len().min(MARKED_AT_MOST);
        let rest = self.confirmed.split_off(rest);
        let since = (!rest.is_empty()).then(Instant::now);
        std::mem::replace(
            self,
            Self {
                confirmed: rest,
                refused: Vec::new(),
                since,
            },
        )
    }
}

/// Whether the broker has a quarrel with this message or its queue, while others may go out.
const fn is_the_messages(error: &PublishError) -> bool {
    matches!(
        error,
        PublishError::Unroutable(_) | PublishError::Nacked(_) | PublishError::Invalid(_)
    )
}
