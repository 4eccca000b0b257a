//! `replay`: what goes back, where to, and what has to be said before it does.

use std::collections::BTreeSet;

use lapin::BasicProperties;
use lapin::options::QueueDeleteOptions;
use lapin::types::ShortString;

use super::{BULK, DEAD, LANE, dead_letters, desk, drain, given_up, headers, json, ready};
use crate::harness::{Process, command, key};

const SINCE: &str = "2026-11-22T09:00:00Z";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// R7: the same bytes under the same ids, and nothing of the failure, so that all tries are before it again.
#[tokio::test]
async fn r7_a_letter_goes_back_as_it_came() {
    let (desk, queues) = desk().await;
    let body = [
        user_merge::message::request::encode(&key("k-1", 1, 2)),
        b"\n\n".to_vec(),
    ]
    .concat();
    let properties = headers(&[
        ("x-reason", "deadlock"),
        ("x-detail", "40P01"),
        ("x-lane", "bulk"),
        ("x-attempts", "5"),
        ("x-dead-since", SINCE),
        ("x-deferred-since", SINCE),
        ("traceparent", TRACE),
    ]);
    let properties = properties
        .with_message_id("k-1".into())
        .with_correlation_id("c-1".into())
        .with_content_type("application/json; charset=utf-8".into());
    queues.publish(DEAD, &body, properties).await;
    let replayed = json(&desk, "replay --all --yes").await;
    assert_eq!(
        (&replayed["replayed"], &replayed["matched"]),
        (&1.into(), &1.into())
    );
    let back = queues.next(BULK).await;
    assert_eq!(back.body, body);
    let texts = [
        back.properties.message_id(),
        back.properties.correlation_id(),
        back.properties.content_type(),
    ];
    let texts = texts.map(|text| text.as_ref().unwrap().as_str());
    assert_eq!(texts, ["k-1", "c-1", "application/json; charset=utf-8"]);
    assert_eq!(back.properties.delivery_mode(), &Some(2));
    let headers = back.properties.headers().as_ref().unwrap();
    let names: Vec<&str> = headers.inner().keys().map(ShortString::as_str).collect();
    // The broker adds its count.
    let names: Vec<&str> = names
        .into_iter()
        .filter(|name| *name != "x-delivery-count")
        .collect();
    assert_eq!(names, ["traceparent"]);
    ready(&queues, DEAD, 0).await;
    assert!(queues.peek(LANE).await.is_none());
}

#[tokio::test]
async fn only_what_is_selected_goes_back_and_the_rest_keeps_its_order() {
    let (desk, queues) = desk().await;
    for n in 1..=9 {
        let (reason, lane) = [
            ("deadlock", "bulk"),
            ("schema", "interactive"),
            ("disk_full", "bulk"),
        ][n % 3];
        let request = key(&format!("k-{n}"), i64::try_from(n).unwrap(), 99);
        given_up(&queues, &request, reason, lane, SINCE).await;
    }
    let dry = json(&desk, "replay --reason schema --reason disk_full --dry-run").await;
    assert_eq!(
        (&dry["replayed"], &dry["dry_run"]),
        (&6.into(), &true.into())
    );
    ready(&queues, DEAD, 9).await;
    let some = json(
        &desk,
        "replay --reason schema --reason disk_full --limit 3 --yes",
    )
    .await;
    assert_eq!(some["replayed"], 3);
    ready(&queues, DEAD, 6).await;
    assert_eq!(drain(&queues, LANE).await, ["k-1", "k-4"]);
    assert_eq!(drain(&queues, BULK).await, ["k-2"]);
    assert_eq!(
        drain(&queues, DEAD).await,
        ["k-3", "k-5", "k-6", "k-7", "k-8", "k-9"]
    );
}

/// R6: what no worker can read stays unless it is asked for; so does what nobody knows the lane of.
#[tokio::test]
async fn r6_what_would_only_come_back_stays() {
    let (desk, queues) = desk().await;
    queues
        .publish(
            DEAD,
            b"{",
            headers(&[("x-reason", "not_json"), ("x-lane", "bulk")]),
        )
        .await;
    let good = user_merge::message::request::encode(&key("k-1", 1, 2));
    queues
        .publish(DEAD, &good, headers(&[("x-lane", "express")]))
        .await;
    let output = dead_letters(&desk, "replay --all --yes").await;
    assert_eq!(output.status, 0, "{output:?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0], "0 of 2 that match replayed");
    assert!(
        lines[1].starts_with("1 kept: nothing says which lane"),
        "{output:?}"
    );
    assert!(
        lines[2].starts_with("1 kept: no worker would read it"),
        "{output:?}"
    );
    ready(&queues, DEAD, 2).await;
    let forced = json(
        &desk,
        "replay --all --yes --include-unreadable --fallback-lane interactive",
    )
    .await;
    assert_eq!(forced["replayed"], 2);
    assert_eq!(queues.next(BULK).await.body, b"{");
    assert_eq!(queues.next(LANE).await.body, good);
    ready(&queues, DEAD, 0).await;
}

/// A lane that was deleted: the broker returns the message. It stays dead, and nothing is declared on the way.
#[tokio::test]
async fn what_no_queue_takes_stays_dead() {
    let (mut desk, queues) = desk().await;
    given_up(&queues, &key("k-1", 1, 2), "deadlock", "bulk", SINCE).await;
    given_up(&queues, &key("k-2", 3, 4), "deadlock", "interactive", SINCE).await;
    let bulk = queues.name(BULK);
    let deleted = queues
        .channel
        .queue_delete(bulk.as_str().into(), QueueDeleteOptions::default());
    deleted.await.unwrap();
    // Nothing of a body gets into the log, however much is logged; the client library would log what comes back.
    desk.settings.telemetry.log_filter = "trace".to_owned();
    let output = dead_letters(&desk, "replay --all --yes").await;
    desk.settings.telemetry.log_filter = "info".to_owned();
    assert_eq!(output.status, 1, "{output:?}");
    assert!(
        output.stdout.starts_with("0 of 0 that match replayed"),
        "{output:?}"
    );
    let expected = "position 1 stays dead: the broker has no queue for the bulk lane";
    assert!(output.stderr.contains(expected), "{output:?}");
    assert!(!output.stderr.contains("idempotency_key"), "{output:?}");
    ready(&queues, DEAD, 2).await;
    assert_eq!(
        json(&desk, "replay --lane interactive --yes").await["replayed"],
        1
    );
    ready(&queues, DEAD, 1).await;
    assert_eq!(drain(&queues, LANE).await, ["k-2"]);
}

/// A signal: what was not replayed yet goes back at once, and the status says that it isn't the end.
#[tokio::test]
async fn a_signal_leaves_the_rest_where_it_was() {
    let (desk, queues) = desk().await;
    for n in 1..=40 {
        given_up(
            &queues,
            &key(&format!("k-{n}"), n, 99),
            "deadlock",
            "bulk",
            SINCE,
        )
        .await;
    }
    let arguments = ["dead-letters", "replay", "--all", "--yes", "--rate", "1/m"];
    let mut process = Process::start(command(&desk.settings, &arguments));
    ready(&queues, BULK, 1).await;
    process.signal("INT");
    assert_eq!(process.exit().await, 1);
    assert_eq!(queues.count(DEAD).await, 39);
    let left: BTreeSet<String> = drain(&queues, DEAD).await.into_iter().collect();
    assert_eq!(left, (2..=40).map(|n| format!("k-{n}")).collect());
    assert_eq!(drain(&queues, BULK).await, ["k-1"]);
}

/// R6: an id that isn't UTF-8 can't be sent again; the body goes without it.
#[tokio::test]
async fn r6_a_letter_with_a_broken_id_goes_back_without_it() {
    use crate::harness::raw::{MESSAGE_ID, publish, short};
    let (desk, queues) = desk().await;
    let (dead, body) = (
        queues.name(DEAD),
        user_merge::message::request::encode(&key("k-1", 1, 2)),
    );
    let sent = body.clone();
    let sending = move || publish(&dead, MESSAGE_ID, &short(b"k-1\xff"), &sent);
    tokio::task::spawn_blocking(sending).await.unwrap();
    queues
        .publish(DEAD, b"behind", BasicProperties::default())
        .await;
    let line = "replay --key k-1 --yes --fallback-lane bulk";
    assert_eq!(json(&desk, line).await["kept"]["unreadable"], 1);
    ready(&queues, DEAD, 2).await;
    assert_eq!(
        json(&desk, &format!("{line} --include-unreadable")).await["replayed"],
        1
    );
    let back = queues.next(BULK).await;
    assert_eq!((back.body, back.properties.message_id()), (body, &None));
    ready(&queues, DEAD, 1).await;
}
