//! Merges that a batch leaves to themselves: too large for one transaction, or taken already.

use user_merge::domain::MergeRequest;
use user_merge::merge::Ending;

use super::{assert_log_is_exact, endings, traces};
use crate::harness::{Desk, request};

const DONE: Option<Ending> = Some(Ending::Completed);

/// Three pairs with six rows each to move; chunks of as many.
async fn desk() -> (Desk, [MergeRequest; 3]) {
    let mut desk = Desk::open().await;
    desk.chunks_of(6);
    desk.settings.chunk.max = 18;
    desk.users(1..=9).await;
    desk.tickets(900, 1, 9, "open").await;
    for source in [1, 3, 5] {
        desk.tickets(100 * source, 3, source, "open").await;
        desk.archived_tickets(100 * source + 50, 2, source).await;
        desk.cc(900, source).await;
    }
    (desk, [request(1, 2), request(3, 4), request(5, 6)])
}

/// A merge of a row more than a chunk goes by itself, in chunks; one of as many as a chunk goes with the others.
#[tokio::test]
async fn a_large_one_goes_by_itself() {
    let (desk, requests) = desk().await;
    desk.tickets(360, 1, 3, "closed").await;
    let before = traces(&desk, &requests[1]).await;
    let reports = desk.run_together(&requests).await;
    assert_eq!(endings(&reports), [DONE, None, DONE]);
    assert_eq!(traces(&desk, &requests[1]).await, before, "it was touched");
    let ending = desk.run(&requests[1]).await.unwrap().ending;
    assert_eq!(ending, Ending::Completed);
    let fences =
        "SELECT string_agg(fence::text, ' ' ORDER BY source_user_id) FROM user_merge.merges";
    assert_eq!(desk.text(fences).await.unwrap(), "0 1 0");
    assert_log_is_exact(&desk).await;
    desk.assert_verified().await;
}

/// However many there are, together they move no more than one chunk may: who finds no room goes by itself.
#[tokio::test]
async fn a_batch_has_room_for_the_largest_chunk() {
    let (mut desk, requests) = desk().await;
    desk.settings.chunk.max = 17;
    let before = traces(&desk, &requests[2]).await;
    let reports = desk.run_together(&requests).await;
    assert_eq!(endings(&reports), [DONE, DONE, None]);
    assert_eq!(traces(&desk, &requests[2]).await, before, "it was touched");
    let ending = desk.run(&requests[2]).await.unwrap().ending;
    assert_eq!(ending, Ending::Completed);
    desk.assert_verified().await;
}

/// R4, R5: a merge that was begun goes on by itself, however little is left of it: its chunks and its number are
/// another way's.
#[tokio::test]
async fn r4_a_merge_that_was_begun_goes_on_by_itself() {
    let (desk, requests) = desk().await;
    desk.tickets(360, 1, 3, "closed").await;
    let paused = desk.run_one_chunk(&requests[1]).await.unwrap();
    assert_eq!(paused.ending, Ending::SliceOver);
    let before = traces(&desk, &requests[1]).await;
    let reports = desk.run_together(&requests).await;
    assert_eq!(endings(&reports), [DONE, None, DONE]);
    assert_eq!(traces(&desk, &requests[1]).await, before, "it was touched");
    let ending = desk.run(&requests[1]).await.unwrap().ending;
    assert_eq!(ending, Ending::Completed);
    assert_log_is_exact(&desk).await;
    desk.assert_verified().await;
}

/// R7: tries that failed before count on: the event says how many it took.
#[tokio::test]
async fn r7_tries_that_failed_before_are_counted() {
    let (desk, requests) = desk().await;
    desk.execute(
        "INSERT INTO user_merge.merges
             (account_id, id, idempotency_key, source_user_id, target_user_id, lane, state, attempts, last_error)
         VALUES (1, gen_random_uuid(), 'merge-3-4', 3, 4, 'interactive', 'running', 4, '40001'),
                (1, gen_random_uuid(), 'merge-5-6', 5, 6, 'interactive', 'failed', 9, '40001')",
    )
    .await;
    let reports = desk.run_together(&requests).await;
    assert_eq!(endings(&reports), [DONE; 3]);
    let attempts = "SELECT outcome->>'attempts' FROM user_merge.merges ORDER BY source_user_id";
    assert_eq!(desk.list(attempts).await, ["1", "5", "1"]);
    assert_log_is_exact(&desk).await;
}
