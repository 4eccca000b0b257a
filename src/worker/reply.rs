//! The hand movements of settling: publish what replaces a message, acknowledge it, or give it back.

use futures_util::future::join_all;
use tracing::debug;

use super::{Worker, reconnect_pauses};
use crate::broker::{Delivery, Destination, Lane, Outgoing, Properties, Settled};
use crate::failpoint::failpoint;
use crate::telemetry::metric;

/// The same message for another place.
pub(super) fn copy(delivery: &Delivery, lane: Lane, destination: Destination) -> Outgoing {
    let properties = Properties {
        lane: Some(lane),
        ..delivery.properties.clone()
    };
    Outgoing {
        destination,
        body: delivery.body.clone(),
        properties,
    }
}

/// Replaces the message by another one: acknowledged once that is confirmed, given back if it can't be. Says
/// which.
pub(super) async fn replace(worker: &Worker, delivery: &Delivery, by: Outgoing) -> bool {
    let is_confirmed = publish(worker, delivery, by).await;
    if is_confirmed {
        acknowledge(&[delivery]).await;
    } else {
        give_back(&[delivery]).await;
    }
    is_confirmed
}

/// Puts what nobody got to at the end of its lane. Merely given back it would be the next one again, and closer to
/// its delivery limit each time.
pub(super) async fn put_back(worker: &Worker, lane: Lane, deliveries: &[&Delivery]) {
    let replacing = deliveries.iter().map(|delivery| {
        let again = copy(delivery, lane, Destination::Lane(lane));
        replace(worker, delivery, again)
    });
    drop(join_all(replacing).await);
}

/// Publishes, and goes on trying while the message is ours: giving it back instead would count towards its
/// delivery limit. But not until the broker loses its patience. Says whether the broker has confirmed.
async fn publish(worker: &Worker, delivery: &Delivery, outgoing: Outgoing) -> bool {
    failpoint!(ReplacementDue, else return false);
    let mut pauses = reconnect_pauses();
    while worker.outlet.publish(outgoing.clone()).await.is_err() {
        tokio::select! {
            () = tokio::time::sleep(pauses.next_pause()) => {}
            () = worker.stop.cancelled() => return false,
        }
        if delivery.is_stale() || delivery.held_for() > worker.hold() {
            return false;
        }
    }
    failpoint!(ReplacementConfirmed, else return false);
    true
}

/// The work is committed: the messages are done with.
pub(super) async fn acknowledge(deliveries: &[&Delivery]) {
    if deliveries.is_empty() {
        return;
    }
    failpoint!(AckDue, else return give_back(deliveries).await);
    settled(
        deliveries,
        "acknowledged",
        Delivery::ack_all(deliveries).await,
    );
    failpoint!(AckSent, else ());
}

/// Somebody else, or this worker later, gets the messages.
pub(super) async fn give_back(deliveries: &[&Delivery]) {
    settled(
        deliveries,
        "given back",
        Delivery::requeue_all(deliveries).await,
    );
}

/// Too late is no harm: the messages come again, and find what is recorded (rules R1 and R4).
fn settled(deliveries: &[&Delivery], what: &str, result: Result<Settled, crate::broker::Error>) {
    let is_stale = match result {
        Ok(settled) => settled == Settled::Stale,
        Err(error) => {
            debug!(%error, "could not be {what}");
            true
        }
    };
    if is_stale {
        for _ in deliveries {
            metric::stale_acks();
        }
    }
}
