use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use tokio::task::JoinSet;
use user_merge::broker::{Delivery, Destination, Error, Lane, Session, Settled};

use super::{LIMIT, TestBroker, message, rabbitmqctl};
use crate::harness::Dice;

const LANE: Lane = Lane::Interactive;

async fn next(session: &mut Session) -> Result<Delivery, Error> {
    tokio::time::timeout(LIMIT, session.next())
        .await
        .expect("something in time")
        .expect("not cancelled")
}

async fn with_messages(count: u32) -> TestBroker {
    let broker = TestBroker::declared().await;
    let publisher = broker.publisher();
    for n in 0..count {
        publisher
            .publish(message(Destination::Lane(LANE), &n.to_string()))
            .await
            .unwrap();
    }
    publisher.close().await;
    broker
}

#[tokio::test]
async fn requeued_comes_again_and_acknowledged_does_not() {
    let broker = with_messages(1).await;
    let mut session = Session::open(&broker.settings, LANE, 1).await.unwrap();
    let first = next(&mut session).await.unwrap();
    assert_eq!((first.delivery_count, first.redelivered), (0, false));
    assert_eq!(first.requeue().await.unwrap(), Settled::Done);
    let second = next(&mut session).await.unwrap();
    assert_eq!((second.delivery_count, second.redelivered), (1, true));
    assert_eq!(second.ack().await.unwrap(), Settled::Done);
    assert_eq!(
        second.ack().await.unwrap(),
        Settled::Stale,
        "settled once only"
    );
    session.close().await;
    broker.ready(broker.lane(LANE), 0).await;
    broker.end().await;
}

#[tokio::test]
async fn an_acknowledgement_after_the_session_is_stale() {
    let broker = with_messages(1).await;
    let mut session = Session::open(&broker.settings, LANE, 1).await.unwrap();
    let delivery = next(&mut session).await.unwrap();
    session.close().await;
    assert!(delivery.is_stale());
    assert_eq!(delivery.ack().await.unwrap(), Settled::Stale);
    let mut session = Session::open(&broker.settings, LANE, 1).await.unwrap();
    assert!(next(&mut session).await.unwrap().redelivered);
    session.close().await;
    broker.end().await;
}

#[tokio::test]
async fn a_deleted_queue_is_an_error_and_the_next_session_declares_it() {
    let broker = with_messages(0).await;
    let mut session = Session::open(&broker.settings, LANE, 1).await.unwrap();
    broker.delete_queue(broker.lane(LANE)).await;
    let error = next(&mut session).await.unwrap_err();
    assert!(
        matches!(error, Error::Cancelled { .. }) && !error.is_lasting(),
        "{error}"
    );
    assert!(!session.is_open());
    assert!(session.next().await.is_none());
    session.close().await;
    Session::open(&broker.settings, LANE, 1)
        .await
        .unwrap()
        .close()
        .await;
    broker.end().await;
}

#[tokio::test]
async fn cancelling_returns_what_was_not_handed_out() {
    let broker = with_messages(10).await;
    let mut session = Session::open(&broker.settings, LANE, 6).await.unwrap();
    let working = next(&mut session).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(session.cancel(Vec::new()).await.unwrap(), 5);
    assert!(session.next().await.is_none());
    assert_eq!(working.ack().await.unwrap(), Settled::Done);
    session.close().await;
    broker.ready(broker.lane(LANE), 9).await;
    broker.end().await;
}

/// In groups, one by one and given back, all at once and in any order: none ends the channel, none is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_in_any_order_is_settled_once() {
    let mut dice = Dice::new();
    let broker = with_messages(400).await;
    let mut session = Session::open(&broker.settings, LANE, 150).await.unwrap();
    let mut at_work = JoinSet::new();
    let mut acknowledged = 0;
    while acknowledged < 400 {
        let mut group = vec![next(&mut session).await.unwrap()];
        while group.len() < 20
            && let Some(Some(delivery)) = session.next().now_or_never()
        {
            group.push(delivery.unwrap());
        }
        if dice.percent(30) {
            dice.shuffle(&mut group);
        }
        // Those that are not given back again and again come to their end.
        let is_done = group[0].delivery_count > 3 || dice.percent(70);
        if is_done {
            acknowledged += group.len();
        }
        let pause = Duration::from_micros(dice.below(3_000));
        at_work.spawn(async move {
            tokio::time::sleep(pause).await;
            let all: Vec<_> = group.iter().collect();
            let settled = if is_done {
                Delivery::ack_all(&all).await
            } else {
                Delivery::requeue_all(&all).await
            };
            assert_eq!(settled.unwrap(), Settled::Done);
        });
    }
    at_work.join_all().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(session.is_open(), "a settlement ended the channel");
    session.close().await;
    // What was not settled would be there again.
    tokio::time::sleep(Duration::from_millis(300)).await;
    broker.ready(broker.lane(LANE), 0).await;
    broker.end().await;
}

/// An acknowledgement for many is for none of those before it that are still at work.
#[tokio::test]
async fn one_that_is_at_work_is_not_acknowledged_with_those_after_it() {
    let broker = with_messages(10).await;
    let mut session = Session::open(&broker.settings, LANE, 10).await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..10 {
        taken.push(next(&mut session).await.unwrap());
    }
    let all_but: Vec<_> = taken
        .iter()
        .filter(|one| one.body != taken[3].body)
        .collect();
    assert_eq!(Delivery::ack_all(&all_but).await.unwrap(), Settled::Done);
    assert_eq!(Delivery::ack_all(&all_but).await.unwrap(), Settled::Stale);
    session.close().await;
    broker.ready(broker.lane(LANE), 1).await;
    assert_eq!(broker.take(broker.lane(LANE)).await.data, taken[3].body);
    broker.end().await;
}

#[tokio::test]
async fn an_operator_closing_the_connection_ends_the_session_at_once() {
    let mut broker = with_messages(3).await;
    let user = broker.settings.names.requests.replace(".requests", "");
    if !rabbitmqctl(&["add_user", &user, "secret"]).await {
        return broker.end().await;
    }
    rabbitmqctl(&["set_permissions", &user, ".*", ".*", ".*"]).await;
    broker.settings.url = super::url()
        .replace("guest:guest", &format!("{user}:secret"))
        .into();
    let mut session = Session::open(&broker.settings, LANE, 2).await.unwrap();
    let publisher = broker.publisher();
    publisher.connect().await.unwrap();
    let working = next(&mut session).await.unwrap();
    rabbitmqctl(&["close_all_user_connections", &user, "maintenance"]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        !session.is_open(),
        "told without anyone waiting for a message"
    );
    assert_eq!(
        *publisher.state().borrow(),
        user_merge::broker::LinkState::Down
    );
    let error = next(&mut session).await.unwrap_err();
    assert!(
        !error.is_lasting() && error.to_string().contains("maintenance"),
        "{error}"
    );
    assert_eq!(working.ack().await.unwrap(), Settled::Stale);
    session.close().await;

    publisher
        .publish(message(Destination::Lane(LANE), "3"))
        .await
        .unwrap();
    let mut session = Session::open(&broker.settings, LANE, 2).await.unwrap();
    for _ in 0..4 {
        assert_eq!(
            next(&mut session).await.unwrap().ack().await.unwrap(),
            Settled::Done
        );
    }
    session.close().await;
    publisher.close().await;
    rabbitmqctl(&["delete_user", &user]).await;
    broker.end().await;
}

#[tokio::test]
async fn hostile_properties_count_as_missing() {
    let broker = TestBroker::declared().await;
    let mut headers = FieldTable::default();
    let not_utf8 = AMQPValue::LongString(vec![0xff, 0xfe].into());
    let mut deep = AMQPValue::Boolean(true);
    for _ in 0..60 {
        deep = AMQPValue::FieldArray(FieldArray::from(vec![deep]));
    }
    headers.insert("traceparent".into(), not_utf8.clone());
    headers.insert("x-reason".into(), not_utf8);
    headers.insert("x-attempts".into(), AMQPValue::LongLongInt(-1));
    headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(i64::MAX));
    headers.insert("x-lane".into(), AMQPValue::LongString("express".into()));
    headers.insert(
        "x-detail".into(),
        AMQPValue::LongString("é".repeat(5_000).into()),
    );
    headers.insert(
        "x-deferred-since".into(),
        AMQPValue::FieldTable(BTreeMap::new().into()),
    );
    headers.insert("deep".into(), deep);
    for n in 0..2_000 {
        headers.insert(format!("h{n}").into(), AMQPValue::LongLongInt(n));
    }
    let channel = broker.raw.create_channel().await.unwrap();
    let properties = BasicProperties::default()
        .with_headers(headers)
        .with_message_id("m".repeat(255).into());
    let queue = broker.lane(LANE);
    let sent = channel.basic_publish(
        "".into(),
        queue.into(),
        BasicPublishOptions::default(),
        b"",
        properties,
    );
    drop(sent.await.unwrap().await.unwrap());
    let mut session = Session::open(&broker.settings, LANE, 1).await.unwrap();
    let delivery = next(&mut session).await.unwrap();
    let read = &delivery.properties;
    assert!(
        read.traceparent.is_none()
            && read.reason.is_none()
            && read.attempts.is_none()
            && read.lane.is_none()
    );
    assert!(read.deferred_since.is_none() && delivery.body.is_empty());
    assert_eq!(read.detail.as_ref().unwrap().len(), 1_000);
    assert_eq!(read.message_id.as_ref().unwrap().len(), 255);
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    session.close().await;
    broker.end().await;
}
