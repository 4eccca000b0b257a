//! One message, from its arrival to its settlement.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use tracing::{Instrument, Span, debug, info_span};

use super::breaker::{Pass, Verdict};
use super::{Worker, dead, reply, settle};
use crate::broker::{Delivery, Lane};
use crate::domain::{MergeId, MergeRequest};
use crate::failpoint::failpoint;
use crate::merge::{Cause, Failed, Panicked, Report, Step, Until};
use crate::message;
use crate::retry::Tries;
use crate::store::merges::Envelope;
use crate::telemetry::metric;

/// So many outages on one message, with the database there again after each, and they count as its own failure.
const OUTAGES: u32 = 5;

/// Never panics: a mistake that one message brings out costs that message some tries, and nobody else anything.
pub(super) async fn handle(worker: &Worker, lane: Lane, delivery: Delivery) {
    // Nothing of ours is left half written by a panic: what is shared are channels and atomics.
    let settling = AssertUnwindSafe(settle_one(worker, lane, &delivery)).catch_unwind();
    if settling.await.is_err() {
        // Even its failure could not be settled. The queue's delivery limit bounds how often this is tried.
        reply::give_back(&[&delivery]).await;
    }
}

async fn settle_one(worker: &Worker, lane: Lane, delivery: &Delivery) {
    if delivery.is_stale() {
        metric::stale_acks();
        return; // its connection is gone, and it comes again
    }
    let _in_flight = metric::in_flight(lane.label());
    if !is_received(delivery).await {
        return;
    }
    let message_id = delivery.properties.message_id.as_deref();
    match message::request::decode(&delivery.body, message_id) {
        Ok(request) => {
            // Until it is known whether the request is on record, with the id that a new merge gets.
            let new_id = MergeId::now_v7();
            merge(worker, lane, delivery, &request, new_id)
                .instrument(span(lane, &request, new_id))
                .await;
        }
        Err(error) => dead::unreadable(worker, lane, delivery, &error).await,
    }
}

/// False where it is given back.
pub(super) async fn is_received(delivery: &Delivery) -> bool {
    failpoint!(MessageReceived, else {
        reply::give_back(&[delivery]).await;
        return false
    });
    true
}

/// What every log line of a merge says.
pub(super) fn span(lane: Lane, request: &MergeRequest, new_id: MergeId) -> Span {
    info_span!(
        "merge",
        merge.id = %new_id,
        account.id = request.account_id.get(),
        source.id = request.source_user_id.get(),
        target.id = request.target_user_id.get(),
        lane = lane.label(),
    )
}

/// A request with what came along with it.
pub(super) fn envelope<'a>(
    lane: Lane,
    delivery: &'a Delivery,
    request: &'a MergeRequest,
    new_id: MergeId,
) -> Envelope<'a> {
    Envelope {
        request,
        new_id,
        lane: lane.label(),
        correlation_id: delivery.properties.correlation_id.as_deref(),
        traceparent: delivery.properties.traceparent.as_deref(),
    }
}

async fn merge(
    worker: &Worker,
    lane: Lane,
    delivery: &Delivery,
    request: &MergeRequest,
    new_id: MergeId,
) {
    let envelope = envelope(lane, delivery, request, new_id);
    if is_late_copy(worker, delivery, request).await {
        return reply::acknowledge(&[delivery]).await;
    }
    if delivery.delivery_count >= worker.broker.delivery_limit {
        // The broker's last delivery: whatever ended the others must not end this one too.
        return settle::failure(worker, lane, delivery, envelope, &Cause::DeliveryLimit).await;
    }
    let began = Instant::now();
    let mut outages = 0_u32;
    loop {
        let Some(pass) = pass(worker, lane, delivery).await else {
            return reply::give_back(&[delivery]).await;
        };
        let running = AssertUnwindSafe(run(worker, lane, envelope, began, &pass)).catch_unwind();
        let failed = match running.await {
            Err(panic) => {
                drop(pass);
                let fence = panic.downcast_ref().map(|Panicked { fence }| *fence);
                let cause = Cause::Panic { fence };
                return settle::failure(worker, lane, delivery, envelope, &cause).await;
            }
            Ok(Ok(report)) => {
                if report.ending.is_committed() {
                    pass.succeeded();
                }
                drop(pass);
                return settle::report(worker, lane, delivery, report, envelope, began).await;
            }
            Ok(Err(failed)) => failed,
        };
        // An outage is no fault of the merge, unless it is the merge's alone, time and again.
        if failed.error.is_outage() && outages < OUTAGES {
            outages += 1;
            pass.away(&failed.error);
            worker.away(failed.error.class());
        } else if pass.failed(request, &failed.error) == Verdict::Count {
            drop(pass);
            let cause = Cause::Error(&failed);
            return settle::failure(worker, lane, delivery, envelope, &cause).await;
        }
    }
}

/// A request that was enqueued again because its merge stood still, and whose merge has ended meanwhile: what it
/// came to is announced, or a dead letter.
async fn is_late_copy(worker: &Worker, delivery: &Delivery, request: &MergeRequest) -> bool {
    // Where the database doesn't answer, the run below finds out as well.
    let is_late = delivery.properties.enqueued_again.is_some()
        && worker.merger.is_settled(request).await.unwrap_or(false);
    if is_late {
        debug!("enqueued again, and settled meanwhile");
    }
    is_late
}

/// Leave to try the merge. `None` where the message has to go back: the worker stops, or it has been held here for
/// so long that the broker would take it.
async fn pass(worker: &Worker, lane: Lane, delivery: &Delivery) -> Option<Arc<Pass>> {
    let left = worker.hold().saturating_sub(delivery.held_for());
    let pass = tokio::select! {
        biased;
        () = worker.stop.cancelled(), if !worker.breaker(lane).is_closed() => None,
        pass = worker.breaker(lane).pass() => Some(Arc::new(pass)),
        () = tokio::time::sleep(left) => None,
    };
    pass.filter(|_| !delivery.is_stale())
}

/// A few tries in quick succession: most of what may pass has passed by then (rule R7).
async fn run(
    worker: &Worker,
    lane: Lane,
    envelope: Envelope<'_>,
    began: Instant,
    pass: &Arc<Pass>,
) -> Result<Report, Failed> {
    let mut tries = Tries::new(worker.settings.retry.immediate, worker.settings.retry.base);
    let pulse = Arc::new(worker.merge_pulse(lane));
    let (pass, beat) = (pass.clone(), pulse.clone());
    let listener = Arc::new(move |step| {
        beat.beat();
        if step == Step::Committed {
            pass.succeeded();
        }
    });
    // One slice for all tries, so that their number doesn't multiply it.
    let slice = worker.settings.merge.slice.saturating_sub(began.elapsed());
    let until = Until::new(worker.stop.clone(), slice)
        .telling(listener)
        .paced(worker.pace.between_chunks(lane));
    loop {
        pulse.beat();
        let failed = match worker.merger.run(envelope, &until).await {
            Err(failed) if failed.error.is_worth_another_try() => failed,
            result => return result,
        };
        if !tries.again().await {
            return Err(failed);
        }
        debug!(cause = failed.error.class(), "trying again");
        metric::retries(failed.error.class());
    }
}
