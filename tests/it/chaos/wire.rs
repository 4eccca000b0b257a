//! The test's own way to the broker, which no broker's death stops: what is not confirmed is sent again, and what
//! is not acknowledged is read again.

use std::time::Duration;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::timeout;

/// The queue that hears all events.
pub const HEARD: &str = "chaos.heard";
const PATIENCE: Duration = Duration::from_secs(3);

/// A connection that is made anew whenever it fails.
pub struct Wire {
    url: String,
    open: Option<(Connection, Channel)>,
}

/// A message that was taken.
pub struct Taken {
    pub body: Vec<u8>,
    pub properties: BasicProperties,
    /// Perhaps for the second time: its first acknowledgement may have been lost.
    pub redelivered: bool,
}

impl Taken {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<String> {
        match self.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            other => Some(format!("{other:?}")),
        }
    }
}

impl Wire {
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            open: None,
        }
    }

    /// Declares the queue that hears the events.
    pub async fn listen(&mut self) {
        let channel = self.channel().await.expect("the broker is up");
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(HEARD.into(), options, arguments)
            .await
            .unwrap();
        let bind = channel.queue_bind(
            HEARD.into(),
            "user-merge.events".into(),
            "merge.*".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bind.await.unwrap();
    }

    /// Publishes until the broker confirms. How often it took: what was not confirmed may be there all the same.
    pub async fn publish(&mut self, queue: &str, body: &[u8], properties: &BasicProperties) -> u64 {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_publish(queue, body, properties.clone()).await {
                Some(()) => return tries,
                None => self.rest().await,
            }
        }
    }

    /// Everything that a queue has now, or what could be had of it.
    pub async fn take_all(&mut self, queue: &str) -> Vec<Taken> {
        let mut taken = Vec::new();
        loop {
            match self.take(queue).await {
                Some(Some(message)) => taken.push(message),
                Some(None) => return taken,
                None => {
                    self.open = None;
                    return taken;
                }
            }
        }
    }

    /// How many messages a queue holds ready; nothing where the broker doesn't answer.
    pub async fn count(&mut self, queue: &str) -> Option<u32> {
        let channel = self.channel().await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
        let Ok(Ok(queue)) = timeout(PATIENCE, declared).await else {
            self.open = None;
            return None;
        };
        Some(queue.message_count())
    }

    async fn try_publish(
        &mut self,
        queue: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Option<()> {
        let channel = self.channel().await?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirmed = async {
            let sent = channel.basic_publish("".into(), queue.into(), options, body, properties);
            sent.await?.await
        };
        match timeout(PATIENCE, confirmed).await {
            Ok(Ok(Confirmation::Ack(None))) => Some(()),
            _ => None,
        }
    }

    async fn take(&mut self, queue: &str) -> Option<Option<Taken>> {
        let channel = self.channel().await?;
        let got = channel.basic_get(queue.into(), BasicGetOptions { no_ack: false });
        let Some(got) = timeout(PATIENCE, got).await.ok()?.ok()? else {
            return Some(None);
        };
        let delivery = got.delivery;
        let acknowledged = delivery.acker.ack(BasicAckOptions::default());
        // Not acknowledged, it comes again, marked as such.
        drop(timeout(PATIENCE, acknowledged).await);
        Some(Some(Taken {
            body: delivery.data,
            properties: delivery.properties,
            redelivered: delivery.redelivered,
        }))
    }

    async fn channel(&mut self) -> Option<Channel> {
        if let Some((connection, channel)) = &self.open
            && connection.status().connected()
            && channel.status().connected()
        {
            return Some(channel.clone());
        }
        self.open = None;
        let opening = async {
            let properties = ConnectionProperties::default();
            let connection = Connection::connect(&self.url, properties).await?;
            let channel = connection.create_channel().await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            Ok::<_, lapin::Error>((connection, channel))
        };
        let (connection, channel) = timeout(PATIENCE, opening).await.ok()?.ok()?;
        self.open = Some((connection, channel.clone()));
        Some(channel)
    }

    async fn rest(&mut self) {
        self.open = None;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
