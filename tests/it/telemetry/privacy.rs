//! No personal data anywhere: marked values go into every field that holds any, and must not come out.

use lapin::BasicProperties;
use serde_json::json;

use super::until_merges;
use crate::harness::{Desk, Message, NewUser, Process, Queues, key, request};

const LANE: &str = "user-merge.requests";
/// In every marked value. Phone numbers have it in digits.
const MARKS: [&str; 2] = ["Zq7mark", "4930770077"];

/// Users with marks in every field, and triggers that raise errors which quote them.
async fn marked(desk: &Desk) {
    const SET: &str = "name = 'Zq7mark Ann', notes = 'Zq7mark notes', details = 'Zq7mark details',
        external_id = 'Zq7mark-ext', tags = '{Zq7mark-tag}', direct_line = '+4930770077001',
        user_fields = '{\"Zq7mark-field\": \"Zq7mark\"}', photo_url = 'https://x/Zq7mark.png'";
    for id in 1..=10 {
        let user = NewUser {
            set: SET,
            ..NewUser::default()
        };
        desk.user(id, user).await;
        desk.identity(id, "email", &format!("Zq7mark.{id}@example.org"), true)
            .await;
        desk.identity(id, "phone", &format!("+4930770077{id:03}"), true)
            .await;
        desk.identity(id, "x", &format!("@Zq7mark{id}"), true).await;
        desk.tickets(id * 100, 3, id, "open").await;
    }
    desk.execute(
        "UPDATE helpdesk.tickets SET subject = 'Zq7mark subject';
         CREATE FUNCTION helpdesk.quote() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             RAISE NOTICE 'Zq7mark %', NEW;
             RAISE EXCEPTION 'Zq7mark %', NEW USING DETAIL = 'Zq7mark detail', HINT = 'Zq7mark hint';
         END $$;
         CREATE TRIGGER quote BEFORE UPDATE ON helpdesk.users FOR EACH ROW
             WHEN (NEW.merged_into = 4) EXECUTE FUNCTION helpdesk.quote();
         -- A unique violation, whose detail quotes the row.
         DELETE FROM helpdesk.tickets WHERE requester_id = 6;
         CREATE UNIQUE INDEX one_subject ON helpdesk.tickets (account_id, subject) WHERE requester_id = 6",
    )
    .await;
}

fn assert_unmarked(what: &str, text: &str) {
    for mark in MARKS {
        assert!(!text.contains(mark), "{mark} in {what}: {text}");
    }
}

fn assert_message_unmarked(what: &str, message: &Message, body_too: bool) {
    assert_unmarked(what, &format!("{:?}", message.properties));
    if body_too {
        assert_unmarked(what, std::str::from_utf8(&message.body).unwrap());
    }
}

/// Messages that can't be read, with marks as values and as names.
async fn send_unreadable(queues: &Queues) -> usize {
    let good = json!({
        "schema_version": 1, "idempotency_key": "k", "account_id": 1, "source_user_id": 1, "target_user_id": 2
    });
    let with = |name: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[name] = value;
        body.to_string().into_bytes()
    };
    let bodies = [
        with("source_user_id", "Zq7mark.1@example.org".into()),
        with("reason", vec!["Zq7mark"; 3].into()),
        with("reason", "Zq7mark ".repeat(200).into()),
        with("idempotency_key", "Zq7mark \u{e9}".into()),
        with("Zq7mark.1@example.org", 1.into()),
        with("+4930770077001", 1.into()),
        with("4930770077001", 1.into()),
        with("Zq7mark Ann", json!({"Zq7mark": "Zq7mark"})),
        br#"{"reason": "Zq7mark"#.to_vec(),
        br#""Zq7mark""#.to_vec(),
        br#"{"Zq7mark a": 1, "Zq7mark a": 2}"#.to_vec(),
        b"Zq7mark \xff".to_vec(),
    ];
    for body in &bodies {
        queues.publish(LANE, body, BasicProperties::default()).await;
    }
    let other_id = BasicProperties::default().with_message_id("Zq7mark-id".into());
    queues
        .publish(LANE, good.to_string().as_bytes(), other_id)
        .await;
    bodies.len() + 1
}

#[tokio::test]
async fn no_mark_comes_out_anywhere() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.merge.carry_social_identities = true;
    desk.settings.retry.max_attempts = 1;
    marked(&desk).await;
    let mut worker = Process::worker_with(&desk, &[("RUST_LOG", "trace")])
        .ready()
        .await;

    let mut with_reason = request(1, 2);
    with_reason.reason = Some("Zq7mark asked for it".to_owned());
    queues.send(&with_reason).await;
    until_merges(&desk, "completed", 1).await;
    queues.send(&key("failing by trigger", 3, 4)).await;
    queues.send(&key("failing by index", 5, 6)).await;
    queues.send(&key("rejected", 7, 7)).await;
    queues.send(&key("rejected too", 1, 8)).await;
    for (state, count) in [("failed", 2), ("rejected", 2)] {
        until_merges(&desk, state, count).await;
    }
    let unreadable = send_unreadable(&queues).await;

    for n in 0..unreadable + 2 {
        let dead = queues.next("user-merge.dead").await;
        assert!(dead.header("x-reason").is_some() && dead.header("x-detail").is_some());
        let mut properties = dead.properties.clone();
        if dead.header("x-reason").as_deref() == Some("message_id_mismatch") {
            // The sender's own id, handed back with the sender's own bytes.
            properties = properties.with_message_id("".into());
        }
        let dead = Message {
            body: dead.body,
            properties,
        };
        assert_message_unmarked(&format!("dead letter {n}"), &dead, false);
    }
    for _ in 0..5 {
        assert_message_unmarked("an event", &queues.event().await, true);
    }
    assert_message_unmarked(
        "the deletion message",
        &queues.next("user-deletion.requests").await,
        true,
    );
    let recorded =
        "SELECT string_agg(concat(last_error, outcome, rejection), ' ') FROM user_merge.merges";
    assert_unmarked("user_merge.merges", &desk.text(recorded).await.unwrap());
    let headers =
        "SELECT string_agg(concat(headers, message_id, routing_key), ' ') FROM user_merge.outbox";
    assert_unmarked("user_merge.outbox", &desk.text(headers).await.unwrap());

    let (_, text) = worker.get("/metrics").await;
    assert_unmarked("/metrics", &text);
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
    let lines = worker.lines();
    let talks = |line: &String| line.contains("\"DEBUG\"");
    assert!(lines.iter().any(talks), "too quiet to tell");
    for line in lines {
        assert_unmarked("standard error", &line);
    }
    // The marks were there to be seen: in the rows, and in what PostgreSQL said of them.
    let kept = "SELECT count(*) FROM helpdesk.user_identities WHERE user_id = 2 AND value LIKE '%Zq7mark%'";
    assert_eq!(desk.number(kept).await, 4);
}
