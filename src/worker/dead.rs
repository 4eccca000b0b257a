//! Messages that can't be read (rule R6).

use tracing::warn;

use super::{Worker, settle};
use crate::broker::{Delivery, Destination, Lane, Outgoing, Properties};
use crate::message::DecodeError;
use crate::telemetry::metric;

/// Moves a message to the dead-letter queue: the same bytes, and the reason.
pub(super) async fn letter(worker: &Worker, lane: Lane, delivery: &Delivery, error: &DecodeError) {
    let outgoing = Outgoing {
        destination: Destination::Dead,
        body: delivery.body.clone(),
        properties: Properties {
            lane: Some(lane),
            attempts: Some(delivery.properties.attempts.unwrap_or(0) + 1),
            reason: Some(error.reason.label().to_owned()),
            detail: Some(error.to_string()),
            deferred_since: None,
            ..delivery.properties.clone()
        },
    };
    // The reason names a field and never quotes it.
    warn!(
        lane = lane.label(),
        reason = error.reason.label(),
        "a message can't be read: {error}"
    );
    if settle::publish(worker, delivery, outgoing).await {
        metric::dead_letters(error.reason.label());
        metric::requests(lane.label(), "unreadable");
        settle::acknowledge(delivery).await;
    } else {
        settle::give_back(delivery).await;
    }
}
