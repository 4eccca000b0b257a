//! The outbox's way to the broker: what a commit has just promised, and what a crash left behind (rule D2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::Worker;
use super::hand_over::{HandedOver, Place};
use super::outbox::{count, left_behind, mark, tidy};
use super::trouble::Trouble;
use crate::broker::{Destination, Lane, Outgoing, Properties, PublishError};
use crate::failpoint::failpoint;
use crate::store::outbox::{self, Key, Promised};
use crate::telemetry::metric;

/// Messages whose confirms are awaited at once, but for what is found in the outbox.
const UNDER_WAY: usize = 256;
/// Messages that go out together, at most: they are told of together too.
const TOGETHER: usize = 64;
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
            published = under_way.next(), if under_way.messages > 0 => {
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
            _ = ticks.tick(), if under_way.messages < UNDER_WAY && !clerk.is_to_look && !stop.is_cancelled() => {
                if let Some(over) = trouble.fresh_until() {
                    ticks.reset_at(over.min(Instant::now() + settings.interval).into());
                } else {
                    clerk.is_to_look = true;
                }
            }
            Ok(()) = keeping.changed() => ticks.reset_immediately(),
            Some(first) = handed_over.recv(), if under_way.messages < UNDER_WAY => {
                let room = UNDER_WAY - under_way.messages;
                let more = std::iter::from_fn(|| handed_over.try_recv());
                let all = std::iter::once(first).chain(more).take(room);
                let all = all.map(|(message, place)| (message, Some(place))).collect();
                under_way.publish(&worker, all);
            }
            () = stop.cancelled(), if under_way.messages == 0 && handed_over.is_empty()
                && settled.len() == 0 && clerk.is_idle() => break,
        }
        if clerk.is_idle() {
            if clerk.is_to_look && !stop.is_cancelled() {
                clerk.look();
            } else if settled.are_due(under_way.messages == 0) {
                clerk.mark(settled.take());
            }
        }
    }
}

/// A message to be published, and its room in memory where it came from a merge of this worker's.
type Due = (Promised, Option<Place>);
type Published = (Key, Result<(), (&'static str, PublishError)>);

/// Messages whose confirms are awaited, in parts that go out together.
#[derive(Default)]
struct UnderWay<'a> {
    parts: FuturesUnordered<BoxFuture<'a, Vec<Published>>>,
    messages: usize,
}

impl<'a> UnderWay<'a> {
    /// Parts of one destination each: one that doesn't confirm keeps nobody waiting for the others.
    fn publish(&mut self, worker: &'a Worker, messages: Vec<Due>) {
        let mut parts: Vec<Vec<Due>> = Vec::new();
        for due in messages {
            let joins = |part: &&mut Vec<Due>| {
                part.len() < TOGETHER && part[0].0.draft.destination == due.0.draft.destination
            };
            match parts.iter_mut().rev().find(joins) {
                Some(part) => part.push(due),
                None => parts.push(vec![due]),
            }
        }
        for part in parts {
            self.messages += part.len();
            self.parts.push(publish(worker, part).boxed());
        }
    }

    /// What became of the next part. Cancel-safe.
    async fn next(&mut self) -> Vec<Published> {
        let published = self.parts.next().await.unwrap_or_default();
        self.messages -= published.len();
        published
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

/// Says of each whether the broker has confirmed; otherwise the row stays, and is claimed again after its lease. Until
/// then it has its place.
async fn publish(worker: &Worker, part: Vec<Due>) -> Vec<Published> {
    let (mut published, mut keys) = (Vec::new(), Vec::new());
    let (mut messages, mut places) = (Vec::new(), Vec::new());
    for (message, place) in part {
        let (key, destination) = (message.key, message.draft.destination.label());
        let failed = Err((destination, PublishError::Closed));
        failpoint!(RelayDue, else {
            published.push((key, failed));
            continue;
        });
        keys.push((key, destination, failed));
        places.push(place);
        messages.push(outgoing(message));
    }
    let results = worker.publisher.publish_all(messages).await;
    for ((key, destination, failed), result) in keys.into_iter().zip(results) {
        if result.is_ok() {
            failpoint!(RelayConfirmed, else {
                published.push((key, failed));
                continue;
            });
            metric::outbox_published(destination);
        }
        published.push((key, result.map_err(|error| (destination, error))));
    }
    published
}

fn outgoing(message: Promised) -> Outgoing {
    let draft = message.draft;
    let header = |name: &str| {
        let value = draft.headers.as_ref()?.get(name)?.as_str()?;
        Some(value.to_owned())
    };
    // A request's lane is its routing key; one that this version doesn't know is nobody's to wait for.
    let to = draft.routing_key.parse().unwrap_or(Lane::Bulk);
    let is_request = draft.destination == outbox::Destination::Request;
    Outgoing {
        destination: match draft.destination {
            outbox::Destination::Deletion => Destination::Deletion,
            outbox::Destination::Event => Destination::Event(draft.routing_key.clone()),
            outbox::Destination::Dead => Destination::Dead,
            outbox::Destination::Request => Destination::Lane(to),
        },
        properties: Properties {
            message_id: Some(draft.message_id.clone()),
            correlation_id: message.correlation_id,
            traceparent: message.traceparent,
            lane: header("x-lane")
                .and_then(|lane| lane.parse().ok())
                .or(is_request.then_some(to)),
            attempts: header("x-attempts").and_then(|attempts| attempts.parse().ok()),
            enqueued_again: header("x-enqueued-again").and_then(|times| times.parse().ok()),
            reason: header("x-reason"),
            detail: header("x-detail"),
            dead_since: header("x-dead-since").and_then(|time| time.parse().ok()),
            ..Properties::default()
        },
        body: draft.body.into_bytes(),
    }
}
