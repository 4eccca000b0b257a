//! A merge that has moved its first chunk is finished, not aborted, if the users change meanwhile.

use user_merge::merge::Ending;

use crate::harness::{Desk, request};

/// A4 to A9: none of what would have been refused at admission stops a merge that has begun.
#[tokio::test]
async fn a5_to_a9_a_merge_that_has_begun_is_finished() {
    let mut desk = Desk::open().await;
    desk.chunks_of(10);
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    let first = desk.run_one_chunk(&request(1, 2)).await.unwrap();
    assert_eq!(
        (first.ending, first.moved.tickets.live),
        (Ending::SliceOver, 10)
    );

    desk.execute(
        "UPDATE helpdesk.accounts SET sign_on = '{jwt}';
         UPDATE helpdesk.users SET role = 'agent', verified = false, external_id = 'x', deleted_at = now()",
    )
    .await;
    let rest = desk.run(&request(1, 2)).await.unwrap();

    assert_eq!(rest.ending, Ending::Completed);
    let left = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id <> 2";
    assert_eq!(desk.number(left).await, 0);
}
