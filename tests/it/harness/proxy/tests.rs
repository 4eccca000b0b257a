//! Each mode does what it says. The server is the test itself, so that both ends are at hand.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use super::{Mode, Proxy, Way};

const LONG: Duration = Duration::from_hours(1);

/// A server and a proxy in front of it.
fn proxied() -> (TcpListener, Proxy) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::of(&server.local_addr().unwrap().to_string());
    (server, proxy)
}

/// A connection through the proxy: its client's end and its server's.
fn connection(server: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.address()).unwrap();
    (client, server.accept().unwrap().0)
}

fn hears(stream: &mut TcpStream, expected: &[u8]) {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).unwrap();
    assert!(heard == expected, "other bytes, or in another order");
}

/// Neither bytes nor an end. A slow machine can only make this pass wrongly, never fail.
fn hears_nothing(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_millis(150)))
        .unwrap();
    let error = stream
        .read(&mut [0])
        .expect_err("bytes or the end of the stream");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

fn is_reset(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let error = stream.read(&mut [0]).expect_err("an orderly end, or bytes");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn ends(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "bytes after the end");
}

fn talk(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"question").unwrap();
    hears(server, b"question");
    server.write_all(b"answer").unwrap();
    hears(client, b"answer");
}

/// More than fits into any buffer on the way: neither lost, doubled nor changed.
#[test]
fn pass_lets_everything_through_and_hands_on_the_end() {
    let (server, proxy) = proxied();
    let (mut client, mut far) = connection(&server, &proxy);
    talk(&mut client, &mut far);
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = bytes.clone();
    let writing = std::thread::spawn(move || {
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client
    });
    hears(&mut far, &bytes);
    let mut client = writing.join().unwrap();
    ends(&mut far);
    far.write_all(b"last word").unwrap();
    drop(far);
    hears(&mut client, b"last word");
    ends(&mut client);
    while proxy.connections() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_reset_by_one_side_reaches_the_other() {
    let (server, proxy) = proxied();
    let (client, mut far) = connection(&server, &proxy);
    far.write_all(b"never read").unwrap();
    while proxy.pieces() == 0 {
        std::thread::yield_now();
    }
    drop(client); // with bytes unread: the kernel sends a reset
    is_reset(&mut far);
}

#[test]
fn delay_holds_a_piece_back_either_way() {
    let (server, proxy) = proxied();
    let (mut client, mut far) = connection(&server, &proxy);
    proxy.set(Mode::Delay(Duration::from_millis(5)));
    talk(&mut client, &mut far);
    proxy.set(Mode::Delay(LONG));
    client.write_all(b"question").unwrap();
    hears_nothing(&mut far);
    far.write_all(b"answer").unwrap();
    hears_nothing(&mut client);
    proxy.set(Mode::Pass);
    hears(&mut far, b"question");
    hears(&mut client, b"answer");
}

#[test]
fn throttle_and_slice_cut_into_small_pieces() {
    let (server, proxy) = proxied();
    let (mut client, mut far) = connection(&server, &proxy);
    let bytes: Vec<u8> = (0..100).collect();
    // Twenty portions a second: five bytes each.
    for (mode, pieces) in [(Mode::Throttle(100), 20), (Mode::Slice(2), 50)] {
        proxy.set(mode);
        let before = proxy.pieces();
        client.write_all(&bytes).unwrap();
        hears(&mut far, &bytes);
        far.write_all(&bytes).unwrap();
        hears(&mut client, &bytes);
        // The last piece may be read before it is counted.
        while proxy.pieces() < before + 2 * pieces {
            std::thread::yield_now();
        }
    }
}

#[test]
fn stall_holds_everything_and_loses_nothing() {
    let (server, proxy) = proxied();
    let (mut client, mut far) = connection(&server, &proxy);
    proxy.set(Mode::Stall);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    hears_nothing(&mut far);
    proxy.set(Mode::Pass);
    hears(&mut far, b"question");
    ends(&mut far);
    far.write_all(b"answer").unwrap();
    hears(&mut client, b"answer");
}

#[test]
fn black_hole_swallows_what_is_sent_and_keeps_both_sides_in_the_dark() {
    let (server, proxy) = proxied();
    let (mut client, mut far) = connection(&server, &proxy);
    proxy.set(Mode::BlackHole);
    let mut late = TcpStream::connect(proxy.address()).unwrap();
    for stream in [&mut client, &mut far, &mut late] {
        stream.write_all(b"anybody?").unwrap();
    }
    for stream in [&mut client, &mut far, &mut late] {
        hears_nothing(stream);
    }
    drop(client);
    hears_nothing(&mut far);
    server.set_nonblocking(true).unwrap();
    let accepted = server.accept();
    assert_eq!(accepted.unwrap_err().kind(), ErrorKind::WouldBlock);
    server.set_nonblocking(false).unwrap();

    // What has lost bytes must not go on as if nothing had been.
    proxy.set(Mode::Pass);
    is_reset(&mut far);
    is_reset(&mut late);
    let (mut client, mut far) = connection(&server, &proxy);
    talk(&mut client, &mut far);
}

#[test]
fn a_silent_connection_outlives_a_black_hole() {
    let (server, proxy) = proxied();
    let (mut client, mut far) = connection(&server, &proxy);
    talk(&mut client, &mut far);
    proxy.set(Mode::BlackHole);
    hears_nothing(&mut client);
    proxy.set(Mode::Pass);
    talk(&mut client, &mut far);
}

#[test]
fn reset_ends_what_there_is_and_what_comes() {
    let (server, proxy) = proxied();
    let (mut client, mut far) = connection(&server, &proxy);
    talk(&mut client, &mut far);
    proxy.set(Mode::Reset);
    is_reset(&mut client);
    is_reset(&mut far);
    is_reset(&mut TcpStream::connect(proxy.address()).unwrap());
    proxy.set(Mode::Pass);
    let (mut client, mut far) = connection(&server, &proxy);
    talk(&mut client, &mut far);
}

/// A reset is not missed because the mode changes again at once.
#[test]
fn a_short_reset_and_a_cut_hit_every_connection() {
    let (server, proxy) = proxied();
    for cut in [true, false] {
        let mut connections: Vec<_> = (0..20).map(|_| connection(&server, &proxy)).collect();
        // One direction is over already: the other one is reset all the same, on both sides.
        for (client, far) in connections.iter_mut().take(10) {
            client.shutdown(Shutdown::Write).unwrap();
            ends(far);
        }
        if cut {
            proxy.cut();
        } else {
            proxy.set(Mode::Reset);
            proxy.set(Mode::Pass);
        }
        for (client, _) in &mut connections {
            is_reset(client);
        }
        // The others have read their end already, and read no more.
        for (_, far) in &mut connections[10..] {
            is_reset(far);
        }
        let (mut client, mut far) = connection(&server, &proxy);
        talk(&mut client, &mut far);
    }
}

#[test]
fn half_close_shuts_one_direction_for_good() {
    for way in [Way::ToServer, Way::ToClient] {
        let (server, proxy) = proxied();
        let (client, far) = connection(&server, &proxy);
        let (mut deaf, mut heard) = match way {
            Way::ToServer => (far, client),
            Way::ToClient => (client, far),
        };
        proxy.set(Mode::HalfClose(way));
        ends(&mut deaf);
        proxy.set(Mode::Pass);
        heard.write_all(b"swallowed").unwrap();
        deaf.write_all(b"goes through").unwrap();
        hears(&mut heard, b"goes through");
        ends(&mut deaf);
        hears_nothing(&mut heard);
    }
}

#[test]
fn refuse_turns_new_connections_away_and_keeps_the_port() {
    let (server, proxy) = proxied();
    let (mut client, mut far) = connection(&server, &proxy);
    proxy.set(Mode::Refuse);
    let refused = || TcpStream::connect(proxy.address()).is_err();
    while !refused() {
        std::thread::yield_now();
    }
    talk(&mut client, &mut far);
    assert!(refused());
    proxy.set(Mode::Pass);
    while TcpStream::connect(proxy.address()).is_err() {
        std::thread::yield_now();
    }
    drop(server.accept().unwrap());
}

/// As a server that is down behind a proxy that is up.
#[test]
fn a_server_that_is_away_resets_its_clients() {
    let (server, proxy) = proxied();
    drop(server);
    is_reset(&mut TcpStream::connect(proxy.address()).unwrap());
}

#[test]
fn a_url_leads_through_the_proxy() {
    let (server, _) = proxied();
    let place = server.local_addr().unwrap();
    for (before, after) in [
        ("postgres://user_merge@", "/desk?sslmode=disable"),
        ("amqp://guest:guest@", "/%2f"),
        ("", ""),
    ] {
        let url = format!("{before}{place}{after}");
        let proxy = Proxy::of_url(&url);
        let through = format!("{before}{}{after}", proxy.address());
        assert_eq!(proxy.url(&url), through);
    }
}
