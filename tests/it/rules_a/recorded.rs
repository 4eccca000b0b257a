//! A rejection is a normal outcome: recorded, announced, acknowledged, never a retry.

use crate::harness::{Desk, NewUser, Queues, Running, eventually, request};

/// A6: a rejection is one row, one event and no other message, and changes nothing.
#[tokio::test]
async fn a6_a_rejection_is_recorded_announced_and_not_retried() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    let agent = NewUser {
        role: "agent",
        ..NewUser::default()
    };
    desk.user(1, agent).await;
    desk.users([2]).await;
    desk.tickets(10, 3, 1, "open").await;
    let before = desk
        .text("SELECT string_agg(u::text, ' ' ORDER BY id) FROM helpdesk.users u")
        .await;
    let worker = Running::start(&desk).await;

    queues.send(&request(1, 2)).await;
    let event = queues.event().await;

    assert_eq!(event.json()["type"], "merge.rejected");
    assert_eq!(
        event.json()["rejection"],
        serde_json::json!({"reason": "source_not_end_user"})
    );
    assert_eq!(event.json()["attempts"], 1);
    let recorded = desk
        .text("SELECT concat_ws(' ', state, rejection, holds_users, outcome ->> 'merge_id' = id::text) FROM user_merge.merges")
        .await;
    assert_eq!(
        recorded.as_deref(),
        Some("rejected source_not_end_user f t")
    );
    eventually("the event's row marked", || async {
        let pending = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
        (desk.number(pending).await == 0).then_some(())
    })
    .await;

    // The users may become mergeable: the recorded outcome stands, word for word, under the same message id.
    desk.execute("UPDATE helpdesk.users SET role = 'end_user'")
        .await;
    queues.send(&request(1, 2)).await;
    let again = queues.event().await;
    assert_eq!(again.body, event.body);
    assert_eq!(again.properties.message_id(), event.properties.message_id());
    desk.execute("UPDATE helpdesk.users SET role = 'agent' WHERE id = 1")
        .await;

    worker.stop().await;
    for queue in [
        "user-merge.requests",
        "user-merge.retry.1s",
        "user-merge.retry.2s",
        "user-merge.dead",
        "user-deletion.requests",
    ] {
        assert!(
            queues.peek(queue).await.is_none(),
            "something is left in {queue}"
        );
    }
    let after = desk
        .text("SELECT string_agg(u::text, ' ' ORDER BY id) FROM helpdesk.users u")
        .await;
    assert_eq!(after, before);
    assert_eq!(
        desk.number("SELECT count(*) FROM helpdesk.ticket_events")
            .await,
        0
    );
}
