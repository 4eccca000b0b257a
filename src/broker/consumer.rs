//! Takes messages out of one queue.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::time::timeout;

use super::declare::short;
use super::settling::{Settled, Settling};
use super::{Connection, Delivery, Error};

/// A consumer on a channel of its own. After an error nothing more comes: open another one.
pub struct Consumer {
    channel: lapin::Channel,
    stream: lapin::Consumer,
    queue: String,
    settling: Settling,
    reply_timeout: Duration,
    end: End,
}

#[derive(PartialEq)]
enum End {
    /// Messages may come.
    NotYet,
    /// We cancelled: what is buffered still comes.
    Cancelled,
    /// Told the caller.
    Reached,
}

impl Consumer {
    /// At most `prefetch` messages are unsettled at once; nothing else bounds the memory.
    pub async fn open(connection: &Connection, queue: &str, prefetch: u16) -> Result<Self, Error> {
        let channel = connection.channel().await?;
        // Before the consumer: for it this prefetch counts.
        let qos = channel.basic_qos(prefetch.max(1), BasicQosOptions::default());
        connection.answer("setting the prefetch", qos).await?;
        let options = BasicConsumeOptions::default();
        let consume =
            channel.basic_consume(short(queue)?, "".into(), options, FieldTable::default());
        let stream = connection.answer("consuming", consume).await?;
        let reply_timeout = connection.reply_timeout;
        Ok(Self {
            settling: Settling::of(channel.clone(), reply_timeout),
            channel,
            stream,
            queue: queue.to_owned(),
            reply_timeout,
            end: End::NotYet,
        })
    }

    /// The next message; `None` after [`cancel`](Self::cancel), or after an error was told. Cancel-safe.
    ///
    /// What was buffered when the channel died is left out: the broker has given it to someone else already.
    pub async fn next(&mut self) -> Option<Result<Delivery, Error>> {
        let mut stale = 0_u32;
        let next = loop {
            if self.end == End::Reached {
                break None;
            }
            match self.stream.next().await {
                Some(Ok(delivery)) if !delivery.acker.usable() => stale += 1,
                Some(Ok(delivery)) => {
                    break Some(Ok(Delivery::new(delivery, self.settling.clone())));
                }
                Some(Err(error)) => {
                    self.end = End::Reached;
                    break Some(Err(Error::lost("consuming", &error)));
                }
                None => {
                    let cancelled =
                        std::mem::replace(&mut self.end, End::Reached) == End::Cancelled;
                    break (!cancelled).then(|| Err(self.why_ended()));
                }
            }
        };
        if stale > 0 {
            tracing::debug!(
                queue = self.queue,
                stale,
                "left out messages of a dead channel"
            );
        }
        next
    }

    /// Whose messages it takes.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Whether the channel stands; `false` is final.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.channel.status().connected() && self.end == End::NotYet
    }

    /// Stops taking messages and puts back, in their order, these that wait and what was buffered here: answers how
    /// many. What else was handed out before can still be settled, as long as the connection stands.
    pub async fn cancel(&mut self, mut waiting: Vec<Delivery>) -> Result<u32, Error> {
        if self.end != End::NotYet {
            return Ok(0);
        }
        let tag = self.stream.tag();
        let cancel = self
            .channel
            .basic_cancel(tag, BasicCancelOptions::default());
        match timeout(self.reply_timeout, cancel).await {
            Ok(Ok(())) => self.end = End::Cancelled,
            Ok(Err(error)) => return Err(Error::lost("cancelling", &error)),
            Err(_) => {
                return Err(Error::TimedOut {
                    doing: "cancelling",
                    after: self.reply_timeout,
                });
            }
        }
        while let Some(delivery) = self.next().await {
            waiting.push(delivery?);
        }
        let all: Vec<_> = waiting.iter().collect();
        Ok(match Delivery::requeue_all(&all).await? {
            Settled::Done => u32::try_from(all.len()).unwrap_or(u32::MAX),
            Settled::Stale => 0,
        })
    }

    fn why_ended(&self) -> Error {
        if self.channel.status().connected() {
            Error::Cancelled {
                queue: self.queue.clone(),
            }
        } else {
            Error::Lost {
                doing: "consuming",
                reason: "the channel is closed".into(),
            }
        }
    }
}
