//! `user-merge dead-letters`: the real program, on real queues.

mod discard;
mod killed;
mod list;
mod meanwhile;
mod merges;
mod replay;
mod show;
mod usage;
mod walk;

use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use user_merge::domain::MergeRequest;

use crate::harness::{Desk, Output, Queues, command, eventually, output};

const DEAD: &str = "user-merge.dead";
const LANE: &str = "user-merge.requests";
const BULK: &str = "user-merge.requests.bulk";

async fn desk() -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    (desk, queues)
}

/// `user-merge dead-letters` and these arguments, given in one line.
async fn dead_letters(desk: &Desk, arguments: &str) -> Output {
    let mut all = vec!["dead-letters"];
    all.extend(arguments.split_whitespace());
    output(command(&desk.settings, &all)).await
}

/// The same as JSON; it must have ended well.
async fn json(desk: &Desk, arguments: &str) -> Value {
    let output = dead_letters(desk, &format!("{arguments} --json")).await;
    assert_eq!(output.status, 0, "{output:?}");
    output.json()
}

/// Headers: numbers where they are whole ones, otherwise text.
fn headers(pairs: &[(&str, &str)]) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in pairs {
        let text = || AMQPValue::LongString((*value).into());
        let value = value
            .parse()
            .map_or_else(|_| text(), AMQPValue::LongLongInt);
        headers.insert((*name).into(), value);
    }
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers)
}

/// A dead letter as a worker leaves it for a merge that it gave up.
async fn given_up(queues: &Queues, request: &MergeRequest, reason: &str, lane: &str, since: &str) {
    let properties = headers(&[
        ("x-reason", reason),
        ("x-detail", "a detail"),
        ("x-lane", lane),
        ("x-attempts", "5"),
        ("x-dead-since", since),
    ]);
    let properties = properties.with_message_id(request.idempotency_key.as_str().into());
    let body = user_merge::message::request::encode(request);
    queues.publish(DEAD, &body, properties).await;
}

/// Gives a message back until the broker itself moves it to the dead-letter queue, as after so many crashes.
async fn crash_until_dead(queues: &Queues, queue: &str) {
    let name = queues.name(queue);
    eventually("a message that died of its deliveries", || async {
        let got = queues
            .channel
            .basic_get(name.as_str().into(), BasicGetOptions::default())
            .await
            .unwrap();
        let Some(got) = got else {
            return (queues.count(DEAD).await > 0).then_some(());
        };
        let requeue = BasicNackOptions {
            requeue: true,
            multiple: false,
        };
        got.delivery.acker.nack(requeue).await.unwrap();
        None
    })
    .await;
}

/// Waits until a queue has so many messages that nobody holds.
async fn ready(queues: &Queues, queue: &str, count: u32) {
    eventually(&format!("{count} messages in {queue}"), || async {
        (queues.count(queue).await == count).then_some(())
    })
    .await;
}

/// Takes all that is in a queue: the message ids, in order.
async fn drain(queues: &Queues, queue: &str) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(message) = queues.peek(queue).await {
        let id = message.properties.message_id();
        ids.push(id.as_ref().map_or("", |id| id.as_str()).to_owned());
    }
    ids
}

/// The positions that a listing shows.
fn positions(listing: &Value) -> Vec<u64> {
    let letters = listing["dead_letters"].as_array().unwrap();
    letters
        .iter()
        .map(|letter| letter["position"].as_u64().unwrap())
        .collect()
}
