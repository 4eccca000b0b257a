//! `discard`: written down first, and not what an unfinished merge needs.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use serde_json::Value;

use super::{DEAD, dead_letters, desk, drain, given_up, headers, json, ready};
use crate::harness::{key, request};

const SINCE: &str = "2026-11-22T09:00:00Z";

#[tokio::test]
async fn what_is_discarded_is_in_the_file_with_every_byte() {
    let (desk, queues) = desk().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("discarded.jsonl");
    let save = format!("--save {}", file.display());
    let not_text = b"\xff\x1b[2J\0".as_slice();
    queues
        .publish(DEAD, not_text, headers(&[("x-reason", "not_utf8")]))
        .await;
    queues
        .publish(
            DEAD,
            b"{",
            headers(&[("x-reason", "not_json"), ("who", "somebody")]),
        )
        .await;
    given_up(&queues, &key("k-1", 1, 2), "deadlock", "bulk", SINCE).await;

    let dry = json(
        &desk,
        "discard --reason not_json --reason not_utf8 --dry-run",
    )
    .await;
    assert_eq!(
        (&dry["discarded"], &dry["dry_run"]),
        (&2.into(), &true.into())
    );
    ready(&queues, DEAD, 3).await;
    for reason in ["not_utf8", "not_json"] {
        let done = json(&desk, &format!("discard --reason {reason} --yes {save}")).await;
        assert_eq!(done["discarded"], 1);
    }
    ready(&queues, DEAD, 1).await;
    assert_eq!(drain(&queues, DEAD).await, ["k-1"]);
    let saved = std::fs::read_to_string(&file).unwrap();
    let saved: Vec<Value> = saved
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        saved.len(),
        2,
        "the second run must not overwrite the first"
    );
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(saved[0]["body_base64"].as_str().unwrap());
    assert_eq!(bytes.unwrap(), not_text);
    assert_eq!(
        (&saved[1]["body"], &saved[1]["headers"]["who"]),
        (&"{".into(), &"somebody".into())
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "bodies hold personal data");
}

/// A file that can't be written: nothing is taken.
#[tokio::test]
async fn what_can_not_be_written_is_not_discarded() {
    let (desk, queues) = desk().await;
    queues.publish(DEAD, b"{", headers(&[])).await;
    for place in ["/nowhere/file", "/dev/full"] {
        let output = dead_letters(&desk, &format!("discard --all --yes --save {place}")).await;
        assert_eq!(output.status, 1, "{output:?}");
        assert!(
            output.stderr.contains(&format!("can't write to {place}")),
            "{output:?}"
        );
        ready(&queues, DEAD, 1).await;
    }
}

/// R4: the letter is all that can bring an unfinished merge to its end.
#[tokio::test]
async fn r4_what_an_unfinished_merge_needs_is_kept() {
    let (mut desk, queues) = desk().await;
    desk.chunks_of(10);
    desk.users([1, 2, 3, 4]).await;
    desk.tickets(1, 25, 1, "open").await;
    desk.run_one_chunk(&request(1, 2)).await.unwrap();
    desk.run(&request(3, 4)).await.unwrap();
    // Unfinished, finished, never begun; and unfinished under its key, though it can't be read any more.
    for merge in [request(1, 2), request(3, 4), request(4, 3)] {
        given_up(&queues, &merge, "deadlock", "bulk", SINCE).await;
    }
    let newer = br#"{"account_id": 1, "idempotency_key": "merge-1-2", "schema_version": 2}"#;
    queues
        .publish(
            DEAD,
            newer,
            headers(&[("x-reason", "unsupported_schema_version")]),
        )
        .await;

    let output = dead_letters(&desk, "discard --all --yes --no-save").await;
    assert_eq!(output.status, 0, "{output:?}");
    assert!(
        output
            .stdout
            .starts_with("2 of 4 that match discarded\n2 kept: its merge is unfinished"),
        "{output:?}"
    );
    ready(&queues, DEAD, 2).await;
    // Who can't ask the database has to say so.
    desk.shut().await;
    let output = dead_letters(&desk, "discard --all --yes --no-save").await;
    assert_eq!(output.status, 1, "{output:?}");
    assert!(
        output
            .stderr
            .contains("can't tell which merges are unfinished"),
        "{output:?}"
    );
    ready(&queues, DEAD, 2).await;
    let done = json(&desk, "discard --all --yes --no-save --unfinished").await;
    assert_eq!(done["discarded"], 2);
    ready(&queues, DEAD, 0).await;
}
