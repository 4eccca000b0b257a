//! Queues under names of their own on the shared broker, deleted with the value, and a client of their own:
//! what upstream and the deletion pipeline would use.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use user_merge::config::Settings;
use user_merge::domain::MergeRequest;

use super::{Desk, address, eventually};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// One test's queues.
pub struct Queues {
    /// A channel with confirms, for whatever the test wants to do.
    pub channel: Channel,
    /// Everything is called this and the contract's name.
    pub prefix: String,
    events: String,
    delays: Vec<Duration>,
    url: String,
    _connection: Connection,
}

/// A message as its consumer gets it.
#[derive(Debug)]
pub struct Message {
    /// The bytes.
    pub body: Vec<u8>,
    /// Properties and headers.
    pub properties: BasicProperties,
}

impl Message {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header's text, as people would read it.
    pub fn header(&self, name: &str) -> Option<String> {
        use lapin::types::AMQPValue;
        match self.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::LongLongInt(number) => Some(number.to_string()),
            other => Some(format!("{other:?}")),
        }
    }
}

impl Queues {
    /// Makes names, puts them and the broker's URL into the desk's settings, declares the topology, and binds
    /// a queue to the events.
    pub async fn open(desk: &mut Desk) -> Self {
        Self::open_at(desk, address("USER_MERGE__BROKER__URL")).await
    }

    /// The same on a broker of the test's own, at this URL.
    pub async fn open_at(desk: &mut Desk, url: String) -> Self {
        let prefix = format!(
            "t{}-{}.",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        configure(&mut desk.settings, &prefix, &url);
        let broker = user_merge::app::broker(&desk.settings).unwrap();
        let declaring = user_merge::broker::Connection::open(&broker, "test")
            .await
            .unwrap();
        user_merge::broker::declare(&declaring, &broker)
            .await
            .unwrap();
        declaring.close().await;

        let connection = Connection::connect(&url, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        let events = format!("{prefix}heard");
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(events.as_str().into(), durable, FieldTable::default())
            .await
            .unwrap();
        let exchange = desk.settings.broker.names.events.as_str().into();
        let bind = QueueBindOptions::default();
        channel
            .queue_bind(
                events.as_str().into(),
                exchange,
                "merge.*".into(),
                bind,
                FieldTable::default(),
            )
            .await
            .unwrap();
        let delays = desk.settings.retry.delays.clone();
        Self {
            channel,
            prefix,
            events,
            delays,
            url,
            _connection: connection,
        }
    }

    /// The name of one of the contract's queues in this test.
    pub fn name(&self, queue: &str) -> String {
        format!("{}{queue}", self.prefix)
    }

    /// Publishes a request on the interactive lane, as upstream does.
    pub async fn send(&self, request: &MergeRequest) {
        let properties = BasicProperties::default()
            .with_message_id(request.idempotency_key.as_str().into())
            .with_delivery_mode(2);
        let body = user_merge::message::request::encode(request);
        self.publish("user-merge.requests", &body, properties).await;
    }

    /// Publishes anything to one of the contract's queues, confirmed.
    pub async fn publish(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let name = self.name(queue);
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirm = self
            .channel
            .basic_publish("".into(), name.as_str().into(), options, body, properties)
            .await
            .unwrap();
        let confirm = confirm.await.unwrap();
        assert!(
            confirm.is_ack() && confirm.take_message().is_none(),
            "not stored in {name}"
        );
    }

    /// Waits for the next event.
    pub async fn event(&self) -> Message {
        self.take(&self.events).await
    }

    /// Waits for the next message of one of the contract's queues.
    pub async fn next(&self, queue: &str) -> Message {
        self.take(&self.name(queue)).await
    }

    /// The next message if there is one now.
    pub async fn peek(&self, queue: &str) -> Option<Message> {
        self.get(&self.name(queue)).await
    }

    /// How many messages one of the contract's queues holds ready.
    pub async fn count(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = self.name(queue);
        let declare =
            self.channel
                .queue_declare(name.as_str().into(), passive, FieldTable::default());
        declare.await.unwrap().message_count()
    }

    /// All events that are there now.
    pub async fn events(&self) -> Vec<Message> {
        let mut events = Vec::new();
        while let Some(event) = self.get(&self.events).await {
            events.push(event);
        }
        events
    }

    async fn take(&self, queue: &str) -> Message {
        eventually(&format!("a message in {queue}"), || self.get(queue)).await
    }

    async fn get(&self, queue: &str) -> Option<Message> {
        let options = BasicGetOptions { no_ack: true };
        let got: Option<BasicGetMessage> =
            self.channel.basic_get(queue.into(), options).await.unwrap();
        got.map(|got| Message {
            body: got.delivery.data,
            properties: got.delivery.properties,
        })
    }
}

fn configure(settings: &mut Settings, prefix: &str, url: &str) {
    settings.broker.url = Some(url.to_owned().into());
    let names = &mut settings.broker.names;
    for name in [
        &mut names.requests,
        &mut names.bulk,
        &mut names.retry_prefix,
        &mut names.dead,
        &mut names.deletion,
        &mut names.events,
    ] {
        name.insert_str(0, prefix);
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        let (prefix, events, delays, url) = (
            self.prefix.clone(),
            self.events.clone(),
            self.delays.clone(),
            self.url.clone(),
        );
        // A connection of its own: the test's runtime may be unwinding.
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(delete_all(&prefix, &events, &delays, &url));
        });
        drop(deleted.join());
    }
}

async fn delete_all(prefix: &str, events: &str, delays: &[Duration], url: &str) {
    let Ok(connection) = Connection::connect(url, ConnectionProperties::default()).await else {
        return;
    };
    let Ok(channel) = connection.create_channel().await else {
        return;
    };
    let mut settings =
        user_merge::config::Settings::from_sources(None, std::iter::empty()).unwrap();
    configure(&mut settings, prefix, url);
    let names = settings.broker.names;
    let retries: Vec<String> = delays.iter().map(|delay| names.retry(*delay)).collect();
    let queues = [&names.requests, &names.bulk, &names.dead, &names.deletion].map(String::as_str);
    for queue in queues
        .into_iter()
        .chain(retries.iter().map(String::as_str))
        .chain([events])
    {
        drop(
            channel
                .queue_delete(queue.into(), QueueDeleteOptions::default())
                .await,
        );
    }
    for exchange in retries.iter().chain([&names.events]) {
        drop(
            channel
                .exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default())
                .await,
        );
    }
    drop(connection.close(200, "done".into()).await);
}
