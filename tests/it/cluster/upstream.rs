//! Those around the worker, with a client of their own: who sends requests, and who hears outcomes.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::timeout;
use user_merge::domain::MergeRequest;

use crate::harness::Cluster;

const HEARD: &str = "heard";
const PATIENCE: Duration = Duration::from_secs(5);

/// One connection, to whichever node takes it.
pub struct Upstream {
    urls: Vec<String>,
    open: Option<(Connection, Channel)>,
}

impl Upstream {
    pub fn new(cluster: &Cluster) -> Self {
        let urls = Cluster::NODES.map(|node| cluster.node_url(node)).to_vec();
        Self { urls, open: None }
    }

    /// The same connected to one node only.
    pub fn at(cluster: &Cluster, node: u8) -> Self {
        Self::to(cluster.node_url(node))
    }

    /// The same with any other broker.
    pub fn to(url: String) -> Self {
        let urls = vec![url];
        Self { urls, open: None }
    }

    /// One attempt to have a request stored; whether the broker has confirmed it.
    pub async fn send(&mut self, lane: &str, request: &MergeRequest) -> bool {
        let key = request.idempotency_key.as_str();
        let body = user_merge::message::request::encode(request);
        self.publish(lane, key, &body).await
    }

    /// The same with any body.
    pub async fn publish(&mut self, queue: &str, id: &str, body: &[u8]) -> bool {
        let attempt = async {
            let channel = self.channel().await?;
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let properties = BasicProperties::default()
                .with_message_id(id.into())
                .with_delivery_mode(2);
            let confirm = channel.basic_publish("".into(), queue.into(), options, body, properties);
            confirm.await?.await
        };
        let stored = matches!(
            timeout(PATIENCE, attempt).await,
            Ok(Ok(Confirmation::Ack(None)))
        );
        if !stored {
            self.open = None;
        }
        stored
    }

    /// As often as it takes: the same message under the same key. How many attempts were not confirmed.
    pub async fn send_until_stored(&mut self, lane: &str, request: &MergeRequest) -> u32 {
        for failed in 0..300 {
            if self.send(lane, request).await {
                return failed;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("never stored");
    }

    /// Makes a replicated queue for all outcomes from now on.
    pub async fn listen(&mut self) {
        let channel = self.channel().await.unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(HEARD.into(), durable, arguments)
            .await
            .unwrap();
        let options = QueueBindOptions::default();
        channel
            .queue_bind(
                HEARD.into(),
                "user-merge.events".into(),
                "merge.*".into(),
                options,
                FieldTable::default(),
            )
            .await
            .unwrap();
    }

    /// All outcomes heard so far.
    pub async fn heard(&mut self) -> Vec<serde_json::Value> {
        self.take(HEARD).await
    }

    /// Takes all messages out of a queue.
    pub async fn take(&mut self, queue: &str) -> Vec<serde_json::Value> {
        let channel = self.channel().await.unwrap();
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
        let there = declared.await.unwrap().message_count();
        let own = self
            .open
            .as_ref()
            .unwrap()
            .0
            .create_channel()
            .await
            .unwrap();
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = own.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let mut stream = consumer.await.unwrap();
        let mut bodies = Vec::new();
        for _ in 0..there {
            let Ok(Some(delivery)) = timeout(PATIENCE, stream.next()).await else {
                break;
            };
            bodies.push(serde_json::from_slice(&delivery.unwrap().data).unwrap());
        }
        let tag = stream.tag();
        own.basic_cancel(tag, BasicCancelOptions::default())
            .await
            .unwrap();
        // What came after the count.
        while let Ok(Some(delivery)) = timeout(Duration::from_millis(500), stream.next()).await {
            bodies.push(serde_json::from_slice(&delivery.unwrap().data).unwrap());
        }
        let options = BasicGetOptions { no_ack: true };
        while let Some(got) = channel.basic_get(queue.into(), options).await.unwrap() {
            bodies.push(serde_json::from_slice(&got.delivery.data).unwrap());
        }
        bodies
    }

    /// Consumes this many messages, and settles none.
    pub async fn hold(&mut self, queue: &str, count: u16) -> Vec<Delivery> {
        let channel = self.channel().await.unwrap();
        channel
            .basic_qos(count, BasicQosOptions::default())
            .await
            .unwrap();
        let options = BasicConsumeOptions::default();
        let consumer =
            channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let mut stream = consumer.await.unwrap();
        let mut held = Vec::new();
        while held.len() < count.into() {
            held.push(stream.next().await.unwrap().unwrap());
        }
        // Dropped, it would be cancelled; that changes nothing for what is held.
        held
    }

    async fn channel(&mut self) -> lapin::Result<Channel> {
        if let Some((connection, channel)) = &self.open
            && connection.status().connected()
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        self.urls.rotate_left(1);
        let connection =
            Connection::connect(&self.urls[0], ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        self.open = Some((connection, channel.clone()));
        Ok(channel)
    }
}
