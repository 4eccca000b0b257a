//! R6: messages that can't be read: the corpus, in one stream with messages that can.

use std::collections::BTreeMap;
use std::path::Path;

use lapin::BasicProperties;
use user_merge::message::request::decode;

use crate::harness::{Desk, Message, Process, Queues, Running, request};

const LANES: [(&str, &str); 2] = [
    ("user-merge.requests", "interactive"),
    ("user-merge.requests.bulk", "bulk"),
];
/// A good request goes between as many of the corpus.
const EVERY: usize = 25;

/// `REASON/CASE` and the bytes, from `tests/corpus/requests`.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/requests");
    let mut cases = Vec::new();
    for reason in std::fs::read_dir(root).unwrap() {
        for case in std::fs::read_dir(reason.unwrap().path()).unwrap() {
            let path = case.unwrap().path();
            let directory = path.parent().unwrap().file_name().unwrap();
            let name = Path::new(directory).join(path.file_stem().unwrap());
            cases.push((
                name.to_str().unwrap().to_owned(),
                std::fs::read(&path).unwrap(),
            ));
        }
    }
    cases.sort();
    cases
}

fn correlation_id(message: &Message) -> String {
    let id = message.properties.correlation_id();
    id.as_ref().unwrap().as_str().to_owned()
}

/// R6: the whole corpus on both lanes, through a real queue to the real program: what can't be read is
/// dead-lettered as it came, with its reason, the rest is answered; the good ones in between are merged.
#[tokio::test]
async fn r6_the_corpus_is_dead_lettered_as_it_came_and_holds_up_nobody() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    let cases = corpus();
    let good = i64::try_from(cases.len() / EVERY).unwrap();
    desk.users(1..=good + 1).await;
    let mut worker = Process::worker(&desk).ready().await;

    let mut expected = BTreeMap::new();
    let mut answers = 0;
    for (n, (name, body)) in cases.iter().enumerate() {
        let (queue, lane) = LANES[n % 2];
        let reason = name.split('/').next().unwrap();
        let mut properties = BasicProperties::default().with_correlation_id(name.as_str().into());
        let mut message_id = None;
        if reason == "message_id_mismatch" {
            message_id = Some("another-id");
            properties = properties.with_message_id("another-id".into());
        }
        match decode(body, message_id) {
            Ok(_) => answers += 1,
            Err(error) => {
                expected.insert(name.clone(), (reason, error.to_string(), lane, body));
            }
        }
        queues.publish(queue, body, properties).await;
        if n % EVERY == EVERY - 1 {
            let source = i64::try_from(n / EVERY).unwrap() + 2;
            queues.send(&request(source, 1)).await;
        }
    }

    for _ in 0..expected.len() {
        let dead = queues.next("user-merge.dead").await;
        let name = correlation_id(&dead);
        let (reason, detail, lane, body) = expected.remove(&name).unwrap();
        let headers = ["x-reason", "x-detail", "x-lane", "x-attempts"].map(|h| dead.header(h));
        let told = [reason, &detail, lane, "1"].map(|text| Some(text.to_owned()));
        assert_eq!(headers, told, "{name}");
        assert!(dead.body == *body, "{name}: other bytes");
        let id = dead
            .properties
            .message_id()
            .as_ref()
            .map(lapin::types::ShortString::as_str);
        assert_eq!(id.is_some(), reason == "message_id_mismatch", "{name}");
    }
    // Nobody knows the accounts and users of those that are read: they are refused by a rule.
    let mut kinds = BTreeMap::new();
    for _ in 0..answers + good {
        let event = queues.event().await.json();
        let kind = event["type"].as_str().unwrap().to_owned();
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(kinds["merge.completed"], good, "{kinds:?}");
    assert_eq!(kinds["merge.rejected"], answers, "{kinds:?}");
    assert!(worker.runs());
    assert!(queues.peek("user-merge.dead").await.is_none());
    let rows = desk.number("SELECT count(*) FROM user_merge.merges").await;
    assert_eq!(rows, answers + good);
}

/// R6: many at once do not keep the worker from the good one behind them.
#[tokio::test]
async fn r6_broken_messages_do_not_block_the_queue() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    for _ in 0..60 {
        queues
            .publish("user-merge.requests", b"{", BasicProperties::default())
            .await;
    }
    queues.send(&request(1, 2)).await;
    let worker = Running::start(&desk).await;
    assert_eq!(queues.event().await.json()["type"], "merge.completed");
    for _ in 0..60 {
        assert_eq!(queues.next("user-merge.dead").await.body, b"{");
    }
    worker.stop().await;
}
