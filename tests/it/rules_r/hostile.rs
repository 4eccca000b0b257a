//! R6 where a message is made to end the process: with the real one.

use crate::harness::raw::{HEADERS, long, publish, short};
use crate::harness::{Desk, Process, Queues, eventually, request};

/// As many levels as a frame of 128 KiB holds, with some room for the rest of it.
const LEVELS: usize = 20_000;

/// R6: headers nested without end are read and dropped by recursion in the client library; neither that nor the
/// copy for the dead-letter queue ends the worker, and the next message is done.
#[tokio::test]
async fn r6_headers_nested_without_end_do_not_end_the_worker() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.users([1, 2]).await;
    let mut worker = Process::worker(&desk).ready().await;

    let mut nested = Vec::new();
    for _ in 0..LEVELS {
        nested = [b"A", &long(&nested)[..]].concat();
    }
    let headers = [&short(b"deep")[..], &nested].concat();
    publish(
        &queues.name("user-merge.requests"),
        HEADERS,
        &long(&headers),
        b"{}",
    );
    queues.send(&request(1, 2)).await;

    eventually("the next merge", || async {
        let done = "SELECT count(*) FROM user_merge.merges WHERE state = 'completed'";
        (desk.number(done).await == 1).then_some(())
    })
    .await;
    let dead = queues.next("user-merge.dead").await;
    assert_eq!(dead.header("x-reason").as_deref(), Some("missing_field"));
    assert!(worker.runs());
}

/// R6: headers larger than the frames of a usual connection end it once; the next one reads them, and the request is
/// done like its neighbours.
#[tokio::test]
async fn r6_headers_of_many_kib_cost_a_connection_and_no_request() {
    let mut desk = Desk::open().await;
    // Returned a third time, the broker would make it a dead letter.
    desk.settings.broker.delivery_limit = 2;
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=4).await;
    let note = [&short(b"note")[..], b"S", &long(&vec![b'n'; 100_000])].concat();
    let body = r#"{"schema_version": 1, "idempotency_key": "large", "account_id": 1,
        "source_user_id": 4, "target_user_id": 1}"#;
    let lane = queues.name("user-merge.requests");
    publish(&lane, HEADERS, &long(&note), body.as_bytes());
    for source in 2..=3 {
        queues.send(&request(source, 1)).await;
    }
    let worker = Process::worker(&desk).ready().await;

    eventually("all of them", || async {
        let done = "SELECT count(*) FROM user_merge.merges WHERE state = 'completed'";
        (desk.number(done).await == 3).then_some(())
    })
    .await;
    assert_eq!(queues.count("user-merge.dead").await, 0);
    worker.signal("TERM");
}

/// R6: a frame that the client library can't read ends the connection each time, until the broker itself
/// dead-letters the message; its neighbours are done all the same.
#[tokio::test]
async fn r6_a_frame_that_can_not_be_read_ends_as_a_dead_letter() {
    let mut desk = Desk::open().await;
    desk.settings.broker.delivery_limit = 3;
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=6).await;
    let bad_id = crate::harness::raw::MESSAGE_ID;
    publish(
        &queues.name("user-merge.requests"),
        bad_id,
        &short(b"\xff\xfe"),
        b"{}",
    );
    for source in 2..=6 {
        queues.send(&request(source, 1)).await;
    }
    let worker = Process::worker(&desk).ready().await;

    eventually("all the others", || async {
        let done = "SELECT count(*) FROM user_merge.merges WHERE state = 'completed'";
        (desk.number(done).await == 5).then_some(())
    })
    .await;
    eventually("the broker's own dead letter", || async {
        (queues.count("user-merge.dead").await == 1).then_some(())
    })
    .await;
    worker.signal("TERM");
}
