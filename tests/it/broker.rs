//! The broker room against a real broker, at `USER_MERGE__BROKER__URL`. Tests that need to command the broker
//! (users, policies, stopping it) use `USER_MERGE_LOCAL__SERVERS`, and pass over where that isn't set.

mod connecting;
mod consuming;
mod outages;
mod publishing;
mod topology;
mod unreadable;

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapin::options::{
    BasicGetOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Connection as Raw, ConnectionProperties};
use user_merge::broker::{
    Connection, Destination, Lane, Names, Outgoing, Properties, Publisher, Settings, declare,
};

const LIMIT: Duration = Duration::from_secs(30);

fn url() -> String {
    std::env::var("USER_MERGE__BROKER__URL")
        .expect("USER_MERGE__BROKER__URL: deploy/local/servers start DIR")
}

/// `host:port` of it.
fn place() -> String {
    let url = url();
    let rest = url.split_once('@').unwrap().1;
    rest.split('/').next().unwrap().to_owned()
}

/// Queues and exchanges of one test's own, and a plain connection to look behind the room's back.
struct TestBroker {
    settings: Settings,
    raw: Raw,
}

/// The contract's names, where a test makes nothing under them.
fn names() -> Names {
    user_merge::config::Settings::from_sources(None, std::iter::empty())
        .unwrap()
        .broker
        .names
}

impl TestBroker {
    async fn start() -> Self {
        Self::start_at(&url()).await
    }

    async fn start_at(url: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let prefix = format!(
            "it-{}-{started}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let names = Names {
            requests: format!("{prefix}.requests"),
            bulk: format!("{prefix}.bulk"),
            retry_prefix: format!("{prefix}.retry"),
            dead: format!("{prefix}.dead"),
            deletion: format!("{prefix}.deletion"),
            events: format!("{prefix}.events"),
        };
        let mut settings = Settings::new(url.to_owned(), names);
        settings.delays = [1, 2].map(Duration::from_secs).to_vec();
        let raw = Raw::connect(url, ConnectionProperties::default())
            .await
            .unwrap();
        Self { settings, raw }
    }

    async fn declared() -> Self {
        Self::declared_at(&url()).await
    }

    async fn declared_at(url: &str) -> Self {
        let broker = Self::start_at(url).await;
        let connection = Connection::open(&broker.settings, "declaring")
            .await
            .unwrap();
        declare(&connection, &broker.settings).await.unwrap();
        connection.close().await;
        broker
    }

    fn publisher(&self) -> Publisher {
        Publisher::new(self.settings.clone(), "for a test")
    }

    fn lane(&self, lane: Lane) -> &str {
        self.settings.names.lane(lane)
    }

    /// Waits until so many messages are ready in a queue: a quorum queue tells a little late.
    async fn ready(&self, queue: &str, count: u32) {
        let began = std::time::Instant::now();
        loop {
            let ready = self.count(queue).await;
            if ready == count {
                return;
            }
            assert!(
                began.elapsed() < LIMIT,
                "{queue} has {ready} messages, not {count}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn count(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let channel = self.raw.create_channel().await.unwrap();
        channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .unwrap()
            .message_count()
    }

    /// Takes the next message out of a queue.
    async fn take(&self, queue: &str) -> lapin::message::Delivery {
        let channel = self.raw.create_channel().await.unwrap();
        for _ in 0..300 {
            let options = BasicGetOptions { no_ack: true };
            if let Some(message) = channel.basic_get(queue.into(), options).await.unwrap() {
                return message.delivery;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nothing came into {queue}");
    }

    async fn delete_queue(&self, queue: &str) {
        let channel = self.raw.create_channel().await.unwrap();
        channel
            .queue_delete(queue.into(), QueueDeleteOptions::default())
            .await
            .unwrap();
    }

    async fn end(self) {
        let names = &self.settings.names;
        let retries: Vec<String> = self
            .settings
            .delays
            .iter()
            .map(|delay| names.retry(*delay))
            .collect();
        let queues = [&names.requests, &names.bulk, &names.dead, &names.deletion];
        for queue in queues.into_iter().chain(&retries) {
            self.delete_queue(queue).await;
        }
        let channel = self.raw.create_channel().await.unwrap();
        for exchange in retries.iter().chain([&names.events]) {
            channel
                .exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default())
                .await
                .unwrap();
        }
        self.raw.close(200, "done".into()).await.unwrap();
    }
}

fn message(destination: Destination, id: &str) -> Outgoing {
    let properties = Properties {
        message_id: Some(id.to_owned()),
        ..Properties::default()
    };
    Outgoing {
        destination,
        body: format!("body of {id}").into_bytes(),
        properties,
    }
}

/// `deploy/local/servers`, where the broker is ours to command; what it printed.
async fn servers(arguments: &[&str]) -> Option<String> {
    let program = std::env::var("USER_MERGE_LOCAL__SERVERS").ok()?;
    let directory = std::env::var("USER_MERGE_LOCAL__DIR").ok()?;
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let run = move || {
        Command::new(program)
            .arg(&arguments[0])
            .arg(directory)
            .args(&arguments[1..])
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `rabbitmqctl`; false where the broker isn't ours to command.
async fn rabbitmqctl(arguments: &[&str]) -> bool {
    servers(&[&["rabbitmqctl"], arguments].concat())
        .await
        .is_some()
}
