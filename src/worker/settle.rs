//! What is done with a message once its merge has come to an end, a pause or an error. Nothing is
//! acknowledged before what follows from it is committed or confirmed.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tracing::{Span, debug, error, info, warn};

use super::{Worker, dead, reply};
use crate::broker::{Delivery, Destination, Lane};
use crate::failpoint::failpoint;
use crate::merge::{Cause, Ending, Given, Report};
use crate::store::Error;
use crate::store::merges::Envelope;
use crate::telemetry::metric;

/// After a run that did not fail.
pub(super) async fn report(
    worker: &Worker,
    lane: Lane,
    delivery: &Delivery,
    mut report: Report,
    envelope: Envelope<'_>,
    began: Instant,
) {
    count(lane, &report, began.elapsed());
    match report.ending {
        Ending::Completed | Ending::AlreadyMerged | Ending::Rejected(_) | Ending::Repeated => {
            if hand_over(worker, lane, &mut report).await {
                reply::acknowledge(&[delivery]).await;
                tell(&report, began);
            } else {
                reply::give_back(&[delivery]).await;
            }
        }
        Ending::PutOff => conflict(worker, lane, delivery, envelope).await,
        Ending::SliceOver => {
            debug!("the time slice is over: going on in a new message");
            let outgoing = reply::copy(delivery, lane, Destination::Lane(lane));
            reply::replace(worker, delivery, outgoing).await;
        }
        Ending::Stopped => reply::give_back(&[delivery]).await,
    }
}

/// The ends of several requests that shared a transaction. What is acknowledged is acknowledged at once.
pub(super) async fn together(
    worker: &Worker,
    lane: Lane,
    ended: Vec<(&Delivery, Report, Span)>,
    began: Instant,
) {
    let (mut done, mut not_done, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for (delivery, mut report, span) in ended {
        count(lane, &report, began.elapsed());
        if hand_over(worker, lane, &mut report).await {
            done.push(delivery);
            told.push((report, span));
        } else {
            not_done.push(delivery);
        }
    }
    reply::acknowledge(&done).await;
    reply::give_back(&not_done).await;
    for (report, span) in told {
        span.in_scope(|| tell(&report, began));
    }
}

/// Gives the relay what the commit has promised. False where the message is to be given back.
async fn hand_over(worker: &Worker, lane: Lane, report: &mut Report) -> bool {
    failpoint!(HandOverDue, else return false);
    worker
        .hand_over
        .promised(lane, std::mem::take(&mut report.promised));
    true
}

/// The line that ends a request's story.
fn tell(report: &Report, began: Instant) {
    if let Ending::Rejected(reason) = report.ending {
        info!(reason = reason.label(), "rejected");
    } else {
        info!(
            tickets = report.moved.tickets.total(),
            ccs = report.moved.ccs.moved + report.moved.ccs.deduplicated,
            seconds = began.elapsed().as_secs_f64(),
            "{}",
            report.ending.label()
        );
    }
}

/// A10: wait for the other merge, without costing an attempt, but not for ever.
async fn conflict(worker: &Worker, lane: Lane, delivery: &Delivery, envelope: Envelope<'_>) {
    let now = Utc::now();
    // The header is the sender's word: a time to come would make the wait endless.
    let since: DateTime<Utc> = delivery
        .properties
        .deferred_since
        .map_or(now, |since| since.min(now));
    let waited = (now - since).to_std().unwrap_or_default();
    if waited >= worker.settings.retry.conflict_patience {
        return give_up_or_put_off(worker, lane, delivery, envelope, &Cause::Conflict).await;
    }
    debug!("put off: another unfinished merge holds one of the two users");
    metric::put_off("conflicting_merge");
    let delay = worker.settings.retry.conflict_delay;
    let mut outgoing = reply::copy(delivery, lane, Destination::Retry { delay, lane });
    outgoing.properties.deferred_since = Some(since);
    reply::replace(worker, delivery, outgoing).await;
}

/// After a run that failed more often than is tried at once.
pub(super) async fn failure(
    worker: &Worker,
    lane: Lane,
    delivery: &Delivery,
    envelope: Envelope<'_>,
    cause: &Cause<'_>,
) {
    if matches!(cause, Cause::Error(failed) if matches!(failed.error, Error::Fenced)) {
        // Whoever took the merge over settles it; this message asks again later, for the outcome.
        metric::fenced();
        let delay = worker.settings.retry.delays[0];
        let outgoing = reply::copy(delivery, lane, Destination::Retry { delay, lane });
        reply::replace(worker, delivery, outgoing).await;
        return;
    }
    give_up_or_put_off(worker, lane, delivery, envelope, cause).await;
}

async fn give_up_or_put_off(
    worker: &Worker,
    lane: Lane,
    delivery: &Delivery,
    envelope: Envelope<'_>,
    cause: &Cause<'_>,
) {
    let pulse = worker.merge_pulse(lane);
    let given = worker.merger.fail(envelope, &delivery.body, cause).await;
    drop(pulse);
    match given {
        Ok(Given::Time { delay, attempts }) => {
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            warn!(
                cause = cause.class(),
                attempt = attempts,
                delay_ms,
                "failed, and put off: {cause}"
            );
            metric::put_off(cause.class());
            let mut outgoing = reply::copy(delivery, lane, Destination::Retry { delay, lane });
            outgoing.properties.attempts = u32::try_from(attempts).ok();
            reply::replace(worker, delivery, outgoing).await;
        }
        Ok(Given::Up { promised }) => {
            error!(
                cause = cause.class(),
                "failed, and given up: {cause}; the message goes to the dead-letter queue"
            );
            metric::dead_letters(cause.class());
            metric::requests(lane.label(), "failed");
            worker.hand_over.promised(lane, promised);
            reply::acknowledge(&[delivery]).await;
        }
        Err(error) => {
            warn!(cause = cause.class(), "failed: {cause}");
            warn!(
                cause = error.class(),
                "the failure could not be recorded: {error}"
            );
            unrecorded(worker, lane, delivery, &error).await;
        }
    }
}

/// Not even the failure could be recorded: the database is in trouble. While it is away nothing is counted;
/// otherwise the message counts for itself, so that this too comes to an end (rule R7).
async fn unrecorded(worker: &Worker, lane: Lane, delivery: &Delivery, error: &Error) {
    let mut attempts = delivery.properties.attempts.unwrap_or(0);
    if error.is_outage() {
        worker.away(error.class());
    } else {
        attempts = attempts.saturating_add(1);
    }
    if attempts >= worker.settings.retry.max_attempts {
        return dead::letter(
            worker,
            lane,
            delivery,
            error.class(),
            error.to_string(),
            attempts,
        )
        .await;
    }
    let delay = worker.settings.retry.delays[0];
    let mut outgoing = reply::copy(delivery, lane, Destination::Retry { delay, lane });
    outgoing.properties.attempts = Some(attempts);
    reply::replace(worker, delivery, outgoing).await;
}

fn count(lane: Lane, report: &Report, took: Duration) {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let (tickets, ccs) = (report.moved.tickets, report.moved.ccs);
    metric::tickets_moved("live", count(tickets.live));
    metric::tickets_moved("closed", count(tickets.closed));
    metric::tickets_moved("archived", count(tickets.archived));
    metric::ccs("moved", count(ccs.moved));
    metric::ccs("deduplicated", count(ccs.deduplicated));
    metric::requests(lane.label(), report.ending.label());
    if let Ending::Rejected(reason) = report.ending {
        metric::rejections(reason.label());
    }
    if report.ending == Ending::Completed {
        metric::merge_seconds(lane.label(), took);
    }
}
