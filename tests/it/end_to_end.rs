//! A request on the queue ends as tickets moved and one deletion message.

use crate::harness::{Desk, Queues, Running, request};

#[tokio::test]
async fn a_request_ends_as_one_deletion_message_and_one_event() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    desk.tickets(10, 3, 1, "open").await;
    desk.tickets(20, 2, 1, "closed").await;
    desk.archived_tickets(30, 4, 1).await;
    let worker = Running::start(&desk).await;

    queues.send(&request(1, 2)).await;

    let event = queues.event().await.json();
    assert_eq!(event["type"], "merge.completed");
    assert_eq!(
        event["tickets"],
        serde_json::json!({"live": 3, "closed": 2, "archived": 4})
    );
    let deletion = queues.next("user-deletion.requests").await;
    assert_eq!(deletion.json()["idempotency_key"], "user-deletion:1:1");
    assert_eq!(deletion.json()["merged_into"], 2);
    assert_eq!(deletion.json()["merge_id"], event["merge_id"]);
    assert_eq!(
        deletion.properties.message_id().as_ref().unwrap().as_str(),
        "user-deletion:1:1"
    );
    assert_eq!(
        desk.number("SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2")
            .await,
        5
    );
    assert_eq!(
        desk.number("SELECT count(*) FROM helpdesk.archived_tickets WHERE requester_id = 2")
            .await,
        4
    );

    worker.stop().await;
    assert!(queues.events().await.is_empty());
    assert!(queues.peek("user-deletion.requests").await.is_none());
    assert_eq!(
        desk.number("SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL")
            .await,
        0
    );
}
