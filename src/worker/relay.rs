//! The outbox's way to the broker: what a commit has just promised, and what a crash left behind (rule D2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Worker;
use super::outbox::{Key, count, left_behind, mark, tidy};
use super::trouble::Trouble;
use crate::broker::{Destination, Lane, Outgoing, Properties, PublishError};
use crate::failpoint::failpoint;
use crate::store::outbox::{self, Promised};
use crate::telemetry::metric;

/// Messages waiting to be published in memory; what doesn't fit waits in the outbox.
const WAITING: usize = 4096;
/// Messages whose confirms are awaited at once.
const UNDER_WAY: usize = 256;
/// Settled messages are marked in batches of at most this many.
const MARKED_AT_ONCE: usize = 200;
/// The backlog is counted at every so many looks.
const COUNTED_EVERY: u32 = 5;
/// How often what was published long ago is removed.
const TIDIED_EVERY: Duration = Duration::from_mins(1);

/// Where a merge leaves what its commit has promised.
pub(super) struct HandOver(mpsc::Sender<Promised>);

impl HandOver {
    /// Never waits: a message that finds no room stays in the outbox, whence the relay takes it.
    pub(super) fn promised(&self, promised: Vec<Promised>) {
        for message in promised {
            drop(self.0.try_send(message));
        }
    }
}

pub(super) fn channel() -> (HandOver, mpsc::Receiver<Promised>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (HandOver(sender), receiver)
}

/// Publishes until told to stop, then finishes what it has. What this worker's merges promise is its own to publish;
/// what others left behind is the keeper's.
pub(super) async fn run(
    worker: Arc<Worker>,
    mut handed_over: mpsc::Receiver<Promised>,
    stop: CancellationToken,
) {
    let settings = worker.settings.relay.clone();
    let pulse = worker.pulse("relay");
    let mut ticks = tokio::time::interval(settings.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut keeping = worker.keeping.changes();
    let mut under_way = FuturesUnordered::new();
    let mut settled = Settled::default();
    let mut trouble = Trouble::default();
    let (mut last_tidied, mut looks) = (Instant::now(), 0_u32);

    let mut beats = tokio::time::interval(Duration::from_secs(1));
    loop {
        pulse.beat();
        tokio::select! {
            biased;
            _ = beats.tick() => {}
            Some((key, published)) = under_way.next(), if !under_way.is_empty() => {
                settled.sort(key, published, &mut trouble);
            }
            // Before the messages of merges that end now: where they never cease, what a crash left is due too.
            _ = ticks.tick(), if under_way.len() < UNDER_WAY && !stop.is_cancelled() => {
                if let Some(over) = trouble.fresh_until() {
                    ticks.reset_at(over.min(Instant::now() + settings.interval).into());
                } else if worker.keeping.is_ours() {
                    let left = left_behind(&worker).await;
                    // As many as there may be at once: there are more. A broker that confirms sets the pace.
                    if left.len() >= settings.batch as usize {
                        ticks.reset_immediately();
                    }
                    for message in left {
                        failpoint!(RelayClaimed, else break);
                        under_way.push(publish(&worker, message));
                    }
                }
                if looks.is_multiple_of(COUNTED_EVERY) {
                    count(&worker).await;
                }
                looks = looks.wrapping_add(1);
                if worker.keeping.is_ours() && last_tidied.elapsed() > TIDIED_EVERY {
                    last_tidied = Instant::now();
                    tidy(&worker).await;
                }
            }
            Ok(()) = keeping.changed() => ticks.reset_immediately(),
            Some(message) = handed_over.recv(), if under_way.len() < UNDER_WAY => {
                under_way.push(publish(&worker, message));
            }
            () = stop.cancelled(), if under_way.is_empty() && handed_over.is_empty() => break,
        }
        if settled.len() >= MARKED_AT_ONCE || (under_way.is_empty() && settled.len() > 0) {
            let Settled { confirmed, refused } = std::mem::take(&mut settled);
            mark(&worker, confirmed, refused).await;
        }
    }
}

/// Messages whose publish has ended, to be marked.
#[derive(Default)]
struct Settled {
    confirmed: Vec<Key>,
    refused: Vec<Key>,
}

impl Settled {
    fn sort(
        &mut self,
        key: Key,
        published: Result<(), (&'static str, PublishError)>,
        trouble: &mut Trouble,
    ) {
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
    }

    fn len(&self) -> usize {
        self.confirmed.len() + self.refused.len()
    }
}

/// Whether the broker has a quarrel with this message or its queue, while others may go out.
const fn is_the_messages(error: &PublishError) -> bool {
    matches!(
        error,
        PublishError::Unroutable(_) | PublishError::Nacked(_) | PublishError::Invalid(_)
    )
}

/// Says whether the broker has confirmed; otherwise the row stays, and is claimed again after its lease.
async fn publish(
    worker: &Worker,
    message: Promised,
) -> (Key, Result<(), (&'static str, PublishError)>) {
    let key = (message.account, message.id);
    let destination = message.draft.destination.label();
    failpoint!(RelayDue, else return (key, Err((destination, PublishError::Closed))));
    let published = worker.publisher.publish(outgoing(message)).await;
    if published.is_ok() {
        failpoint!(RelayConfirmed, else return (key, Err((destination, PublishError::Closed))));
        metric::outbox_published(destination);
    }
    (key, published.map_err(|error| (destination, error)))
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
