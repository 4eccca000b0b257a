//! `show`: everything of a letter, and nothing of it acts on a terminal.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};

use super::{DEAD, dead_letters, desk, given_up, json, ready};
use crate::harness::key;

const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\u{200b}\r\u{7f}";

/// A terminal would print this, and do nothing else.
fn is_harmless(text: &str) -> bool {
    let invisible = ['\u{202e}', '\u{200b}'];
    let acts = |c: char| (c.is_control() && c != '\n') || invisible.contains(&c);
    !text.chars().any(acts)
}

#[tokio::test]
async fn a_letter_is_shown_whole_and_stays() {
    let (desk, queues) = desk().await;
    for n in 1..=3 {
        given_up(
            &queues,
            &key(&format!("k-{n}"), n, 9),
            "deadlock",
            "bulk",
            "2026-11-22T09:00:00Z",
        )
        .await;
    }
    for which in [
        "show 2",
        "show k-2",
        "show --key k-2",
        "show --message-id k-2 --full",
    ] {
        let output = dead_letters(&desk, which).await;
        assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{which}");
        for line in [
            "position       2",
            "reason         deadlock",
            "lane           bulk",
            "account        1",
            "key            k-2",
            "readable       yes",
            "tries          5",
            "message_id     k-2",
            "header         x-detail: a detail",
        ] {
            assert!(
                output.stdout.lines().any(|l| l == line),
                "{which}: {line} in {output:?}"
            );
        }
        let body =
            String::from_utf8(user_merge::message::request::encode(&key("k-2", 2, 9))).unwrap();
        assert!(
            output.stdout.ends_with(&format!("bytes, UTF-8\n{body}\n")),
            "{output:?}"
        );
        ready(&queues, DEAD, 3).await;
    }
    let several = json(&desk, "show --reason deadlock --limit 2").await;
    assert_eq!(super::positions(&several), [1, 2]);
    let nothing = dead_letters(&desk, "show k-4").await;
    assert_eq!(
        (nothing.status, nothing.stdout.as_str()),
        (1, "no such dead letter\n")
    );
    let unsaid = dead_letters(&desk, "show").await;
    assert_eq!(unsaid.status, 2, "{unsaid:?}");
}

#[tokio::test]
async fn nothing_of_a_message_acts_on_a_terminal() {
    let (desk, queues) = desk().await;
    let mut nested = AMQPValue::LongString(HOSTILE.into());
    for _ in 0..200 {
        let mut table = FieldTable::default();
        table.insert(HOSTILE.into(), nested);
        let mut array = FieldArray::default();
        array.push(AMQPValue::FieldTable(table));
        nested = AMQPValue::FieldArray(array);
    }
    let mut headers = FieldTable::default();
    headers.insert("nested".into(), nested);
    headers.insert("x-reason".into(), AMQPValue::LongString(HOSTILE.into()));
    headers.insert("x-detail".into(), AMQPValue::LongString(HOSTILE.into()));
    headers.insert(
        "not-utf8".into(),
        AMQPValue::LongString(b"\xff\x1b".as_slice().into()),
    );
    headers.insert(
        HOSTILE.into(),
        AMQPValue::ByteArray(b"\0\x9b".as_slice().into()),
    );
    let properties = BasicProperties::default()
        .with_message_id(HOSTILE.into())
        .with_content_type(HOSTILE.into())
        .with_headers(headers);
    let bodies: [&[u8]; 6] = [
        HOSTILE.as_bytes(),
        b"\xff\x1b[2J\0",
        b"nul \0 inside",
        &vec![b' '; 65_537],
        &vec![0x9b; 65_537],
        br#"{"account_id": 1, "idempotency_key": "\u001b[2J\u202e"}"#,
    ];
    for body in bodies {
        queues.publish(DEAD, body, properties.clone()).await;
    }
    for arguments in ["list", "show 1 2 3 4 5 6", "show 1 2 3 4 5 6 --full"] {
        for flag in ["", " --json"] {
            let output = dead_letters(&desk, &format!("{arguments}{flag}")).await;
            assert_eq!(
                (output.status, output.stderr.as_str()),
                (0, ""),
                "{arguments}"
            );
            assert!(is_harmless(&output.stdout), "{arguments}{flag}: {output:?}");
        }
    }
    let shown = dead_letters(&desk, "show 1 4 5").await;
    for part in [
        r"\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\u{200b}\r\u{7f}",
        "65537 bytes, UTF-8, the first 4096 shown: --full shows all",
        "65537 bytes, binary, the first 4096 shown",
        "00000ff0  9b 9b",
    ] {
        assert!(shown.stdout.contains(part), "{part} in {}", shown.stdout);
    }
    assert!(shown.stdout.len() < 40_000, "{}", shown.stdout.len());
    // Machines get every byte of it.
    let shown = json(&desk, "show 1 2").await;
    assert_eq!(shown["dead_letters"][0]["body"], HOSTILE);
    assert_eq!(shown["dead_letters"][1]["body_base64"], "/xtbMkoA");
    ready(&queues, DEAD, 6).await;
}
