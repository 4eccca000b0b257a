//! Properties that the client library can't read, written by hand, because it can't write them either (rule R6).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use user_merge::broker::{Destination, Error, Lane, Session};

use super::{TestBroker, message, url};

const LANE: Lane = Lane::Interactive;
/// Property flags: a message id, and headers.
const MESSAGE_ID: u16 = 0x0080;
const HEADERS: u16 = 0x2000;

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn method(class: u16, method: u16, arguments: &[&[u8]]) -> Vec<u8> {
    [
        &class.to_be_bytes()[..],
        &method.to_be_bytes(),
        &arguments.concat(),
    ]
    .concat()
}

fn send(socket: &mut TcpStream, kind: u8, channel: u16, payload: &[u8]) {
    let frame = [&[kind][..], &channel.to_be_bytes(), &long(payload), &[0xce]].concat();
    socket.write_all(&frame).unwrap();
}

fn receive(socket: &mut TcpStream) {
    let mut head = [0; 7];
    socket.read_exact(&mut head).unwrap();
    let length = u32::from_be_bytes(head[3..].try_into().unwrap());
    socket
        .read_exact(&mut vec![0; length as usize + 1])
        .unwrap();
}

fn publish(queue: &str, flags: u16, properties: &[u8], body: &[u8]) {
    let url = url();
    let (user, place) = url.split_once("://").unwrap().1.split_once('@').unwrap();
    let mut socket = TcpStream::connect(place.split('/').next().unwrap()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket.write_all(b"AMQP\0\0\x09\x01").unwrap();
    receive(&mut socket);
    let login = format!("\0{}", user.replace(':', "\0"));
    let start_ok = [
        long(b""),
        short(b"PLAIN"),
        long(login.as_bytes()),
        short(b"en_US"),
    ]
    .concat();
    send(&mut socket, 1, 0, &method(10, 11, &[&start_ok]));
    receive(&mut socket);
    send(
        &mut socket,
        1,
        0,
        &method(
            10,
            31,
            &[&2047_u16.to_be_bytes(), &131_072_u32.to_be_bytes(), &[0, 0]],
        ),
    );
    send(&mut socket, 1, 0, &method(10, 40, &[&short(b"/"), &[0, 0]]));
    receive(&mut socket);
    send(&mut socket, 1, 1, &method(20, 10, &[&[0]]));
    receive(&mut socket);
    send(
        &mut socket,
        1,
        1,
        &method(60, 40, &[&[0, 0, 0], &short(queue.as_bytes()), &[0]]),
    );
    let length = u64::try_from(body.len()).unwrap().to_be_bytes();
    send(
        &mut socket,
        2,
        1,
        &[
            &[0, 60, 0, 0][..],
            &length,
            &flags.to_be_bytes(),
            properties,
        ]
        .concat(),
    );
    send(&mut socket, 3, 1, body);
    send(
        &mut socket,
        1,
        1,
        &method(20, 40, &[&200_u16.to_be_bytes(), &[0, 0, 0, 0, 0]]),
    );
    receive(&mut socket);
}

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
