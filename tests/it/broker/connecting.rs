use std::time::{Duration, Instant};

use user_merge::broker::{Connection, Error, Settings};

use super::{names, url};

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
            matches!(error, Error::TimedOut { .. }) && !error.is_lasting(),
            "{error}"
        );
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
