//! Rules R: requests and retries.

use user_merge::merge::Ending;

use crate::harness::{Desk, request};

/// R1: same key, same request: the recorded outcome is repeated, nothing is done twice.
#[tokio::test]
async fn r1_a_repeated_request_gets_the_recorded_outcome() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.tickets(10, 3, 1, "open").await;

    let first = desk.run(&request(1, 2)).await.unwrap();
    let again = desk.run(&request(1, 2)).await.unwrap();

    assert_eq!(
        (first.ending, again.ending),
        (Ending::Completed, Ending::Repeated)
    );
    assert_eq!(again.merge, first.merge);
    let event = first
        .promised
        .iter()
        .find(|message| message.draft.routing_key == "merge.completed")
        .unwrap();
    assert_eq!(again.promised.len(), 1, "no second deletion message");
    assert_eq!(again.promised[0].draft, event.draft);
    assert_eq!(
        desk.number("SELECT count(*) FROM helpdesk.ticket_events")
            .await,
        3
    );
}
