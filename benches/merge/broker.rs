//! What the bench itself says to the broker: requests in, deletion messages out.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use tokio::time::{sleep, timeout};

/// Publishes that may await their confirms at once.
const WINDOW: usize = 500;
/// Between two looks at a queue that is being filled.
const GLANCE: Duration = Duration::from_millis(10);
/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Broker {
    connection: Connection,
    channel: Channel,
}

/// When messages had come to a queue.
pub struct Arrivals {
    /// The first that were seen: when, and how many they were.
    pub first: (Instant, usize),
    pub last: Instant,
}

impl Broker {
    pub async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            connection,
            channel,
        })
    }

    /// Publishes all, persistent, and returns when each is confirmed.
    pub async fn publish(
        &self,
        queue: &str,
        bodies: impl Iterator<Item = String> + Send,
    ) -> Result<()> {
        let mut under_way = FuturesUnordered::new();
        for body in bodies {
            under_way.push(self.publish_one(queue, body));
            if under_way.len() >= WINDOW {
                under_way.next().await.transpose()?;
            }
        }
        while let Some(published) = under_way.next().await {
            published?;
        }
        Ok(())
    }

    pub async fn publish_one(&self, queue: &str, body: String) -> Result<()> {
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into());
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let sent = self.channel.basic_publish(
            "".into(),
            queue.into(),
            options,
            body.as_bytes(),
            properties,
        );
        let confirmed = timeout(PATIENCE, async { sent.await?.await }).await?;
        let routed = matches!(confirmed?, lapin::Confirmation::Ack(None));
        ensure!(routed, "{queue}: a message was not stored");
        Ok(())
    }

    /// A quorum queue, as the worker declares its deletion queue.
    pub async fn declare(&self, queue: &str) -> Result<()> {
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        self.channel
            .queue_declare(queue.into(), options, arguments)
            .await?;
        Ok(())
    }

    /// Messages in the queue that nobody has taken.
    pub async fn depth(&self, queue: &str) -> Result<usize> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self
            .channel
            .queue_declare(queue.into(), options, FieldTable::default());
        Ok(usize::try_from(declared.await?.message_count())?)
    }

    /// Waits until so many messages are in a queue that nobody reads.
    pub async fn arrivals(&self, queue: &str, count: usize) -> Result<Arrivals> {
        let (mut first, mut seen, mut changed) = (None, 0, Instant::now());
        loop {
            let depth = self.depth(queue).await?;
            let now = Instant::now();
            if depth > 0 && first.is_none() {
                first = Some((now, depth));
            }
            if depth >= count {
                let first = first.context("nothing was asked for")?;
                return Ok(Arrivals { first, last: now });
            }
            if depth != seen {
                (seen, changed) = (depth, now);
            }
            ensure!(
                changed.elapsed() < PATIENCE,
                "{queue}: {seen} of {count} messages came, and no more"
            );
            sleep(GLANCE).await;
        }
    }

    /// Takes all that is in a queue: one deletion message for each of these users, and nothing else.
    pub async fn take_deletions(&self, queue: &str, due: &[i64]) -> Result<()> {
        let (channel, mut deletions) = self.listen(queue).await?;
        let mut left: HashSet<i64> = due.iter().copied().collect();
        while !left.is_empty() {
            let user = next_deletion(&mut deletions).await?;
            if !left.remove(&user) {
                let what = if due.contains(&user) {
                    "came twice: the broker confirmed too late, or a lease ran out"
                } else {
                    "was not due"
                };
                bail!("{queue}: user {user} {what}");
            }
        }
        ensure!(
            self.depth(queue).await? == 0,
            "{queue}: more than was asked for"
        );
        channel.close(200, "done".into()).await?;
        Ok(())
    }

    /// Hears each message as it comes.
    pub async fn listen(&self, queue: &str) -> Result<(Channel, Consumer)> {
        let channel = self.connection.create_channel().await?;
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = channel
            .basic_consume(queue.into(), "".into(), options, FieldTable::default())
            .await?;
        Ok((channel, consumer))
    }

    pub async fn purge(&self, queue: &str) -> Result<()> {
        let options = QueuePurgeOptions::default();
        self.channel.queue_purge(queue.into(), options).await?;
        Ok(())
    }

    pub async fn delete(&self, queue: &str) -> Result<()> {
        let options = QueueDeleteOptions::default();
        self.channel.queue_delete(queue.into(), options).await?;
        Ok(())
    }
}

/// The user that the next deletion message is about.
pub async fn next_deletion(deletions: &mut Consumer) -> Result<i64> {
    let Ok(next) = timeout(PATIENCE, deletions.next()).await else {
        bail!("no deletion message came for {PATIENCE:?}");
    };
    let message = next.context("the deletion queue is gone")??;
    let body: serde_json::Value = serde_json::from_slice(&message.data)?;
    body["user_id"].as_i64().context("a deletion without user")
}
