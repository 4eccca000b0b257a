//! `/readyz`: consuming, and the database answers.

use lapin::ConnectionProperties;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use super::{metric, until_merges};
use crate::harness::{Desk, Process, Queues, eventually, request};

const LANE: &str = "user-merge.requests";

async fn missing(worker: &Process, what: &[&str]) {
    eventually(&format!("a worker without {what:?}"), || async {
        let (status, body) = worker.get("/readyz").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        (status == 503 && body["missing"] == serde_json::json!(what)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ready_again_once_its_queue_is_there_again() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2, 3, 4]).await;
    let worker = Process::worker(&desk).ready().await;
    assert_eq!(worker.get("/healthz").await.0, 200);
    assert_eq!(metric(&worker, "user_merge_consuming", "").await, 2);

    // In its place one that the worker can't use, so that it stays away for as long as the test wants.
    let (channel, lane) = (&queues.channel, queues.name(LANE));
    let delete = async || {
        let delete = channel.queue_delete(lane.as_str().into(), QueueDeleteOptions::default());
        delete.await.unwrap();
    };
    delete().await;
    eventually("the queue in another form", || async {
        // On a channel of its own: the worker may be quicker, and the refusal closes the channel.
        let url = crate::harness::broker_url();
        let connection = lapin::Connection::connect(&url, ConnectionProperties::default())
            .await
            .unwrap();
        let own = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions::default();
        let declared = own
            .queue_declare(lane.as_str().into(), options, FieldTable::default())
            .await;
        if declared.is_err() {
            delete().await;
        }
        declared.ok()
    })
    .await;
    missing(&worker, &["consuming interactive"]).await;
    assert_eq!(
        metric(&worker, "user_merge_consuming", "interactive").await,
        0
    );
    assert_eq!(
        worker.get("/healthz").await.0,
        200,
        "a restart would not help"
    );
    worker.line("can't consume").await;

    delete().await;
    let worker = worker.ready().await;
    queues.send(&request(1, 2)).await;
    until_merges(&desk, "completed", 1).await;
    assert!(metric(&worker, "user_merge_broker_failures_total", "consuming").await >= 1);
}

/// R7: the merges of an outage cost no attempts; what was sent meanwhile is done afterwards.
#[tokio::test]
async fn r7_ready_again_once_the_database_answers_and_nothing_is_lost() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.database.connect_timeout = std::time::Duration::from_millis(300);
    desk.settings.retry.max_attempts = 1;
    desk.users([1, 2, 3, 4]).await;
    let worker = Process::worker(&desk).ready().await;

    desk.shut().await;
    missing(&worker, &["database"]).await;
    queues.send(&request(1, 2)).await;
    queues.send(&request(3, 4)).await;
    worker
        .line("the database is away: no messages are taken")
        .await;
    assert_eq!(worker.get("/healthz").await.0, 200);

    desk.reopen().await;
    let worker = worker.ready().await;
    until_merges(&desk, "completed", 2).await;
    worker.line("the database answers again").await;
    let attempts = "SELECT sum(attempts) FROM user_merge.merges";
    assert_eq!(desk.number(attempts).await, 0);
    assert!(queues.peek("user-merge.dead").await.is_none());
}

/// Nothing that waits for the database keeps a worker from stopping.
#[tokio::test]
async fn a_stop_during_an_outage_gives_the_message_back() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.database.connect_timeout = std::time::Duration::from_millis(300);
    desk.users([1, 2]).await;
    let mut worker = Process::worker(&desk).ready().await;
    desk.shut().await;
    queues.send(&request(1, 2)).await;
    worker
        .line("the database is away: no messages are taken")
        .await;
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
    assert_eq!(
        queues.next(LANE).await.json()["idempotency_key"],
        "merge-1-2"
    );
    desk.reopen().await;
}

/// An operator closes the connections: the worker makes new ones. Only where the broker is ours to command.
#[tokio::test]
async fn ready_again_after_an_operator_closed_its_connections() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    let worker = Process::worker(&desk).ready().await;
    let Some(list) = rabbitmqctl(&["-q", "list_connections", "pid", "client_properties"]).await
    else {
        return;
    };
    let its = format!("/{}\"", worker.id());
    let pids = list
        .lines()
        .filter(|line| line.contains("user-merge consuming") && line.contains(&its))
        .map(|line| line.split('\t').next().unwrap());
    let pids: Vec<&str> = pids.collect();
    assert_eq!(pids.len(), 2, "a connection for each lane in {list}");
    for pid in pids {
        rabbitmqctl(&["-q", "close_connection", pid, "by an operator"]).await;
    }
    for lane in ["interactive", "bulk"] {
        super::until_metric(&worker, "user_merge_broker_failures_total", "consuming", 1).await;
        let line = worker.line(&format!("\"lane\":\"{lane}\",\"error\"")).await;
        assert!(line.contains("consuming was interrupted"), "{line}");
    }
    let worker = worker.ready().await;
    queues.send(&request(1, 2)).await;
    until_merges(&desk, "completed", 1).await;
    assert!(worker.is_ready().await);
}

async fn rabbitmqctl(arguments: &[&str]) -> Option<String> {
    let program = std::env::var("USER_MERGE_LOCAL__SERVERS").ok()?;
    let directory = std::env::var("USER_MERGE_LOCAL__DIR").ok()?;
    let mut command = std::process::Command::new(program);
    command.args(["rabbitmqctl", &directory]).args(arguments);
    let output = crate::harness::output(command).await;
    assert_eq!(output.status, 0, "{output:?}");
    Some(output.stdout)
}
