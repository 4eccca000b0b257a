//! The hand movements of settling: publish what replaces a message, acknowledge it, or give it back.

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
        acknowledge(delivery).await;
    } else {
        give_back(delivery).await;
    }
    is_confirmed
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

/// The work is committed: the message is done with.
pub(super) async fn acknowledge(delivery: &Delivery) {
    failpoint!(AckDue, else return give_back(delivery).await);
    settled("acknowledged", delivery.ack().await);
    failpoint!(AckSent, else ());
}

/// Somebody else, or this worker later, gets the message.
pub(super) async fn give_back(delivery: &Delivery) {
    settled("given back", delivery.requeue().await);
}

/// Too late is no harm: the message comes again, and finds what is recorded (rules R1 and R4).
fn settled(what: &str, result: Result<Settled, crate::broker::Error>) {
    match result {
        Ok(Settled::Done) => {}
        Ok(Settled::Stale) => metric::stale_acks(),
        Err(error) => {
            metric::stale_acks();
            debug!(%error, "could not be {what}");
        }
    }
}
