//! `user-merge enqueue`

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use super::{assert_one_sentence, user_merge};
use crate::harness::{Desk, Process, Queues, Running, command, eventually, key};

const LANE: &str = "user-merge.requests";

#[tokio::test]
async fn a_request_is_stored_as_it_was_asked_for_and_its_key_is_printed() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;

    let asked = "enqueue --account 1 --source 2 --target 3 --key crm-1 --requested-by agent:77";
    let output = user_merge(&desk.settings, asked).await;
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, "stored: crm-1\n")
    );
    assert_eq!(output.stderr, "");
    let message = queues.next(LANE).await;
    assert_eq!(
        message.json(),
        serde_json::json!({
            "schema_version": 1, "idempotency_key": "crm-1", "account_id": 1,
            "source_user_id": 2, "target_user_id": 3, "requested_by": "agent:77"
        })
    );
    let properties = &message.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "crm-1");
    assert_eq!(*properties.delivery_mode(), Some(2));

    // Without a key it makes one, which is what to ask for later.
    let bulk = "--json enqueue --account 1 --source 2 --target 3 --bulk";
    let output = user_merge(&desk.settings, bulk).await;
    assert_eq!(output.status, 0);
    let printed = output.json();
    assert_eq!(
        (&printed["stored"], &printed["lane"]),
        (&true.into(), &"bulk".into())
    );
    let message = queues.next("user-merge.requests.bulk").await;
    assert_eq!(
        message.json()["idempotency_key"],
        printed["idempotency_key"]
    );
    assert!(queues.peek(LANE).await.is_none());
}

#[tokio::test]
async fn a_request_that_no_worker_would_read_is_not_sent() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    let reason = "x".repeat(1_001);
    let asked = format!("enqueue --account 1 --source 2 --target 3 --reason {reason}");
    let output = user_merge(&desk.settings, &asked).await;
    assert_eq!(output.status, 2);
    assert_one_sentence(
        &output,
        "reason: must be a string of at most 1000 characters",
    );
    assert!(queues.peek(LANE).await.is_none());
}

#[tokio::test]
async fn waiting_ends_with_the_outcome_as_exit_status() {
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    desk.users([1, 2, 3]).await;
    desk.tickets(10, 3, 1, "open").await;
    let worker = Running::start(&desk).await;

    let merge = "enqueue --account 1 --source 1 --target 2 --key m --wait";
    let merged = user_merge(&desk.settings, merge).await;
    assert_eq!((merged.status, merged.stderr.as_str()), (0, ""));
    let mut lines = merged.stdout.lines();
    assert_eq!(lines.next(), Some("stored: m"));
    assert!(lines.next().unwrap().starts_with("merge.completed: merge "));
    let moved = lines.next().unwrap();
    assert_eq!(moved, "tickets: archived 0, closed 0, live 3");

    // R1: the same key once more has the same outcome.
    let again = user_merge(&desk.settings, &format!("--json {merge}")).await;
    assert_eq!(again.status, 0);
    let event = again.json();
    assert_eq!(event["type"], "merge.completed");
    assert!(merged.stdout.contains(event["merge_id"].as_str().unwrap()));

    let elsewhere = "--json enqueue --account 1 --source 1 --target 3 --wait";
    let rejected = user_merge(&desk.settings, elsewhere).await;
    assert_eq!(rejected.status, 1);
    let rejection = &rejected.json()["rejection"];
    assert_eq!(rejection["reason"], "source_merged_elsewhere");
    assert_eq!(rejection["canonical_user_id"], 2);
    worker.stop().await;
}

#[tokio::test]
async fn waiting_in_vain_says_how_to_ask_later() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    let asked = "enqueue --account 1 --source 1 --target 2 --key m --wait --timeout 200ms";
    let output = user_merge(&desk.settings, asked).await;
    assert_eq!((output.status, output.stdout.as_str()), (1, "stored: m\n"));
    let advice = "no outcome within 200ms: is a worker running? \
                  ask later with `user-merge status --account 1 m`";
    assert!(output.stderr.contains(advice), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1);
    assert!(queues.next(LANE).await.json()["idempotency_key"] == "m");
}

/// Connections that just vanish are warnings in the broker's log. Only where the log is ours to read.
#[tokio::test]
async fn it_hangs_up_properly() {
    let Ok(servers) = std::env::var("USER_MERGE_LOCAL__DIR") else {
        return;
    };
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    let worker = Running::start(&desk).await;
    for (more, connections) in [("", 1), ("--wait", 2), ("--wait --timeout 1ms", 2)] {
        let line = format!("enqueue --account 1 --source 1 --target 2 {more}");
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let mut process = Process::start(command(&desk.settings, &arguments));
        let its_end = format!("/{}, vhost", process.id());
        let _status = process.exit().await;
        let closed = eventually("the end of its connections in the broker's log", || async {
            let lines = broker_log(&servers);
            let closing = |line: &&String| line.contains("closing AMQP") && line.contains(&its_end);
            let closed: Vec<String> = lines.iter().filter(closing).cloned().collect();
            (closed.len() == connections).then_some(closed)
        })
        .await;
        let warned = closed.iter().find(|line| !line.contains("[info]"));
        assert_eq!(warned, None, "{more}");
    }
    worker.stop().await;
}

fn broker_log(servers: &str) -> Vec<String> {
    let logs = std::fs::read_dir(format!("{servers}/rabbitmq/log")).unwrap();
    let texts = logs.map(|log| std::fs::read(log.unwrap().path()).unwrap());
    let lines = |text: Vec<u8>| {
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    texts.flat_map(lines).collect()
}

#[tokio::test]
async fn a_missing_queue_is_made_and_one_of_another_kind_is_an_error() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    let (channel, lane) = (&queues.channel, queues.name(LANE));
    let delete = channel.queue_delete(lane.as_str().into(), QueueDeleteOptions::default());
    delete.await.unwrap();

    let asked = "enqueue --account 1 --source 1 --target 2 --key m";
    assert_eq!(user_merge(&desk.settings, asked).await.status, 0);
    assert_eq!(queues.next(LANE).await.json()["idempotency_key"], "m");

    // Another queue: the broker's channel remembers the kind of the first.
    let bulk = queues.name("user-merge.requests.bulk");
    let delete = channel.queue_delete(bulk.as_str().into(), QueueDeleteOptions::default());
    delete.await.unwrap();
    let classic = channel.queue_declare(
        bulk.as_str().into(),
        QueueDeclareOptions::default(),
        FieldTable::default(),
    );
    classic.await.unwrap();
    for more in ["", "--wait"] {
        let output = user_merge(&desk.settings, &format!("{asked} --bulk {more}")).await;
        assert_eq!(output.status, 1);
        assert_one_sentence(&output, "not stored");
        assert!(output.stderr.contains(&bulk), "{output:?}");
    }
    assert!(queues.peek("user-merge.requests.bulk").await.is_none());
}

/// R1: a request that was sent by hand is one like any other.
#[tokio::test]
async fn r1_the_same_key_by_command_and_by_message_is_one_merge() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    desk.tickets(10, 2, 1, "open").await;
    let worker = Running::start(&desk).await;
    let mut request = key("crm-1", 1, 2);
    request.requested_by = None;
    queues.send(&request).await;
    queues.event().await;

    let asked = "enqueue --account 1 --source 1 --target 2 --key crm-1 --wait";
    assert_eq!(user_merge(&desk.settings, asked).await.status, 0);
    queues.next("user-deletion.requests").await;
    worker.stop().await;
    assert!(queues.peek("user-deletion.requests").await.is_none());
    let merges = desk.number("SELECT count(*) FROM user_merge.merges").await;
    assert_eq!(merges, 1);
    eventually("an empty outbox", || async {
        let pending = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
        (desk.number(pending).await == 0).then_some(())
    })
    .await;
}
