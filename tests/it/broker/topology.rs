use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use user_merge::broker::{Connection, Destination, Error, Lane, Session, declare};

use super::{LIMIT, TestBroker, message, rabbitmqctl};

#[tokio::test]
async fn declaring_again_changes_nothing() {
    let broker = TestBroker::declared().await;
    let settings = &broker.settings;
    let one = Connection::open(&broker.settings, "one").await.unwrap();
    let two = Connection::open(&broker.settings, "two").await.unwrap();
    let (first, second) = tokio::join!(declare(&one, settings), declare(&two, settings));
    first.unwrap();
    second.unwrap();
    one.close().await;
    two.close().await;
    broker.end().await;
}

#[tokio::test]
async fn a_put_off_request_returns_to_its_own_lane() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    let delay = Duration::from_secs(1);
    let began = Instant::now();
    for lane in Lane::ALL {
        let mut outgoing = message(Destination::Retry { delay, lane }, lane.label());
        outgoing.properties.attempts = Some(3);
        outgoing.properties.lane = Some(lane);
        publisher.publish(outgoing).await.unwrap();
    }
    for lane in Lane::ALL {
        let mut session = Session::open(&broker.settings, lane, 5).await.unwrap();
        let back = tokio::time::timeout(LIMIT, session.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(began.elapsed() >= delay);
        assert_eq!(back.body, format!("body of {lane}").into_bytes());
        assert_eq!(back.properties.message_id.as_deref(), Some(lane.label()));
        assert_eq!(
            (back.properties.attempts, back.properties.lane),
            (Some(3), Some(lane))
        );
        let _ = back.ack().await.unwrap();
        session.close().await;
    }
    publisher.close().await;
    broker.end().await;
}

#[tokio::test]
async fn a_queue_of_another_kind_is_a_lasting_error_that_names_it() {
    let broker = TestBroker::start().await;
    let channel = broker.raw.create_channel().await.unwrap();
    let queue = broker.lane(Lane::Bulk);
    channel
        .queue_declare(
            queue.into(),
            QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            },
            FieldTable::default(),
        )
        .await
        .unwrap();
    let error = Session::open(&broker.settings, Lane::Interactive, 5)
        .await
        .err()
        .unwrap();
    assert!(
        error.is_lasting() && error.to_string().contains(queue),
        "{error}"
    );
    broker.delete_queue(queue).await;
    Session::open(&broker.settings, Lane::Interactive, 5)
        .await
        .unwrap()
        .close()
        .await;
    broker.end().await;
}

#[tokio::test]
async fn a_user_who_may_not_declare_uses_what_is_there() {
    let mut broker = TestBroker::start().await;
    let user = broker.settings.names.requests.replace(".requests", "");
    if !rabbitmqctl(&["add_user", &user, "secret"]).await {
        return;
    }
    rabbitmqctl(&["set_permissions", &user, "^$", ".*", ".*"]).await;
    let ours = broker.settings.url.clone();
    broker.settings.url = super::url()
        .replace("guest:guest", &format!("{user}:secret"))
        .into();
    let error = Session::open(&broker.settings, Lane::Bulk, 5)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&error, Error::Topology { name, .. } if *name == broker.settings.names.dead),
        "{error}"
    );
    assert!(error.is_lasting());

    let theirs = std::mem::replace(&mut broker.settings.url, ours);
    broker.publisher().connect().await.unwrap();
    broker.settings.url = theirs;
    let publisher = broker.publisher();
    publisher
        .publish(message(Destination::Lane(Lane::Bulk), "1"))
        .await
        .unwrap();
    Session::open(&broker.settings, Lane::Bulk, 5)
        .await
        .unwrap()
        .close()
        .await;
    publisher.close().await;
    rabbitmqctl(&["delete_user", &user]).await;
    broker.end().await;
}

#[tokio::test]
async fn a_message_that_always_comes_back_ends_as_a_dead_letter_with_its_bytes() {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    let mut outgoing = message(Destination::Lane(Lane::Interactive), "poison");
    outgoing.properties.correlation_id = Some("c-1".into());
    publisher.publish(outgoing).await.unwrap();
    let mut session = Session::open(&broker.settings, Lane::Interactive, 1)
        .await
        .unwrap();
    let mut deliveries = 0;
    while let Ok(Some(delivery)) =
        tokio::time::timeout(Duration::from_secs(2), session.next()).await
    {
        let delivery = delivery.unwrap();
        assert_eq!(delivery.delivery_count, deliveries);
        deliveries += 1;
        let _ = delivery.requeue().await.unwrap();
    }
    assert_eq!(deliveries, broker.settings.delivery_limit + 1);
    let dead = broker.take(&broker.settings.names.dead).await;
    assert_eq!(dead.data, b"body of poison");
    assert_eq!(
        dead.properties.correlation_id().as_ref().unwrap().as_str(),
        "c-1"
    );
    session.close().await;
    publisher.close().await;
    broker.end().await;
}
