//! The broker's users as `deploy/rabbitmq/definitions.json` has them, on a broker of their own.

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use user_merge::broker;
use user_merge::config::Settings;

use crate::harness::{Desk, OwnServers, Running, eventually, request};

const USERS: [&str; 6] = [
    "user-merge-worker",
    "user-merge-upstream",
    "user-merge-backfill",
    "user-merge-operator",
    "user-merge-listener",
    "user-deletion-pipeline",
];
const INTAKE: &str = "user-merge.intake";
const LANE: &str = "user-merge.requests";
const BULK: &str = "user-merge.requests.bulk";

/// A broker as the README sets it up.
struct Broker(OwnServers);

impl Broker {
    fn start() -> Self {
        let servers = OwnServers::start();
        for user in USERS {
            servers.run("rabbitmqctl", &["add_user", user, "secret"]);
        }
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/rabbitmq/definitions.json"
        );
        // It can be repeated.
        for _ in 0..2 {
            servers.run("rabbitmqctl", &["import_definitions", file]);
        }
        Self(servers)
    }

    fn url(&self, user: &str) -> String {
        let url = self.0.address("USER_MERGE__BROKER__URL");
        url.replace("guest:guest", &format!("{user}:secret"))
            .replace("/%2f", "/user-merge")
    }

    async fn connect(&self, user: &str) -> Connection {
        Connection::connect(&self.url(user), ConnectionProperties::default())
            .await
            .unwrap()
    }

    /// Whether the broker stores a message under this user's name.
    async fn takes(&self, user: &str, exchange: &str, key: &str, body: &[u8]) -> bool {
        let connection = self.connect(user).await;
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let confirm = channel
            .basic_publish(exchange.into(), key.into(), options, body, properties)
            .await
            .unwrap();
        let stored = match confirm.await {
            Ok(confirmation) => confirmation == Confirmation::Ack(None),
            Err(error) => {
                assert!(error.to_string().contains("ACCESS"), "{error}");
                false
            }
        };
        drop(connection.close(200, "done".into()).await);
        stored
    }
}

/// The next message of a queue.
async fn take(channel: &Channel, queue: &str) -> serde_json::Value {
    let options = BasicGetOptions { no_ack: true };
    let body = eventually(&format!("a message in {queue}"), || async {
        let got = channel.basic_get(queue.into(), options).await.unwrap();
        got.map(|got| got.delivery.data)
    })
    .await;
    serde_json::from_slice(&body).unwrap()
}

async fn may_get(broker: &Broker, user: &str, queue: &str) -> bool {
    let connection = broker.connect(user).await;
    let channel = connection.create_channel().await.unwrap();
    let options = BasicGetOptions { no_ack: false };
    let got = channel.basic_get(queue.into(), options).await;
    drop(connection.close(200, "done".into()).await);
    match got {
        Ok(_) => true,
        Err(error) => {
            assert!(error.to_string().contains("ACCESS"), "{error}");
            false
        }
    }
}

/// A listener's own queue, bound to the outcomes.
async fn listen(channel: &Channel) {
    let queue = "user-merge.events.crm";
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.into(), durable, FieldTable::default())
        .await
        .unwrap();
    channel
        .queue_bind(
            queue.into(),
            "user-merge.events".into(),
            "merge.*".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
}

/// `user-merge enqueue --wait` under an operator's name.
fn enqueue_and_wait(url: &str) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_user-merge"))
        .args([
            "enqueue",
            "--account",
            "1",
            "--source",
            "3",
            "--target",
            "4",
        ])
        .args(["--wait", "--timeout", "60s"])
        .env("USER_MERGE__BROKER__URL", url)
        // The desk's: an operator declares no retry queue that the worker hasn't made.
        .env("USER_MERGE__RETRY__DELAYS", "1s,2s")
        .env("USER_MERGE__RETRY__CONFLICT_DELAY", "1s")
        .output()
        .unwrap()
}

/// `user-merge dead-letters replay` under an operator's name.
fn replay(url: &str) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_user-merge"))
        .args(["dead-letters", "replay", "--all", "--yes"])
        .arg("--include-unreadable")
        .env("USER_MERGE__BROKER__URL", url)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_can_do_its_part_and_nothing_else() {
    let mut desk = Desk::open().await;
    let broker = Broker::start();
    desk.settings.broker.url = Some(broker.url("user-merge-worker").into());
    desk.settings.broker.names = Settings::from_sources(None, std::iter::empty())
        .unwrap()
        .broker
        .names;
    desk.users([1, 2, 3, 4]).await;
    desk.tickets(10, 3, 1, "open").await;
    // It declares what the definitions declare, with the same arguments: otherwise it would not start.
    let worker = Running::start(&desk).await;

    let listener = broker.connect("user-merge-listener").await;
    let heard = listener.create_channel().await.unwrap();
    listen(&heard).await;
    let body = user_merge::message::request::encode(&request(1, 2));
    assert!(
        broker
            .takes("user-merge-upstream", INTAKE, LANE, &body)
            .await
    );
    let event = take(&heard, "user-merge.events.crm").await;
    assert_eq!(event["type"], "merge.completed");
    let pipeline = broker.connect("user-deletion-pipeline").await;
    let deletions = pipeline.create_channel().await.unwrap();
    let deletion = take(&deletions, "user-deletion.requests").await;
    assert_eq!(deletion["user_id"], 1);

    // A request that can't be read, by the bulk lane: the worker publishes a dead letter, an operator looks.
    assert!(
        broker
            .takes("user-merge-backfill", INTAKE, BULK, b"?")
            .await
    );
    let operator = broker.url("user-merge-operator");
    let output = tokio::task::spawn_blocking(move || enqueue_and_wait(&operator))
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let operator = broker.url("user-merge-operator");
    let replayed = eventually("a dead letter that goes back", || async {
        let url = operator.clone();
        let output = tokio::task::spawn_blocking(move || replay(&url)).await;
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        (!told.starts_with("0 of 0")).then_some(told)
    });
    assert!(replayed.await.starts_with("1 of 1 that match replayed"));
    eventually("a dead letter", || async {
        let connection = broker.connect("user-merge-operator").await;
        let channel = connection.create_channel().await.unwrap();
        let options = BasicGetOptions { no_ack: true };
        let got = channel.basic_get("user-merge.dead".into(), options).await;
        drop(connection.close(200, "done".into()).await);
        got.unwrap()
    })
    .await;
    worker.stop().await;

    nothing_else(&broker).await;
    with_everything_there_a_worker_need_not_configure(&broker, &desk).await;
}

async fn nothing_else(broker: &Broker) {
    for (user, exchange, key) in [
        ("user-merge-upstream", "", LANE),
        ("user-merge-upstream", "", "user-deletion.requests"),
        ("user-merge-upstream", INTAKE, "user-deletion.requests"),
        (
            "user-merge-upstream",
            "user-merge.events",
            "merge.completed",
        ),
        ("user-merge-upstream", "user-merge.retry.1s", LANE),
        ("user-merge-backfill", INTAKE, LANE),
        (
            "user-merge-listener",
            "user-merge.events",
            "merge.completed",
        ),
        ("user-merge-listener", INTAKE, LANE),
        ("user-deletion-pipeline", "", "user-deletion.requests"),
        ("user-deletion-pipeline", INTAKE, LANE),
        (
            "user-merge-operator",
            "user-merge.events",
            "merge.completed",
        ),
        ("user-merge-worker", INTAKE, LANE),
    ] {
        assert!(
            !broker.takes(user, exchange, key, b"{}").await,
            "{user} may publish to '{exchange}' with {key}"
        );
    }
    let queues = [LANE, BULK, "user-merge.dead", "user-deletion.requests"];
    for (user, readable) in [
        ("user-merge-worker", &queues[..2]),
        ("user-merge-upstream", &[]),
        ("user-merge-backfill", &[]),
        ("user-merge-operator", &queues[2..3]),
        ("user-merge-listener", &[]),
        ("user-deletion-pipeline", &queues[3..]),
    ] {
        for queue in queues {
            assert_eq!(
                may_get(broker, user, queue).await,
                readable.contains(&queue),
                "{user} and {queue}"
            );
        }
    }
}

async fn with_everything_there_a_worker_need_not_configure(broker: &Broker, desk: &Desk) {
    let permissions = [
        "set_permissions",
        "-p",
        "user-merge",
        "user-merge-worker",
        "^$",
        r"^(amq\.default|user-merge\.retry\..+|user-merge\.events)$",
        r"^user-merge\.requests(\.bulk)?$",
    ];
    broker.0.run("rabbitmqctl", &permissions);
    let settings = user_merge::app::broker(&desk.settings).unwrap();
    let session = broker::Session::open(&settings, broker::Lane::Interactive, 1).await;
    session.unwrap().close().await;
}
