use futures_util::future::join_all;
use lapin::options::ExchangeDeleteOptions;
use user_merge::broker::{Connection, Destination, Lane, LinkState, PublishError, Subscriber};

use super::{TestBroker, message, rabbitmqctl};

const BULK: Destination = Destination::Lane(Lane::Bulk);
const INTERACTIVE: Destination = Destination::Lane(Lane::Interactive);

#[tokio::test]
async fn what_is_confirmed_is_stored_and_nothing_else() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    publisher.connect().await.unwrap();
    // The bulk lane's queue goes while both are published to: its messages are returned among the confirms of
    // the others, until the topology is declared anew.
    for _ in 0..5 {
        broker.delete_queue(broker.lane(Lane::Bulk)).await;
        let all = (0..300).map(|n| {
            let to = if n % 3 == 0 { BULK } else { INTERACTIVE };
            publisher.publish(message(to, &n.to_string()))
        });
        let results = join_all(all).await;
        let mut stored = 0;
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(()) => stored += u32::from(n % 3 == 0),
                Err(PublishError::Unroutable(_)) => {
                    assert_eq!(n % 3, 0, "a message that was stored is told lost");
                }
                Err(error) => panic!("{error}"),
            }
        }
        publisher.publish(message(BULK, "again")).await.unwrap();
        broker.ready(broker.lane(Lane::Bulk), stored + 1).await;
    }
    broker.ready(broker.lane(Lane::Interactive), 1_000).await;
    publisher.close().await;
    broker.end().await;
}

#[tokio::test]
async fn each_of_several_has_a_result_of_its_own() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    publisher.connect().await.unwrap();
    broker.delete_queue(broker.lane(Lane::Bulk)).await;
    let delay = std::time::Duration::from_secs(77);
    let lane = Lane::Bulk;
    let all = [
        INTERACTIVE,
        BULK,
        Destination::Retry { delay, lane },
        INTERACTIVE,
    ];
    let all = (0..).zip(all).map(|(n, to)| message(to, &n.to_string()));
    let results = publisher.publish_all(all.collect(), Lane::Bulk).await;
    assert!(
        matches!(
            results[..],
            [
                Ok(()),
                Err(PublishError::Unroutable(_)),
                Err(PublishError::Invalid(_)),
                Ok(())
            ]
        ),
        "{results:?}"
    );
    broker.ready(broker.lane(Lane::Interactive), 2).await;
    publisher.close().await;
    let results = publisher
        .publish_all(vec![message(BULK, "late"); 2], Lane::Bulk)
        .await;
    assert!(
        matches!(
            results[..],
            [Err(PublishError::Closed), Err(PublishError::Closed)]
        ),
        "{results:?}"
    );
    broker.end().await;
}

#[tokio::test]
async fn an_exchange_that_is_gone_is_declared_anew() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    let event = || message(Destination::Event("merge.completed".into()), "e");
    publisher.publish(event()).await.unwrap();
    let channel = broker.raw.create_channel().await.unwrap();
    let events = broker.settings.names.events.as_str();
    channel
        .exchange_delete(events.into(), ExchangeDeleteOptions::default())
        .await
        .unwrap();
    let error = publisher.publish(event()).await.unwrap_err();
    assert!(matches!(error, PublishError::Unroutable(_)), "{error}");
    publisher.publish(event()).await.unwrap();
    publisher.close().await;
    broker.end().await;
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    let queue = broker.lane(Lane::Bulk);
    let policy = [
        "set_policy",
        queue,
        queue,
        r#"{"max-length": 2}"#,
        "--apply-to",
        "queues",
    ];
    if !rabbitmqctl(&policy).await {
        return broker.end().await;
    }
    let mut refused = 0;
    for n in 0..20 {
        match publisher.publish(message(BULK, &n.to_string())).await {
            Ok(()) => {}
            Err(PublishError::Nacked(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0);
    broker.ready(queue, 20 - refused).await;
    publisher
        .publish(message(INTERACTIVE, "other"))
        .await
        .unwrap();
    broker.take(queue).await;
    broker.take(queue).await;
    while let Err(error) = publisher.publish(message(BULK, "room again")).await {
        assert!(matches!(error, PublishError::Nacked(_)), "{error}");
        broker.take(queue).await;
    }
    rabbitmqctl(&["clear_policy", queue]).await;
    publisher.close().await;
    broker.end().await;
}

#[tokio::test]
async fn given_up_publishes_leave_the_others_alone() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    publisher.connect().await.unwrap();
    for n in 0..300_u64 {
        let publish = publisher.publish(message(BULK, &n.to_string()));
        drop(tokio::time::timeout(std::time::Duration::from_micros(n * 20), publish).await);
    }
    let all = (0..300).map(|n| publisher.publish(message(INTERACTIVE, &n.to_string())));
    for result in join_all(all).await {
        result.unwrap();
    }
    broker.ready(broker.lane(Lane::Interactive), 300).await;
    publisher.close().await;
    broker.end().await;
}

#[tokio::test]
async fn what_can_not_be_sent_fails_at_once_and_lasts() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    let long = publisher
        .publish(message(BULK, &"k".repeat(256)))
        .await
        .unwrap_err();
    let delay = std::time::Duration::from_secs(77);
    let unknown = publisher
        .publish(message(
            Destination::Retry {
                delay,
                lane: Lane::Bulk,
            },
            "k",
        ))
        .await
        .unwrap_err();
    let key = publisher
        .publish(message(Destination::Event("k".repeat(256)), "k"))
        .await
        .unwrap_err();
    for error in [long, unknown, key] {
        assert!(
            matches!(error, PublishError::Invalid(_)) && error.is_lasting(),
            "{error}"
        );
    }
    publisher.close().await;
    let closed = publisher.publish(message(BULK, "late")).await.unwrap_err();
    assert!(matches!(closed, PublishError::Closed), "{closed}");
    broker.end().await;
}

#[tokio::test]
async fn a_subscriber_hears_what_is_published_after_it_opened() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    assert_eq!(*publisher.state().borrow(), LinkState::Down);
    let event = |key: &str, id: &str| message(Destination::Event(key.into()), id);
    publisher
        .publish(event("merge.completed", "before"))
        .await
        .unwrap();
    assert_eq!(*publisher.state().borrow(), LinkState::Up);
    let connection = Connection::open(&broker.settings, "listening")
        .await
        .unwrap();
    let mut subscriber = Subscriber::open(&connection, &broker.settings.names)
        .await
        .unwrap();
    for n in 0..250 {
        publisher
            .publish(event("merge.rejected", &n.to_string()))
            .await
            .unwrap();
    }
    for n in 0..250 {
        assert_eq!(
            subscriber.next().await.unwrap().unwrap(),
            format!("body of {n}").into_bytes()
        );
    }
    connection.close().await;
    publisher.close().await;
    broker.end().await;
}
