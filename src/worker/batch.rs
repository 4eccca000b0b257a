//! Several messages at once, from their arrival to their settlement: their requests share a transaction.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt as _;
use tracing::Span;

use super::ahead::Taken;
use super::handle::{envelope, is_received, span};
use super::{Worker, reply, settle};
use crate::broker::{Delivery, Lane};
use crate::domain::{MergeId, MergeRequest};
use crate::merge::{Ending, Report};
use crate::message;
use crate::telemetry::metric;

/// A request of the batch, and where in it its message is.
struct Readable {
    at: usize,
    request: MergeRequest,
    new_id: MergeId,
    span: Span,
}

/// Settles those that can share a transaction, and returns the others: nothing is done for them, and each has to go
/// alone. Never panics.
pub(super) async fn handle(worker: &Worker, lane: Lane, taken: Vec<Taken>) -> Vec<Taken> {
    let deliveries: Vec<_> = taken.iter().map(|taken| &taken.delivery).collect();
    if deliveries[0].is_stale() {
        for _ in &deliveries {
            metric::stale_acks();
        }
        return Vec::new(); // their connection is gone, and they come again
    }
    let settling = AssertUnwindSafe(settle_some(worker, lane, &deliveries)).catch_unwind();
    let Ok(goes_alone) = settling.await else {
        // What was settled before stays so.
        reply::give_back(&deliveries).await;
        return Vec::new();
    };
    let all = taken.into_iter().zip(goes_alone);
    all.filter_map(|(taken, alone)| alone.then_some(taken))
        .collect()
}

/// Says of each whether it is still to be done.
async fn settle_some(worker: &Worker, lane: Lane, deliveries: &[&Delivery]) -> Vec<bool> {
    let in_flight = deliveries.iter().map(|_| metric::in_flight(lane.label()));
    let _in_flight: Vec<_> = in_flight.collect();
    let mut is_left = vec![false; deliveries.len()];
    let mut requests = Vec::with_capacity(deliveries.len());
    for (at, delivery) in deliveries.iter().enumerate() {
        if !is_received(delivery).await {
            continue;
        }
        let message_id = delivery.properties.message_id.as_deref();
        match message::request::decode(&delivery.body, message_id) {
            Ok(request) => {
                let new_id = MergeId::now_v7();
                let span = span(lane, &request, new_id);
                requests.push(Readable {
                    at,
                    request,
                    new_id,
                    span,
                });
            }
            // It is told why when its turn comes (rule R6).
            Err(_) => is_left[at] = true,
        }
    }
    let began = Instant::now();
    let reports = run(worker, lane, deliveries, &requests).await;
    let mut ended = Vec::with_capacity(requests.len());
    for (request, report) in requests.into_iter().zip(reports) {
        match report {
            Some(report) => {
                let merge = tracing::field::display(report.merge);
                request.span.record("merge.id", merge);
                ended.push((deliveries[request.at], report, request.span));
            }
            None => is_left[request.at] = true,
        }
    }
    settle::together(worker, lane, ended, began).await;
    is_left
}

/// What each came to; nothing for one that goes alone.
async fn run(
    worker: &Worker,
    lane: Lane,
    deliveries: &[&Delivery],
    requests: &[Readable],
) -> Vec<Option<Report>> {
    let envelopes: Vec<_> = requests
        .iter()
        .map(|one| envelope(lane, deliveries[one.at], &one.request, one.new_id))
        .collect();
    let nothing = || requests.iter().map(|_| None).collect();
    if requests.is_empty() {
        return Vec::new();
    }
    // Where it isn't closed, each merge asks for itself.
    let Some(pass) = worker.breaker(lane).pass_together() else {
        return nothing();
    };
    let _pulse = worker.merge_pulse(lane);
    let running = AssertUnwindSafe(worker.merger.run_together(&envelopes)).catch_unwind();
    let mut reports = running.await.unwrap_or_else(|_| nothing());
    if reports
        .iter()
        .flatten()
        .any(|report| report.ending.is_committed())
    {
        pass.succeeded();
    }
    for report in &mut reports {
        // A pause is settled with the message that it belongs to.
        report.take_if(|report| !is_end(report.ending));
    }
    reports
}

const fn is_end(ending: Ending) -> bool {
    matches!(
        ending,
        Ending::Completed | Ending::AlreadyMerged | Ending::Rejected(_) | Ending::Repeated
    )
}
