//! `list`: what is there, in order, and nothing of it is taken.

use chrono::{SecondsFormat, TimeDelta, Utc};
use lapin::BasicProperties;
use serde_json::json;

use super::{
    BULK, DEAD, crash_until_dead, dead_letters, desk, drain, given_up, json, positions, ready,
};
use crate::harness::raw::{HEADERS, MESSAGE_ID, long, publish, short};
use crate::harness::{Desk, Queues, Running, key};

fn ago(minutes: i64) -> String {
    let time = Utc::now() - TimeDelta::minutes(minutes);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[tokio::test]
async fn every_filter_finds_its_letters() {
    let mut desk = Desk::open().await;
    desk.settings.broker.delivery_limit = 1;
    let queues = Queues::open(&mut desk).await;
    // By the broker's own hand, in the bulk lane; the first in the queue.
    let body = user_merge::message::request::encode(&key("k-1", 1, 2));
    queues
        .publish(BULK, &body, BasicProperties::default())
        .await;
    crash_until_dead(&queues, BULK).await;
    given_up(
        &queues,
        &key("k-2", 1, 2),
        "lock_timeout",
        "interactive",
        &ago(90),
    )
    .await;
    let mut other = key("k-3", 1, 2);
    other.account_id = 2.try_into().unwrap();
    given_up(&queues, &other, "deadlock", "bulk", &ago(10)).await;
    // A lane and a time that can't be read, and no reason.
    queues
        .publish(
            DEAD,
            b"{",
            super::headers(&[("x-lane", "express"), ("x-dead-since", "lately")]),
        )
        .await;

    for (filter, expected) in [
        ("", &[1, 2, 3, 4][..]),
        ("--reason delivery_limit", &[1]),
        ("--reason none", &[4]),
        ("--reason lock_timeout --reason deadlock", &[2, 3]),
        ("--lane bulk", &[1, 3]),
        ("--lane interactive", &[2]),
        ("--account 1", &[1, 2]),
        ("--account 2 --account 3", &[3]),
        ("--older-than 1h", &[2]),
        ("--older-than 5m", &[2, 3]),
        ("--younger-than 5m", &[1]),
        ("--older-than 5m --younger-than 1h", &[3]),
        ("--key k-1", &[1]),
        ("--message-id k-1", &[]),
        ("--message-id k-3", &[3]),
        ("--position 4 --position 2", &[2, 4]),
        ("--lane bulk --account 1 --reason delivery_limit", &[1]),
        ("--limit 2", &[1, 2]),
        ("--scan 3", &[1, 2, 3]),
    ] {
        let listing = json(&desk, &format!("list {filter}")).await;
        assert_eq!(positions(&listing), expected, "{filter}");
        assert_eq!(listing["there"], 4, "{filter}");
        ready(&queues, DEAD, 4).await;
    }
    let all = json(&desk, "list --limit 1").await;
    let reasons = json!({"delivery_limit": 1, "lock_timeout": 1, "deadlock": 1, "none": 1});
    assert_eq!((&all["matched"], &all["reasons"]), (&4.into(), &reasons));
    let first = &all["dead_letters"][0];
    assert_eq!(
        (&first["idempotency_key"], &first["lane"]),
        (&"k-1".into(), &"bulk".into())
    );
    assert_eq!(drain(&queues, DEAD).await, ["", "k-2", "k-3", ""]);
}

#[tokio::test]
async fn people_get_a_table_with_totals() {
    let (desk, queues) = desk().await;
    given_up(&queues, &key("k-1", 1, 2), "lock_timeout", "bulk", &ago(90)).await;
    queues
        .publish(DEAD, b"{", super::headers(&[("x-reason", "not_json")]))
        .await;
    let output = dead_letters(&desk, "list").await;
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = output
        .stdout
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "#", "age", "reason", "lane", "account", "key", "tries", "bytes", "detail"
        ]
    );
    assert_eq!(
        lines[2][..7],
        ["1", "1h", "30m", "lock_timeout", "bulk", "1", "k-1"],
        "{output:?}"
    );
    assert_eq!(
        lines[3][..6],
        ["2", "-", "not_json", "-", "-", "unreadable"],
        "{output:?}"
    );
    for line in [
        "2 dead letters, 2 match, 2 listed",
        "1 lock_timeout",
        "1 not_json",
    ] {
        assert!(
            output.stdout.lines().any(|l| l == line),
            "{line} in {output:?}"
        );
    }
    let output = dead_letters(&desk, "list --reason deadlock").await;
    assert_eq!(output.stdout, "2 dead letters, 0 match, 0 listed\n");
}

/// More than one window of them, and far more than are listed.
#[tokio::test]
async fn a_long_queue_keeps_its_order() {
    let (desk, queues) = desk().await;
    let ids: Vec<String> = (1..=700).map(|n| format!("m-{n:03}")).collect();
    for id in &ids {
        let properties = BasicProperties::default().with_message_id(id.as_str().into());
        queues.publish(DEAD, b"{", properties).await;
    }
    for _ in 0..3 {
        let listing = json(&desk, "list --limit 5").await;
        assert_eq!(
            (&listing["matched"], &listing["looked_at"]),
            (&700.into(), &700.into())
        );
        assert_eq!(positions(&listing), [1, 2, 3, 4, 5]);
        ready(&queues, DEAD, 700).await;
    }
    let shown = json(&desk, "show 300 699").await;
    let shown: Vec<_> = shown["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["message_id"])
        .collect();
    assert_eq!(shown, ["m-300", "m-699"]);
    let partly = dead_letters(&desk, "list --scan 300 --limit 0").await;
    assert!(
        partly.stdout.contains("looked at 300 of 700 messages"),
        "{partly:?}"
    );
    ready(&queues, DEAD, 700).await;
    // What was passed alone is behind the rest now.
    let mut left = drain(&queues, DEAD).await;
    left.sort();
    assert_eq!(left, ids);
}

/// R6: what ends every connection that the client library reads it on is a dead letter like any other here.
#[tokio::test]
async fn r6_ids_and_headers_that_are_not_utf8_are_no_obstacle() {
    let (desk, queues) = desk().await;
    let dead = queues.name(DEAD);
    let table = |name: &[u8]| long(&[&short(name)[..], b"S", &long(b"value")].concat());
    let send = async |flags: u16, properties: Vec<u8>, body: &'static [u8]| {
        let dead = dead.clone();
        let sending = move || publish(&dead, flags, &properties, body);
        tokio::task::spawn_blocking(sending).await.unwrap();
    };
    send(MESSAGE_ID, short(b"\xff\xfe"), b"first").await;
    queues
        .publish(DEAD, b"second", BasicProperties::default())
        .await;
    send(HEADERS, table(b"\xc3"), b"third").await;
    queues
        .publish(DEAD, b"fourth", BasicProperties::default())
        .await;

    let listing = json(&desk, "list").await;
    assert_eq!(positions(&listing), [1, 2, 3, 4]);
    let shown = json(&desk, "show 1 2 3 4").await;
    let shown = shown["dead_letters"].as_array().unwrap();
    let altered: Vec<_> = shown.iter().map(|letter| &letter["altered"]).collect();
    assert_eq!(altered, [true, false, true, false]);
    let bodies: Vec<_> = shown.iter().map(|letter| &letter["body"]).collect();
    assert_eq!(bodies, ["first", "second", "third", "fourth"]);
    assert_eq!(shown[0]["properties"]["message_id"], "\u{1a}\u{1a}");
    assert_eq!(shown[2]["headers"]["\u{1a}"], "value");
    // And it can be taken away.
    let output = dead_letters(&desk, "discard --position 1 --position 3 --yes --no-save").await;
    assert!(
        output.stdout.starts_with("2 of 2 that match discarded"),
        "{output:?}"
    );
    ready(&queues, DEAD, 2).await;
    assert_eq!(queues.next(DEAD).await.body, b"second");
    assert_eq!(queues.next(DEAD).await.body, b"fourth");
}

/// A letter that a real worker left, with the time of its death.
#[tokio::test]
async fn what_a_worker_leaves_says_since_when() {
    let (desk, queues) = desk().await;
    let worker = Running::start(&desk).await;
    queues.publish(BULK, b"?", BasicProperties::default()).await;
    ready(&queues, DEAD, 1).await;
    worker.stop().await;
    let listing = json(
        &desk,
        "list --younger-than 10m --reason not_json --lane bulk",
    )
    .await;
    assert_eq!(positions(&listing), [1]);
    assert_eq!(listing["dead_letters"][0]["unreadable"], "not_json");
    assert_eq!(listing["dead_letters"][0]["attempts"], 1);
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named() {
    let (mut desk, _queues) = desk().await;
    desk.settings.broker.names.dead.push_str(".nowhere");
    let output = dead_letters(&desk, "list").await;
    assert_eq!(output.status, 1);
    assert!(
        output.stderr.contains(".nowhere`: does not exist"),
        "{output:?}"
    );
}
