//! One channel's walk from the head of the queue.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::time::Instant;

use super::READING;
use crate::broker::declare::short;
use crate::broker::{Connection, Error};

/// Messages of the first window: how large they are isn't known yet.
const FIRST: u16 = 16;
const MOST: u16 = 500;
/// How many bytes the messages of one window may have together, going by those of the last one.
const WINDOW_BYTES: u64 = 4 << 20;
/// `RabbitMQ` 3.10 puts back up to 32 messages at once in their order, and more in none.
const RETURNED_AT_ONCE: usize = 32;

/// A channel that holds what was left, and one consumer after the other on it. Each is cancelled when all of its
/// prefetch is held; what it holds stays the channel's. So the prefetch, which is all that bounds the memory, stays
/// small however much is held.
pub(super) struct Round {
    pub(super) began: Instant,
    pub(super) has_taken: bool,
    channel: lapin::Channel,
    queue: String,
    consumer: lapin::Consumer,
    window: Window,
    /// The delivery tag of each message that is held, and its window.
    held: BTreeMap<u64, u32>,
}

/// What one consumer has.
struct Window {
    number: u32,
    size: u16,
    held: u16,
    messages: u64,
    bytes: u64,
}

impl Window {
    const fn new(number: u32, size: u16) -> Self {
        Self {
            number,
            size,
            held: 0,
            messages: 0,
            bytes: 0,
        }
    }

    fn following(&self) -> Self {
        let average = (self.bytes / self.messages.max(1)).max(1);
        let fitting = u16::try_from(WINDOW_BYTES / average).unwrap_or(MOST);
        Self::new(self.number.wrapping_add(1), fitting.clamp(1, MOST))
    }
}

impl Round {
    pub(super) async fn open(connection: &Connection, queue: &str) -> Result<Self, Error> {
        let channel = connection.channel().await?;
        Ok(Self {
            began: Instant::now(),
            has_taken: false,
            consumer: consume(connection, &channel, queue, FIRST).await?,
            channel,
            queue: queue.to_owned(),
            window: Window::new(0, FIRST),
            held: BTreeMap::new(),
        })
    }

    /// Makes room for the next message, if there is none.
    pub(super) async fn widen(&mut self, connection: &Connection) -> Result<(), Error> {
        if self.window.held < self.window.size {
            return Ok(());
        }
        self.cancel(connection).await?;
        self.window = self.window.following();
        let size = self.window.size;
        self.consumer = consume(connection, &self.channel, &self.queue, size).await?;
        Ok(())
    }

    /// The next message. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Delivery, Error> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => {
                self.hold(&delivery);
                Ok(delivery)
            }
            Some(Err(error)) => Err(Error::lost(READING, &error)),
            None => Err(Error::Cancelled {
                queue: self.queue.clone(),
            }),
        }
    }

    fn hold(&mut self, delivery: &Delivery) {
        self.held.insert(delivery.delivery_tag, self.window.number);
        self.window.held += 1;
        self.window.messages += 1;
        self.window.bytes += delivery.data.len() as u64;
    }

    /// A message is held no longer.
    pub(super) fn taken(&mut self, tag: u64) {
        self.has_taken = true;
        if self.held.remove(&tag) == Some(self.window.number) {
            self.window.held -= 1;
        }
    }

    /// Puts back what is held, and what was on its way here, in order.
    pub(super) async fn end(mut self, connection: &Connection) -> Result<(), Error> {
        // First of all, or the broker would deliver here again what is put back.
        self.cancel(connection).await?;
        while let Some(Ok(delivery)) = self.consumer.next().await {
            self.hold(&delivery);
        }
        for last in last_of_each_return(&self.held) {
            let options = BasicNackOptions {
                requeue: true,
                multiple: true,
            };
            let putting_back = self.channel.basic_nack(last, options);
            connection
                .answer("putting messages back", putting_back)
                .await?;
        }
        let closing = self.channel.close(200, "done".into());
        connection.answer("closing a channel", closing).await
    }

    async fn cancel(&self, connection: &Connection) -> Result<(), Error> {
        let options = BasicCancelOptions::default();
        let cancelling = self.channel.basic_cancel(self.consumer.tag(), options);
        connection.answer(READING, cancelling).await
    }
}

/// The last tags of runs that the broker puts back in order: of one consumer, and not too many.
fn last_of_each_return(held: &BTreeMap<u64, u32>) -> Vec<u64> {
    let held: Vec<(&u64, &u32)> = held.iter().collect();
    held.chunk_by(|a, b| a.1 == b.1)
        .flat_map(|of_one_window| of_one_window.chunks(RETURNED_AT_ONCE))
        .filter_map(|run| run.last().map(|(tag, _)| **tag))
        .collect()
}

async fn consume(
    connection: &Connection,
    channel: &lapin::Channel,
    queue: &str,
    prefetch: u16,
) -> Result<lapin::Consumer, Error> {
    let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
    connection.answer("setting the prefetch", qos).await?;
    let options = BasicConsumeOptions::default();
    let consume = channel.basic_consume(short(queue)?, "".into(), options, FieldTable::default());
    connection.answer(READING, consume).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_size_of_messages() {
        let after = |messages: u64, bytes: u64| {
            let mut window = Window::new(3, FIRST);
            (window.messages, window.bytes) = (messages, bytes);
            (window.following().number, window.following().size)
        };
        assert_eq!(after(16, 0), (4, MOST), "empty bodies");
        assert_eq!(after(16, 16 * 300), (4, MOST));
        assert_eq!(after(16, 16 << 16), (4, 64));
        assert_eq!(after(16, 16 << 27), (4, 1), "over the bound by itself");
        assert_eq!(after(0, 0), (4, MOST));
    }

    #[test]
    fn messages_are_put_back_in_runs_of_one_window() {
        let held = |tags: &[(u64, u32)]| last_of_each_return(&tags.iter().copied().collect());
        assert_eq!(held(&[]), [0; 0]);
        assert_eq!(held(&[(1, 0), (3, 0), (4, 1), (9, 1)]), [3, 9]);
        let many: Vec<(u64, u32)> = (1..=70).map(|tag| (tag, 0)).collect();
        assert_eq!(held(&many), [32, 64, 70]);
    }
}
