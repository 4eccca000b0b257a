use std::io::{Read, Write};

use super::super::{Condition, metric};
use super::*;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn start(health: &Health, stop: &CancellationToken) -> Server {
    let metrics = metric::install().unwrap();
    Server::start(ANY, metrics, health.clone(), stop.clone())
        .await
        .unwrap()
}

async fn fetch(address: SocketAddr, path: &'static str) -> String {
    let exchange = move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let (health, stop) = (
        Health::expecting([Condition::Consuming("bulk")]),
        CancellationToken::new(),
    );
    let server = start(&health, &stop).await;
    let text = fetch(server.address(), "/readyz").await;
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    assert!(
        text.ends_with(r#"{"missing":["consuming bulk"],"ready":false}"#),
        "{text}"
    );

    health.set(Condition::Consuming("bulk"), true);
    let text = fetch(server.address(), "/readyz").await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let text = fetch(server.address(), "/metrics").await;
    assert!(
        text.contains("user_merge_consuming{lane=\"bulk\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn alive_until_a_loop_is_stuck() {
    let (health, stop) = (Health::default(), CancellationToken::new());
    let server = start(&health, &stop).await;
    assert!(
        fetch(server.address(), "/healthz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let _pulse = health.pulse("relay", Duration::ZERO);
    let text = fetch(server.address(), "/healthz").await;
    assert!(
        text.starts_with("HTTP/1.1 503") && text.contains("relay"),
        "{text}"
    );
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_the_setting() {
    let (health, stop) = (Health::default(), CancellationToken::new());
    let server = start(&health, &stop).await;
    let metrics = metric::install().unwrap();
    let again = Server::start(server.address(), metrics, health, stop).await;
    let error = again.err().unwrap().to_string();
    assert!(
        error.contains("telemetry.listen") && error.contains(&server.address().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn stops_when_told_even_with_a_connection_open() {
    let (health, stop) = (Health::default(), CancellationToken::new());
    let server = start(&health, &stop).await;
    let _idle = std::net::TcpStream::connect(server.address()).unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), server.stopped())
        .await
        .unwrap();
}
