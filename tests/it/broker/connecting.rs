use std::time::{Duration, Instant};

use user_merge::broker::{Connection, Error, Settings};

use super::{names, place, url};

async fn refused(url: String) {
    let began = Instant::now();
    let error = Connection::open(&Settings::new(url, names()), "in vain")
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Refused(_)) && error.is_lasting(),
        "{error}"
    );
    assert!(!error.to_string().contains("s3cret"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_wrong_password_or_virtual_host_lasts() {
    refused(url().replace("guest:guest@", "guest:s3cret@")).await;
    refused(url().replace("%2f", "nowhere")).await;
    refused(url().replace("%2F", "nowhere").replace("%2f", "")).await;
}

#[tokio::test]
async fn nobody_listening_passes() {
    let error = Connection::open(
        &Settings::new("amqp://u:s3cret@127.0.0.1:1/", names()),
        "in vain",
    )
    .await
    .unwrap_err();
    assert!(!error.is_lasting(), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

/// Threads of the client library that read from a connection.
fn io_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("lapin-io"))
        .count()
}

#[tokio::test]
async fn a_broker_that_never_answers_times_out() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = Settings::new(
        format!("amqp://{}/%2f", silent.local_addr().unwrap()),
        names(),
    );
    settings.connect_timeout = Duration::from_millis(50);
    for _ in 0..50 {
        let error = Connection::open(&settings, "in vain").await.unwrap_err();
        assert!(
            matches!(error, Error::Unreachable(_)) && !error.is_lasting(),
            "{error}"
        );
        assert!(error.to_string().contains("no answer within"), "{error}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Other tests have connections of their own meanwhile.
    assert!(
        io_threads() < 50,
        "an attempt that was given up leaves its thread behind"
    );
}

#[tokio::test]
async fn an_unreadable_certificate_file_is_a_matter_of_settings() {
    let mut settings = Settings::new(url(), names());
    for file in ["/nowhere/ca.pem", "/proc/self/comm"] {
        settings.ca_file = Some(file.into());
        let error = Connection::open(&settings, "in vain").await.unwrap_err();
        assert!(
            error.is_lasting() && error.to_string().contains(file),
            "{error}"
        );
    }
}

/// Accepts, and never answers.
async fn silent() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    (listener, place)
}

/// The URL with these hosts before its own.
fn behind(hosts: &str) -> String {
    let url = url();
    let (user, rest) = url.split_once('@').unwrap();
    format!("{user}@{hosts},{rest}")
}

/// As often as it takes for the living host to be tried first, in the middle and last.
const TRIES: usize = 12;

#[tokio::test]
async fn of_several_hosts_the_one_that_lives_is_found() {
    let (_listener, silent) = silent().await;
    let own = url().replace("guest:guest@", "guest:s3cret@");
    for list in [
        behind(&format!("127.0.0.1:1,{silent}")),
        format!("amqp://{silent}/%2f,amqp://127.0.0.1:1/%2f,{}", url()),
        // A node that has lost its users is one of them.
        format!("{own},{}", url()),
    ] {
        let mut settings = Settings::new(list, names());
        // A third of it for each, even after a silent one.
        settings.connect_timeout = Duration::from_millis(1_500);
        for _ in 0..TRIES {
            let connection = Connection::open(&settings, "at last").await.unwrap();
            connection.close().await;
        }
    }
}

#[tokio::test]
async fn the_order_of_hosts_changes_so_that_connections_spread() {
    let mut first = std::collections::BTreeSet::new();
    let hosts = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3";
    let settings = Settings::new(format!("amqp://u:s3cret@{hosts}/"), names());
    for _ in 0..50 {
        let error = Connection::open(&settings, "in vain").await.unwrap_err();
        let text = error.to_string();
        for host in hosts.split(',') {
            assert!(text.contains(host), "{text}");
        }
        assert!(!error.is_lasting() && !text.contains("s3cret"), "{text}");
        let order = text
            .strip_prefix("no way to the broker at 127.0.0.1:")
            .unwrap();
        first.insert(order.as_bytes()[0]);
    }
    assert_eq!(first.into_iter().collect::<Vec<_>>(), *b"123");
}

#[tokio::test]
async fn a_refused_login_lasts_whatever_the_other_hosts_do() {
    let refused = place().replace("127.0.0.1", "localhost");
    let list = format!("amqp://guest:s3cret@127.0.0.1:1,{refused},127.0.0.1:2/%2f");
    for _ in 0..TRIES {
        let error = Connection::open(&Settings::new(list.clone(), names()), "in vain")
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, Error::Refused(_)) && error.is_lasting(),
            "{text}"
        );
        for part in ["127.0.0.1:1", &refused, "127.0.0.1:2", "ACCESS_REFUSED"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("s3cret"), "{text}");
    }
}
