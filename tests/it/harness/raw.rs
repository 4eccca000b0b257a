//! AMQP written by hand: messages that no client library would send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Property flag: a message id.
pub const MESSAGE_ID: u16 = 0x0080;
/// Property flag: headers.
pub const HEADERS: u16 = 0x2000;

/// A short string: one byte of length.
pub fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A long string or a table: four bytes of length.
pub fn long(bytes: &[u8]) -> Vec<u8> {
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

/// Publishes one message with these property bytes, and waits until the broker has it.
pub fn publish(queue: &str, flags: u16, properties: &[u8], body: &[u8]) {
    let url = super::address("USER_MERGE__BROKER__URL");
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
