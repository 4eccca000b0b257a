//! The outbox's way to the broker: what a commit has just promised, and what a crash left behind (rule D2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Worker;
use crate::broker::{Destination, Outgoing, Properties};
use crate::domain::AccountId;
use crate::failpoint::failpoint;
use crate::store::outbox::{self, Promised, backlog, claim, mark_published, prune};
use crate::telemetry::metric;

/// Messages waiting to be published in memory; what doesn't fit waits in the outbox.
const WAITING: usize = 4096;
/// Messages whose confirms are awaited at once.
const UNDER_WAY: usize = 256;
/// Confirmed messages are marked in batches of at most this many.
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

/// Publishes until told to stop, then finishes what it has.
pub(super) async fn run(
    worker: Arc<Worker>,
    mut handed_over: mpsc::Receiver<Promised>,
    stop: CancellationToken,
) {
    let settings = worker.settings.relay.clone();
    let mut ticks = tokio::time::interval(settings.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut under_way = FuturesUnordered::new();
    let mut confirmed: Vec<(AccountId, i64)> = Vec::new();
    let (mut last_tidied, mut looks) = (Instant::now(), 0_u32);

    loop {
        tokio::select! {
            biased;
            Some(published) = under_way.next(), if !under_way.is_empty() => confirmed.extend(published),
            // Before the messages of merges that end now: where they never cease, what a crash left is due too.
            _ = ticks.tick(), if under_way.len() < UNDER_WAY && !stop.is_cancelled() => {
                for message in left_behind(&worker).await {
                    failpoint!(RelayClaimed, else break);
                    under_way.push(publish(&worker, message));
                }
                if looks.is_multiple_of(COUNTED_EVERY) {
                    count(&worker).await;
                }
                looks = looks.wrapping_add(1);
                if last_tidied.elapsed() > TIDIED_EVERY {
                    last_tidied = Instant::now();
                    tidy(&worker).await;
                }
            }
            Some(message) = handed_over.recv(), if under_way.len() < UNDER_WAY => {
                under_way.push(publish(&worker, message));
            }
            () = stop.cancelled(), if under_way.is_empty() && handed_over.is_empty() => break,
        }
        if confirmed.len() >= MARKED_AT_ONCE || (under_way.is_empty() && !confirmed.is_empty()) {
            mark(&worker, &mut confirmed).await;
        }
    }
}

/// Returns the row's key once the broker has confirmed; otherwise the row stays, and is claimed again after
/// its lease.
async fn publish(worker: &Worker, message: Promised) -> Option<(AccountId, i64)> {
    let key = (message.account, message.id);
    let destination = message.draft.destination;
    failpoint!(RelayDue, else return None);
    match worker.publisher.publish(outgoing(message)).await {
        Ok(()) => {
            failpoint!(RelayConfirmed, else return None);
            metric::outbox_published(destination.label());
            Some(key)
        }
        Err(error) => {
            metric::broker_failures("publishing", error.label());
            warn!(destination = destination.label(), %error, "a promised message waits in the outbox");
            None
        }
    }
}

async fn left_behind(worker: &Worker) -> Vec<Promised> {
    let settings = &worker.settings.relay;
    match claim(
        &worker.pool,
        settings.batch.into(),
        settings.lease.as_secs_f64(),
    )
    .await
    {
        Ok(messages) => messages,
        Err(error) => {
            warn!(cause = error.class(), "the outbox can't be read: {error}");
            Vec::new()
        }
    }
}

/// A mark that fails costs a second publish after the lease, under the same message id.
async fn mark(worker: &Worker, confirmed: &mut Vec<(AccountId, i64)>) {
    if let Err(error) = mark_published(&worker.pool, confirmed).await {
        warn!(
            cause = error.class(),
            "published messages could not be marked: {error}"
        );
    }
    confirmed.clear();
    failpoint!(RelayMarked, else ());
}

async fn tidy(worker: &Worker) {
    let keep = worker.settings.relay.keep_published.as_secs_f64();
    if let Err(error) = prune(&worker.pool, keep, 1_000).await {
        warn!(cause = error.class(), "the outbox can't be pruned: {error}");
    }
}

async fn count(worker: &Worker) {
    if let Ok((pending, oldest)) = backlog(&worker.pool).await {
        metric::outbox_pending(u32::try_from(pending).unwrap_or(u32::MAX));
        metric::outbox_oldest_seconds(Duration::from_secs_f64(oldest.max(0.0)));
    }
}

fn outgoing(message: Promised) -> Outgoing {
    let draft = message.draft;
    let header = |name: &str| {
        let value = draft.headers.as_ref()?.get(name)?.as_str()?;
        Some(value.to_owned())
    };
    Outgoing {
        destination: match draft.destination {
            outbox::Destination::Deletion => Destination::Deletion,
            outbox::Destination::Event => Destination::Event(draft.routing_key.clone()),
            outbox::Destination::Dead => Destination::Dead,
        },
        properties: Properties {
            message_id: Some(draft.message_id.clone()),
            correlation_id: message.correlation_id,
            traceparent: message.traceparent,
            lane: header("x-lane").and_then(|lane| lane.parse().ok()),
            attempts: header("x-attempts").and_then(|attempts| attempts.parse().ok()),
            reason: header("x-reason"),
            detail: header("x-detail"),
            ..Properties::default()
        },
        body: draft.body.into_bytes(),
    }
}
