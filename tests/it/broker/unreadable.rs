//! Properties that the client library can't read, written by hand, because it can't write them either (rule R6).

use std::time::Duration;

use user_merge::broker::{Destination, Error, Lane, Session};

use super::{TestBroker, message};
use crate::harness::raw::{HEADERS, MESSAGE_ID, long, publish, short};

const LANE: Lane = Lane::Interactive;

#[tokio::test]
async fn properties_that_are_not_utf8_block_nothing_for_long() {
    let broker = TestBroker::declared().await;
    publish(
        broker.lane(LANE),
        MESSAGE_ID,
        &short(b"\xff\xfe"),
        b"bad id",
    );
    let header = [&short(b"\xff")[..], b"S", &long(b"value")].concat();
    publish(broker.lane(LANE), HEADERS, &long(&header), b"bad header");
    let publisher = broker.publisher();
    for n in 0..3 {
        publisher
            .publish(message(Destination::Lane(LANE), &n.to_string()))
            .await
            .unwrap();
    }
    // With a prefetch of 1 each failure counts for the bad message alone.
    let (mut failures, mut read) = (0, Vec::new());
    while read.len() < 3 {
        let mut session = Session::open(&broker.settings, LANE, 1).await.unwrap();
        loop {
            match tokio::time::timeout(Duration::from_secs(2), session.next()).await {
                Ok(Some(Ok(delivery))) => {
                    assert_eq!(delivery.delivery_count, 0, "a neighbour was counted");
                    let _ = delivery.ack().await.unwrap();
                    read.push(delivery.properties.message_id.unwrap());
                }
                Ok(Some(Err(error))) => {
                    assert!(
                        matches!(error, Error::Unreadable { .. }) && !error.is_lasting(),
                        "{error}"
                    );
                    failures += 1;
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        session.close().await;
        assert!(
            failures <= 2 * (broker.settings.delivery_limit + 1),
            "no end to it"
        );
    }
    assert_eq!(read, ["0", "1", "2"]);
    broker.ready(&broker.settings.names.dead, 2).await;
    publisher.close().await;
    broker.end().await;
}
