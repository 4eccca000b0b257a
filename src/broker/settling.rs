//! Settles the messages of one channel, in one place: an acknowledgement may stand for many, and then it matters
//! which frame goes first.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Error;
use super::tags::{Frame, Tags};

/// Settlements that go out together, at most. What comes meanwhile is next.
const AT_ONCE: usize = 1_000;

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a stale settlement means that the message comes again"]
pub enum Settled {
    /// Handed to the connection. The broker answers nothing: if the connection ends at this moment, the message
    /// comes again all the same (rule R4).
    Done,
    /// Too late: the channel is gone, or it was settled already. The broker delivers the message to someone else.
    Stale,
}

/// What is to become of some messages of the channel.
struct Order {
    tags: Vec<u64>,
    to: Fate,
    told: oneshot::Sender<Result<Settled, Error>>,
}

impl Order {
    /// Whoever asked may be gone.
    fn tell(self, result: Result<Settled, Error>) {
        drop(self.told.send(result));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Acknowledged,
    Requeued,
}

impl Fate {
    const fn doing(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledging",
            Self::Requeued => "requeueing",
        }
    }
}

/// A handle on the channel's settling; all clones share it. It ends with the last of them.
#[derive(Clone)]
pub(super) struct Settling(mpsc::UnboundedSender<Order>);

impl Settling {
    pub(super) fn of(channel: Channel, reply_timeout: Duration) -> Self {
        let (sender, orders) = mpsc::unbounded_channel();
        tokio::spawn(run(channel, reply_timeout, orders));
        Self(sender)
    }

    /// Returns once the frames are handed to the connection. [`Settled::Stale`] where that is too late for any of
    /// them. Dropped midway, it is settled all the same.
    pub(super) async fn settle(&self, tags: Vec<u64>, to: Fate) -> Result<Settled, Error> {
        let (told, settled) = oneshot::channel();
        drop(self.0.send(Order { tags, to, told }));
        settled.await.unwrap_or(Ok(Settled::Stale))
    }
}

async fn run(
    channel: Channel,
    reply_timeout: Duration,
    mut waiting: mpsc::UnboundedReceiver<Order>,
) {
    let mut tags = Tags::default();
    let mut orders = Vec::new();
    while waiting.recv_many(&mut orders, AT_ONCE).await > 0 {
        if !channel.status().connected() {
            orders
                .drain(..)
                .for_each(|order| order.tell(Ok(Settled::Stale)));
            continue;
        }
        let (orders, frames) = frames(&mut tags, std::mem::take(&mut orders));
        // What is late goes out all the same, and in its order, or else the connection ends.
        let sent = timeout(reply_timeout, send(&channel, &frames)).await;
        for order in orders {
            let doing = order.to.doing();
            order.tell(match &sent {
                Ok(Ok(())) => Ok(Settled::Done),
                Ok(Err(error)) => Err(Error::lost(doing, error)),
                Err(_) => Err(Error::TimedOut {
                    doing,
                    after: reply_timeout,
                }),
            });
        }
    }
}

/// What all orders together take. One that comes too late is told so, and left out.
fn frames(tags: &mut Tags, orders: Vec<Order>) -> (Vec<Order>, Vec<Frame>) {
    let mut frames = Vec::new();
    let mut to_acknowledge = BTreeSet::new();
    let is_in_time = |order: &Order| match order.to {
        Fate::Requeued => {
            let before = frames.len();
            frames.extend(order.tags.iter().filter_map(|tag| tags.requeue(*tag)));
            frames.len() == before + order.tags.len()
        }
        Fate::Acknowledged => {
            // Each of them, also after one that comes too late.
            let fresh = order.tags.iter().filter(|tag| tags.is_open(**tag));
            fresh.filter(|tag| to_acknowledge.insert(**tag)).count() == order.tags.len()
        }
    };
    let (in_time, late): (Vec<_>, Vec<_>) = orders.into_iter().partition(is_in_time);
    frames.extend(tags.ack(to_acknowledge));
    for order in late {
        order.tell(Ok(Settled::Stale));
    }
    (in_time, frames)
}

/// In this order: a frame is on its way once its future was asked for the first time.
async fn send(channel: &Channel, frames: &[Frame]) -> Result<(), lapin::Error> {
    let Some((last, before)) = frames.split_last() else {
        return Ok(());
    };
    for frame in before {
        send_one(channel, *frame).now_or_never().transpose()?;
    }
    send_one(channel, *last).await
}

async fn send_one(channel: &Channel, frame: Frame) -> Result<(), lapin::Error> {
    match frame {
        Frame::Ack { tag, multiple } => channel.basic_ack(tag, BasicAckOptions { multiple }).await,
        Frame::Requeue { tag } => {
            let options = BasicNackOptions {
                requeue: true,
                multiple: false,
            };
            channel.basic_nack(tag, options).await
        }
    }
}
