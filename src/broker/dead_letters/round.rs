//! One channel's walk from the head of the queue.

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
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

/// A channel that holds what was left, and one consumer after the other on it. Each is cancelled when all of its
/// prefetch is held; what it holds stays the channel's. So the prefetch, which is all that bounds the memory, stays
/// small however much is held.
pub(super) struct Round {
    pub(super) began: Instant,
    /// What was held in the last round comes first again.
    pub(super) to_skip: u64,
    channel: lapin::Channel,
    queue: String,
    consumer: lapin::Consumer,
    window: Window,
}

/// What one consumer has.
struct Window {
    number: u64,
    size: u16,
    held: u16,
    messages: u64,
    bytes: u64,
}

impl Window {
    const fn new(number: u64, size: u16) -> Self {
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
        Self::new(self.number + 1, fitting.clamp(1, MOST))
    }
}

impl Round {
    pub(super) async fn open(
        connection: &Connection,
        queue: &str,
        to_skip: u64,
    ) -> Result<Self, Error> {
        let channel = connection.channel().await?;
        Ok(Self {
            began: Instant::now(),
            to_skip,
            consumer: consume(connection, &channel, queue, FIRST).await?,
            channel,
            queue: queue.to_owned(),
            window: Window::new(0, FIRST),
        })
    }

    /// The next message, and the number of its window. Cancel-safe while it waits for a message.
    pub(super) async fn next(&mut self, connection: &Connection) -> Result<(Delivery, u64), Error> {
        if self.window.held >= self.window.size {
            let options = BasicCancelOptions::default();
            let cancel = self.channel.basic_cancel(self.consumer.tag(), options);
            connection.answer(READING, cancel).await?;
            self.window = self.window.following();
            let size = self.window.size;
            self.consumer = consume(connection, &self.channel, &self.queue, size).await?;
        }
        let delivery = match self.consumer.next().await {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return Err(Error::lost(READING, &error)),
            None => {
                return Err(Error::Cancelled {
                    queue: self.queue.clone(),
                });
            }
        };
        self.window.held += 1;
        self.window.messages += 1;
        self.window.bytes += delivery.data.len() as u64;
        Ok((delivery, self.window.number))
    }

    /// A message of this window is held no longer.
    pub(super) fn taken(&mut self, window: u64) {
        if window == self.window.number {
            self.window.held -= 1;
        }
    }

    /// What is held goes back to its place.
    pub(super) async fn close(self, connection: &Connection) -> Result<(), Error> {
        let closing = self.channel.close(200, "again".into());
        connection.answer("closing a channel", closing).await
    }
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
}
