//! R6: properties and headers as nobody should send them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};

use crate::harness::{Desk, Queues, Running, request};

const LANE: &str = "user-merge.requests";

fn header(name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), value);
    BasicProperties::default().with_headers(headers)
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// Values of every type and at every limit.
fn values() -> Vec<AMQPValue> {
    let mut table = FieldTable::default();
    table.insert("x-lane".into(), text("bulk"));
    let mut array = FieldArray::default();
    array.push(AMQPValue::FieldTable(table.clone()));
    vec![
        AMQPValue::Boolean(true),
        AMQPValue::ShortShortInt(i8::MIN),
        AMQPValue::ShortUInt(u16::MAX),
        AMQPValue::LongInt(-1),
        AMQPValue::LongUInt(u32::MAX),
        AMQPValue::LongLongInt(i64::from(u32::MAX)),
        AMQPValue::LongLongInt(i64::MAX),
        AMQPValue::LongLongInt(i64::MIN),
        // No NaN: the broker ends the connection of who sends one.
        AMQPValue::Double(f64::MAX),
        AMQPValue::DecimalValue(DecimalValue {
            scale: 255,
            value: u32::MAX,
        }),
        AMQPValue::Timestamp(u64::MAX),
        AMQPValue::FieldTable(table),
        AMQPValue::FieldArray(array),
        AMQPValue::ByteArray(vec![0, 0xff].into()),
        AMQPValue::LongString(vec![0xc3, 0x28].into()),
        AMQPValue::Void,
        text(""),
        text("express"),
        text("bulk\r\nx-reason: y"),
        text("nul \0 inside"),
        text("-1"),
        text("1e400"),
        text("yesterday"),
        text("0000-01-01T00:00:00Z"),
        text("9999-12-31T23:59:60.999999999Z"),
        text("+262142-12-31T23:59:59Z"),
        text("-262143-01-01T00:00:00Z"),
        text("2026-11-22T09:00:00+23:59"),
        text(&"x".repeat(60_000)),
    ]
}

const HEADERS: [&str; 7] = [
    "traceparent",
    "x-attempts",
    "x-deferred-since",
    "x-delivery-count",
    "x-detail",
    "x-lane",
    "x-reason",
];

fn odd() -> Vec<BasicProperties> {
    let plain = BasicProperties::default;
    let mut many = FieldTable::default();
    for n in 0..1_000 {
        many.insert(format!("header-{n}").into(), AMQPValue::Void);
    }
    let long = "x".repeat(255);
    let mut odd = vec![
        plain().with_correlation_id("nul \0 inside".into()),
        plain()
            .with_content_type("text/plain".into())
            .with_content_encoding("gzip".into()),
        plain()
            .with_content_type(long.as_str().into())
            .with_type(long.as_str().into()),
        plain()
            .with_priority(255)
            .with_delivery_mode(1)
            .with_timestamp(u64::MAX),
        plain()
            .with_expiration("86400000".into())
            .with_reply_to("user-merge.dead".into()),
        plain()
            .with_app_id("\u{202e}\u{7f}".into())
            .with_cluster_id("\0".into()),
        plain().with_headers(many),
        header("x-death", text("forged")),
        header("x-first-death-reason", text("forged")),
    ];
    for name in HEADERS {
        odd.extend(values().into_iter().map(|value| header(name, value)));
    }
    odd
}

/// R6: around a good body they are no obstacle, and around a broken one they change neither its way nor its bytes;
/// what can't be handed on is left out.
#[tokio::test]
async fn r6_odd_properties_do_no_harm() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    let odd = odd();
    let last = i64::try_from(odd.len()).unwrap() + 1;
    desk.users(1..=last).await;
    let worker = Running::start(&desk).await;

    let (mut merged, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for (properties, source) in odd.into_iter().zip(2..) {
        let body = user_merge::message::request::encode(&request(source, 1));
        queues.publish(LANE, &body, properties.clone()).await;
        let broken = format!("no JSON: {source}");
        queues.publish(LANE, broken.as_bytes(), properties).await;
        merged.insert(source);
        dead.insert(broken);
    }
    let mut told = BTreeMap::new();
    while !merged.is_empty() {
        let event = queues.event().await;
        assert_eq!(event.properties.correlation_id(), &None);
        assert!(event.header("traceparent").is_none());
        let event = event.json();
        assert_eq!(event["type"], "merge.completed", "{event}");
        let source = event["source_user_id"].as_i64().unwrap();
        // What needs large frames ends a connection, and what was at work beside it comes again: then its outcome is
        // repeated, word for word (rule R1).
        if !merged.remove(&source) {
            assert_eq!(told.get(&source), Some(&event));
        }
        told.insert(source, event);
    }
    let sent = dead.clone();
    while !dead.is_empty() {
        let letter = queues.next("user-merge.dead").await;
        let body = String::from_utf8(letter.body.clone()).unwrap();
        // Once more, where the connection ended between the letter and the acknowledgement.
        assert!(dead.remove(&body) || sent.contains(&body), "{body}");
        assert_eq!(
            letter.header("x-reason").as_deref(),
            Some("not_json"),
            "{body}"
        );
        assert_eq!(
            letter.header("x-lane").as_deref(),
            Some("interactive"),
            "{body}"
        );
        assert!(
            letter
                .header("x-detail")
                .unwrap()
                .starts_with("the message must be JSON")
        );
        let attempts: i64 = letter.header("x-attempts").unwrap().parse().unwrap();
        assert!(attempts > 0, "{body}: {attempts}");
    }
    worker.stop().await;
}

/// R6 and A10: who claims to have been put off in times to come does not wait for ever: its patience begins now.
#[tokio::test]
async fn r6_a_time_to_come_does_not_lengthen_patience() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    desk.execute(
        "INSERT INTO user_merge.merges
             (account_id, id, idempotency_key, source_user_id, target_user_id, lane, state, holds_users)
         VALUES (1, gen_random_uuid(), 'other', 1, 2, 'interactive', 'running', true)",
    )
    .await;
    // Nobody consumes a retry queue: what is put off can be looked at there.
    let body = user_merge::message::request::encode(&request(1, 2));
    let properties = header("x-deferred-since", text("9999-12-31T23:59:59Z"));
    queues.publish(LANE, &body, properties).await;
    let worker = Running::start(&desk).await;
    let put_off = queues.next("user-merge.retry.1s").await;
    let since: DateTime<Utc> = put_off.header("x-deferred-since").unwrap().parse().unwrap();
    assert!(since <= Utc::now(), "{since}");
    worker.stop().await;
}
