//! Promised messages on their way to the broker, in parts that go out together: one wait, and one answer, for each part.

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;

use super::Worker;
use super::hand_over::Place;
use crate::broker::{self, Lane, Outgoing, Properties, PublishError};
use crate::failpoint::failpoint;
use crate::store::outbox::{Destination, Key, Promised};
use crate::telemetry::metric;

/// Messages whose confirms are awaited at once, but for what is found in the outbox.
const AT_ONCE: usize = 256;
/// Messages of one part, at most.
const TOGETHER: usize = 64;

/// A message to be published, and its room in memory where it came from a merge of this worker's.
pub(super) type Due = (Promised, Option<Place>);
/// What became of it.
pub(super) type Published = (Key, Result<(), (&'static str, PublishError)>);

/// Messages whose confirms are awaited, in parts that go out together.
#[derive(Default)]
pub(super) struct UnderWay<'a> {
    parts: FuturesUnordered<BoxFuture<'a, Vec<Published>>>,
    messages: usize,
}

impl<'a> UnderWay<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// How many more may be under way.
    pub(super) const fn room(&self) -> usize {
        AT_ONCE.saturating_sub(self.messages)
    }

    pub(super) fn publish(&mut self, worker: &'a Worker, messages: Vec<Due>) {
        for part in parts(messages) {
            self.messages += part.len();
            self.parts.push(publish(worker, part).boxed());
        }
    }

    /// What became of the next part. Cancel-safe.
    pub(super) async fn next(&mut self) -> Vec<Published> {
        let published = self.parts.next().await.unwrap_or_default();
        self.messages -= published.len();
        published
    }
}

/// Of one destination each: one that doesn't confirm keeps nobody waiting for the others. And of one lane.
fn parts(messages: Vec<Due>) -> Vec<Vec<Due>> {
    let mut parts: Vec<Vec<Due>> = Vec::new();
    for due in messages {
        let joins = |part: &&mut Vec<Due>| {
            part.len() < TOGETHER
                && part[0].0.draft.destination == due.0.draft.destination
                && lane(&part[0]) == lane(&due)
        };
        match parts.iter_mut().find(joins) {
            Some(part) => part.push(due),
            None => parts.push(vec![due]),
        }
    }
    parts
}

/// What was found in the outbox is late already.
fn lane((_, place): &Due) -> Lane {
    place.as_ref().map_or(Lane::Bulk, |place| place.lane)
}

/// Says of each whether the broker has confirmed; otherwise the row stays, and is claimed again after its lease. Until
/// then it has its place.
async fn publish(worker: &Worker, part: Vec<Due>) -> Vec<Published> {
    let lane = lane(&part[0]);
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
    let results = worker.publisher.publish_all(messages, lane).await;
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
    let is_request = draft.destination == Destination::Request;
    Outgoing {
        destination: match draft.destination {
            Destination::Deletion => broker::Destination::Deletion,
            Destination::Event => broker::Destination::Event(draft.routing_key.clone()),
            Destination::Dead => broker::Destination::Dead,
            Destination::Request => broker::Destination::Lane(to),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, MergeId};
    use crate::store::outbox::Draft;
    use crate::worker::hand_over;

    fn message(id: i64, destination: Destination) -> Due {
        let promised = Promised {
            key: Key {
                account: AccountId::try_from(1).unwrap(),
                merge: MergeId::nil(),
                id,
            },
            correlation_id: None,
            traceparent: None,
            draft: Draft {
                destination,
                routing_key: String::new(),
                message_id: String::new(),
                headers: None,
                body: String::new(),
            },
        };
        (promised, None)
    }

    #[test]
    fn a_part_has_one_destination_and_an_end_and_keeps_the_order() {
        let messages = (0..300).map(|id| {
            let destination = match id % 3 {
                0 => Destination::Event,
                _ => Destination::Deletion,
            };
            message(id, destination)
        });
        let parts = parts(messages.collect());
        let sizes: Vec<_> = parts.iter().map(Vec::len).collect();
        assert_eq!(sizes, [64, 64, 64, 36, 64, 8]);
        for destination in [Destination::Event, Destination::Deletion] {
            let mine = parts
                .iter()
                .filter(|part| part[0].0.draft.destination == destination);
            let ids: Vec<i64> = mine.flatten().map(|(message, _)| message.key.id).collect();
            assert!(ids.is_sorted(), "{destination:?}: {ids:?}");
        }
        assert!(parts.iter().all(|part| {
            let first = part[0].0.draft.destination;
            part.iter()
                .all(|(message, _)| message.draft.destination == first)
        }));
    }

    #[test]
    fn a_part_is_of_one_lane() {
        let (hand_over, mut handed_over) = hand_over::channel();
        for (lane, id) in [(Lane::Bulk, 1), (Lane::Interactive, 2), (Lane::Bulk, 3)] {
            hand_over.promised(lane, vec![message(id, Destination::Deletion).0]);
        }
        let own = std::iter::from_fn(|| handed_over.try_recv());
        let own = own.map(|(message, place)| (message, Some(place)));
        let left_behind = message(4, Destination::Deletion);
        let parts = parts(own.chain([left_behind]).collect());
        let ids: Vec<Vec<i64>> = parts
            .iter()
            .map(|part| part.iter().map(|(message, _)| message.key.id).collect())
            .collect();
        assert_eq!(ids, [vec![2], vec![1, 3, 4]]);
        assert!(lane(&parts[0][0]) == Lane::Interactive && lane(&parts[1][0]) == Lane::Bulk);
    }
}
