//! Messages that go to the dead-letter queue by the worker's own hand: those that can't be read (rule R6), and
//! those whose failure can't even be recorded.

use chrono::Utc;
use tracing::warn;

use super::{Worker, reply};
use crate::broker::{Delivery, Destination, Lane, Outgoing, Properties};
use crate::message::DecodeError;
use crate::telemetry::metric;

/// A message that can't be read (rule R6).
pub(super) async fn unreadable(
    worker: &Worker,
    lane: Lane,
    delivery: &Delivery,
    error: &DecodeError,
) {
    let reason = error.reason.label();
    // The reason names a field and never quotes it.
    warn!(
        lane = lane.label(),
        reason, "a message can't be read: {error}"
    );
    metric::requests(lane.label(), "unreadable");
    // The header is the sender's word.
    let attempts = delivery.properties.attempts.unwrap_or(0).saturating_add(1);
    letter(worker, lane, delivery, reason, error.to_string(), attempts).await;
}

/// Moves a message to the dead-letter queue: the same bytes, and the reason.
pub(super) async fn letter(
    worker: &Worker,
    lane: Lane,
    delivery: &Delivery,
    reason: &'static str,
    detail: String,
    attempts: u32,
) {
    let properties = Properties {
        lane: Some(lane),
        attempts: Some(attempts),
        reason: Some(reason.to_owned()),
        detail: Some(detail),
        deferred_since: None,
        enqueued_again: None,
        dead_since: Some(Utc::now()),
        ..delivery.properties.clone()
    };
    let body = delivery.body.clone();
    let outgoing = Outgoing {
        destination: Destination::Dead,
        body,
        properties,
    };
    if reply::replace(worker, delivery, outgoing).await {
        metric::dead_letters(reason);
    }
}
