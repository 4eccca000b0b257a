//! `user-merge schema`

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::user_merge;
use crate::harness::{Desk, Queues, Running, command, request};

/// What is printed fits what goes over the wire: real messages of a merge and of a rejection.
#[tokio::test]
async fn the_schemas_fit_the_messages_of_real_merges() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    let printed = async |name: &str| -> Value {
        let output = user_merge(&desk.settings, &format!("schema {name}")).await;
        assert_eq!((output.status, output.stderr.as_str()), (0, ""));
        output.json()
    };
    let asked = user_merge::message::request::encode(&request(1, 2));
    let asked: Value = serde_json::from_slice(&asked).unwrap();
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;
    let completed = queues.event().await.json();
    let deletion = queues.next("user-deletion.requests").await.json();
    queues.send(&request(1, 3)).await;
    let rejected = queues.event().await.json();
    worker.stop().await;
    assert_eq!(
        (&completed["type"], &rejected["type"]),
        (&json!("merge.completed"), &json!("merge.rejected"))
    );

    for (name, messages) in [
        ("merge-request", vec![&asked]),
        ("deletion-request", vec![&deletion]),
        ("outcome-event", vec![&completed, &rejected]),
    ] {
        let schema = printed(name).await;
        let validator = jsonschema::validator_for(&schema).unwrap();
        for message in messages {
            validator
                .validate(message)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(
            !validator.is_valid(&json!({ "schema_version": 1 })),
            "{name}"
        );
    }

    let all = printed("").await;
    let names: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["deletion-request", "merge-request", "outcome-event"]
    );
    assert_eq!(all["outcome-event"], printed("outcome-event").await);
}

#[tokio::test]
async fn an_unknown_name_is_wrong_usage_and_the_known_ones_are_listed() {
    let desk = Desk::open().await;
    let output = user_merge(&desk.settings, "schema merge").await;
    assert_eq!(output.status, 2);
    for name in user_merge::message::SCHEMA_NAMES {
        assert!(output.stderr.contains(name), "{output:?}");
    }
}

/// As in `user-merge schema | head -1`.
#[tokio::test]
async fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let desk = Desk::open().await;
    let mut piped = command(&desk.settings, &["schema"]);
    let mut child = piped
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Closed before anything is read: whatever the timing, a write fails or fits into the pipe.
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), ended.stderr.as_slice()),
        (Some(0), &b""[..])
    );

    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = command(&desk.settings, &["schema"]);
    let mut child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let line = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .next()
        .unwrap()
        .unwrap();
    assert!(line.contains("can't write to standard output"), "{line}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
