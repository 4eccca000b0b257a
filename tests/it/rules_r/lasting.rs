//! R7: errors that won't pass are not retried.

use super::assert_each_moved_once;
use crate::harness::{Desk, Queues, Running, request};

/// Marks what the help desk's error messages quote: it must appear nowhere.
const MARK: &str = "Zq7";

/// R7: an error that lasts fails the merge at once; the dead letter can be replayed when it is put right.
#[tokio::test]
async fn r7_a_lasting_error_fails_the_merge_at_once() {
    let trigger = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN RAISE EXCEPTION '{MARK}' USING DETAIL = '{MARK}'; END$$;
         CREATE TRIGGER refuse BEFORE UPDATE ON helpdesk.tickets FOR EACH ROW EXECUTE FUNCTION refuse()"
    );
    let check =
        format!("ALTER TABLE helpdesk.tickets ADD CONSTRAINT {MARK} CHECK (requester_id <> 2)");
    let cases = [
        (
            trigger.as_str(),
            "DROP TRIGGER refuse ON helpdesk.tickets",
            "P0001",
            "other",
        ),
        (
            check.as_str(),
            "ALTER TABLE helpdesk.tickets DROP CONSTRAINT Zq7",
            "23514",
            "other",
        ),
        (
            "ALTER TABLE helpdesk.ticket_events RENAME COLUMN via TO by",
            "ALTER TABLE helpdesk.ticket_events RENAME COLUMN by TO via",
            "42703",
            "schema",
        ),
    ];
    for (fault, repair, sqlstate, reason) in cases {
        for tickets in [3, 25] {
            fails_at_once(fault, repair, sqlstate, reason, tickets).await;
        }
    }
}

async fn fails_at_once(fault: &str, repair: &str, sqlstate: &str, reason: &str, tickets: i64) {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.chunks_of(10);
    desk.users([1, 2]).await;
    desk.tickets(1, tickets, 1, "open").await;
    desk.execute(fault).await;
    let worker = Running::start(&desk).await;
    queues.send(&request(1, 2)).await;

    let event = queues.event().await;
    let dead = queues.next("user-merge.dead").await;
    let body = event.json();
    assert_eq!(body["type"], "merge.failed");
    assert_eq!(
        body["failure"],
        serde_json::json!({"reason": reason, "sqlstate": sqlstate})
    );
    assert_eq!(body["attempts"], 1);
    let headers = ["x-reason", "x-detail", "x-lane", "x-attempts"].map(|name| dead.header(name));
    let expected = [reason, sqlstate, "interactive", "1"];
    assert_eq!(headers, expected.map(|text| Some(text.to_owned())));
    let row = desk
        .text("SELECT m::text FROM user_merge.merges m")
        .await
        .unwrap();
    let seen = format!("{row} {body} {dead:?}");
    assert!(
        !seen.contains(MARK),
        "an error's text was handed on: {seen}"
    );
    let state =
        "SELECT concat_ws(' ', state, holds_users, attempts, last_error) FROM user_merge.merges";
    assert_eq!(
        desk.text(state).await,
        Some(format!("failed f 1 {sqlstate}"))
    );
    assert_each_moved_once(&desk, 0).await;

    queues
        .publish("user-merge.requests", &dead.body, dead.properties)
        .await;
    let again = queues.event().await;
    let dead = queues.next("user-merge.dead").await;
    assert_eq!(again.json()["type"], "merge.failed");
    assert_ne!(
        again.properties.message_id(),
        event.properties.message_id(),
        "a second failure is no repetition of the first"
    );

    desk.execute(repair).await;
    queues
        .publish("user-merge.requests", &dead.body, dead.properties)
        .await;
    let event = queues.event().await.json();
    assert_eq!(event["type"], "merge.completed");
    assert_eq!(event["attempts"], 1, "a replay counts its tries anew");
    assert_each_moved_once(&desk, tickets).await;
    worker.stop().await;
    for queue in [
        "user-merge.retry.1s",
        "user-merge.retry.2s",
        "user-merge.dead",
    ] {
        assert!(queues.peek(queue).await.is_none(), "{queue}");
    }
}
