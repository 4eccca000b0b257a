//! One message, and its settlement.

use std::time::{Duration, Instant};

use super::headers::delivery_count;
use super::settling::{Fate, Settled, Settling};
use super::{Error, Properties};

/// A message that was handed to us and isn't settled yet. Dropped unsettled, it stays ours until the session ends,
/// and is then delivered again.
pub struct Delivery {
    /// The body, as the sender wrote it.
    pub body: Vec<u8>,
    /// Ids and headers.
    pub properties: Properties,
    /// Whether the broker handed it to someone before.
    pub redelivered: bool,
    /// How often it came back to the queue before; at [`Settings::delivery_limit`](super::Settings::delivery_limit) the broker moves
    /// it to the dead-letter queue itself.
    pub delivery_count: u32,
    taken: Instant,
    tag: u64,
    /// Asked only: what is settled is settled by [`Settling`].
    acker: lapin::Acker,
    settling: Settling,
}

impl Delivery {
    pub(super) fn new(delivery: lapin::message::Delivery, settling: Settling) -> Self {
        Self {
            properties: Properties::from_amqp(&delivery.properties),
            // On a first delivery the broker says nothing, and a header would be the sender's word.
            delivery_count: if delivery.redelivered {
                delivery_count(&delivery.properties)
            } else {
                0
            },
            redelivered: delivery.redelivered,
            body: delivery.data,
            taken: Instant::now(),
            tag: delivery.delivery_tag,
            acker: delivery.acker,
            settling,
        }
    }

    /// Whether it can't be settled any more. Worth asking before work begins; the answer may change at any time.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        !self.acker.usable()
    }

    /// How long ago it was handed out here.
    #[must_use]
    pub fn held_for(&self) -> Duration {
        self.taken.elapsed()
    }

    /// Takes the message out of the queue: the work is committed. An error, like [`Settled::Stale`], means that
    /// the message comes again, or may.
    pub async fn ack(&self) -> Result<Settled, Error> {
        Self::ack_all(&[self]).await
    }

    /// The same for messages of one session. Where nothing before them is unsettled the broker gets one word for all.
    pub async fn ack_all(deliveries: &[&Self]) -> Result<Settled, Error> {
        Self::settle(deliveries, Fate::Acknowledged).await
    }

    /// Puts the message back to its place in the queue. This counts towards the delivery limit.
    pub async fn requeue(&self) -> Result<Settled, Error> {
        Self::requeue_all(&[self]).await
    }

    /// The same for messages of one session, in this order.
    pub async fn requeue_all(deliveries: &[&Self]) -> Result<Settled, Error> {
        Self::settle(deliveries, Fate::Requeued).await
    }

    async fn settle(deliveries: &[&Self], fate: Fate) -> Result<Settled, Error> {
        let Some(first) = deliveries.first() else {
            return Ok(Settled::Done);
        };
        let tags = deliveries.iter().map(|delivery| delivery.tag).collect();
        first.settling.settle(tags, fate).await
    }
}

impl std::fmt::Debug for Delivery {
    /// Without the body and the values of the properties: they don't belong into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("bytes", &self.body.len())
            .field("redelivered", &self.redelivered)
            .field("delivery_count", &self.delivery_count)
            .finish_non_exhaustive()
    }
}
