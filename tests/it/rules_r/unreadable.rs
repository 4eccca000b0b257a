//! R6: messages that can't be read.

use std::collections::HashSet;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use user_merge::message::DecodeReason;

use crate::harness::{Desk, Queues, Running, request};

const GOOD: &str = r#"{"schema_version": 1, "idempotency_key": "k", "account_id": 1, "source_user_id": 1, "target_user_id": 2}"#;

/// A body for every reason, and how the detail begins: with the field where there is one.
fn broken() -> Vec<(DecodeReason, Vec<u8>, &'static str)> {
    use DecodeReason as R;
    let with = |from: &str, to: &str| GOOD.replace(from, to).into_bytes();
    let last = |field: &str| with("2}", &format!("2, {field}}}"));
    vec![
        (
            R::TooLarge,
            vec![b' '; 65_537],
            "the message must be at most",
        ),
        (
            R::NotUtf8,
            b"{\"schema_version\": \"\xff\"}".to_vec(),
            "the message must be UTF-8",
        ),
        (R::NotJson, b"".to_vec(), "the message must be JSON"),
        (
            R::NotJson,
            b"account 1, 1 into 2".to_vec(),
            "the message must be JSON",
        ),
        (
            R::TrailingData,
            [GOOD.as_bytes(), b" 1"].concat(),
            "the message must end",
        ),
        (
            R::NotAnObject,
            b"[1]".to_vec(),
            "the message must be a JSON object",
        ),
        (
            R::DuplicateField,
            last(r#""account_id": 1"#),
            "account_id: ",
        ),
        (
            R::UnsupportedSchemaVersion,
            with(": 1,", ": 2,"),
            "schema_version: ",
        ),
        (
            R::MissingField,
            with(r#", "target_user_id": 2"#, ""),
            "target_user_id: is missing",
        ),
        (
            R::WrongType,
            with(r#"id": 1, "t"#, r#"id": "1", "t"#),
            "source_user_id: ",
        ),
        (
            R::OutOfRange,
            with("2}", "9223372036854775808}"),
            "target_user_id: ",
        ),
        (R::InvalidKey, with(r#""k""#, r#""""#), "idempotency_key: "),
        (
            R::TooLong,
            last(&format!(r#""reason": "{}""#, "x".repeat(1_001))),
            "reason: ",
        ),
        (
            R::ForbiddenCharacter,
            last(r#""requested_by": "\u0000""#),
            "requested_by: ",
        ),
        (R::UnknownField, last(r#""dry_run": true"#), "dry_run: "),
    ]
}

/// R6: every kind of broken message, on both lanes: dead-lettered as it came, with the reason and the field;
/// the worker goes on with the next one, and nothing is written.
#[tokio::test]
async fn r6_what_can_not_be_read_is_dead_lettered_as_it_came() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    let worker = Running::start(&desk).await;
    let mut cases: Vec<_> = broken().into_iter().map(|case| (case, "k")).collect();
    let mismatch = (
        DecodeReason::MessageIdMismatch,
        GOOD.as_bytes().to_vec(),
        "message_id: ",
    );
    cases.push((mismatch, "another id"));
    let seen: HashSet<_> = cases.iter().map(|((reason, ..), _)| *reason).collect();
    assert_eq!(seen.len(), DecodeReason::ALL.len(), "a reason has no case");

    for ((reason, body, detail), message_id) in cases {
        for (queue, lane) in [
            ("user-merge.requests", "interactive"),
            ("user-merge.requests.bulk", "bulk"),
        ] {
            let properties = BasicProperties::default()
                .with_message_id(message_id.into())
                .with_correlation_id("c-1".into());
            queues.publish(queue, &body, properties).await;
            let dead = queues.next("user-merge.dead").await;
            assert_eq!(dead.header("x-reason").as_deref(), Some(reason.label()));
            let told = dead.header("x-detail").unwrap();
            assert!(told.starts_with(detail), "{reason}: {told}");
            assert_eq!(dead.header("x-lane").as_deref(), Some(lane));
            assert_eq!(dead.header("x-attempts").as_deref(), Some("1"));
            assert_eq!(dead.body, body, "{reason}");
            let properties = dead.properties;
            assert_eq!(
                properties.message_id().as_ref().unwrap().as_str(),
                message_id
            );
            assert_eq!(
                properties.correlation_id().as_ref().unwrap().as_str(),
                "c-1"
            );
        }
    }
    assert_eq!(
        desk.number("SELECT count(*) FROM user_merge.merges").await,
        0
    );
    queues.send(&request(1, 2)).await;
    assert_eq!(queues.event().await.json()["type"], "merge.completed");
    worker.stop().await;
    assert!(queues.peek("user-merge.dead").await.is_none());
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

/// R6: odd properties and headers around a good body are no obstacle; what can't be handed on is left out.
#[tokio::test]
async fn r6_odd_properties_do_no_harm() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=8).await;
    let worker = Running::start(&desk).await;
    let header = |name: &str, value: AMQPValue| {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), value);
        BasicProperties::default().with_headers(headers)
    };
    let text = |text: &str| AMQPValue::LongString(text.into());
    let odd = [
        BasicProperties::default().with_correlation_id("nul \0 inside".into()),
        header("traceparent", text("nul \0 inside")),
        header("x-deferred-since", text("yesterday")),
        header("x-lane", text("express")),
        header("x-attempts", text("many")),
        header("x-delivery-count", AMQPValue::LongLongInt(i64::MAX)),
        BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("gzip".into()),
    ];
    for (properties, source) in odd.into_iter().zip(2..) {
        let body = user_merge::message::request::encode(&request(source, 1));
        queues
            .publish("user-merge.requests", &body, properties)
            .await;
        let event = queues.event().await;
        assert_eq!(event.json()["type"], "merge.completed", "{source}");
        assert_eq!(event.json()["source_user_id"], source);
        assert_eq!(event.properties.correlation_id(), &None, "{source}");
    }
    worker.stop().await;
}
