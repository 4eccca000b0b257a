//! Servers that are not there or don't let us in: a clear sentence, and never a password.

use secrecy::ExposeSecret as _;
use user_merge::config::Settings;

use super::{assert_one_sentence, user_merge};
use crate::harness::{Desk, Output, Queues, command, output};

const PASSWORD: &str = "s3cr3t-pass";
const ENQUEUE: &str = "enqueue --account 1 --source 2 --target 3";

/// The settings with other URLs; the ports stay those of the servers.
fn with_urls(settings: &Settings, database: &str, broker: &str) -> Settings {
    let mut settings = settings.clone();
    settings.database.url = Some(database.to_owned().into());
    settings.broker.url = Some(broker.to_owned().into());
    settings.database.connect_timeout = std::time::Duration::from_secs(2);
    settings
}

/// `host:port` of a URL.
fn place(url: &str) -> &str {
    let rest = url.rsplit_once('@').unwrap().1;
    rest.split('/').next().unwrap()
}

/// With the most talkative log there is.
async fn loudly(settings: &Settings, arguments: &str) -> Output {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let mut command = command(settings, &arguments);
    command.env("RUST_LOG", "trace");
    output(command).await
}

fn assert_no_password(output: &Output) {
    assert!(
        !output.stderr.contains(PASSWORD) && !output.stdout.contains(PASSWORD),
        "{output:?}"
    );
}

#[tokio::test]
async fn a_database_that_can_not_be_used_is_one_sentence_without_its_password() {
    let desk = Desk::open().await;
    let at = desk.url();
    let at = place(&at);
    let broker = format!("amqp://user:{PASSWORD}@127.0.0.1:1/");
    for (url, status, part) in [
        (
            format!("postgres://u:{PASSWORD}@127.0.0.1:1/x"),
            1,
            "check that the database runs",
        ),
        (
            format!("postgres://nobody:{PASSWORD}@{at}/x"),
            1,
            "refused the login",
        ),
        (
            format!("postgres://user_merge:{PASSWORD}@{at}/no_such"),
            1,
            "no such database",
        ),
        (
            format!("postgres://u:{PASSWORD}@h:port/x"),
            2,
            "database.url",
        ),
        (format!("mysql://u:{PASSWORD}@h/x"), 2, "database.url"),
    ] {
        let settings = with_urls(&desk.settings, &url, &broker);
        for arguments in ["status crm-1", "migrate"] {
            let output = user_merge(&settings, arguments).await;
            assert_eq!(output.status, status, "{output:?}");
            assert_one_sentence(&output, part);
            assert_no_password(&loudly(&settings, arguments).await);
        }
        // A worker waits for a database that is down, and ends where waiting can't help.
        if !url.contains(":1/") {
            let output = loudly(&settings, "worker").await;
            assert_eq!(output.status, status, "{output:?}");
            assert!(output.stderr.contains(part), "{output:?}");
            assert_no_password(&output);
        }
    }
}

#[tokio::test]
async fn a_broker_that_can_not_be_used_is_one_sentence_without_its_password() {
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    let url = desk
        .settings
        .broker
        .url
        .as_ref()
        .unwrap()
        .expose_secret()
        .to_owned();
    let (at, user) = (
        place(&url).to_owned(),
        url.split('@').next().unwrap().to_owned(),
    );
    for (url, status, part) in [
        (
            format!("amqp://u:{PASSWORD}@127.0.0.1:1/"),
            1,
            "no way to the broker at 127.0.0.1:1",
        ),
        (
            format!("amqp://u:{PASSWORD}@127.0.0.1:1,127.0.0.1:2/"),
            1,
            "no way to the broker at 127.0.0.1:",
        ),
        (
            format!("amqp://u:{PASSWORD}@127.0.0.1:1,{at}/"),
            1,
            "check user, password and virtual host",
        ),
        (format!("amqp://u:{PASSWORD}@h,h:port/"), 2, "broker"),
        (
            format!("amqp://u:{PASSWORD}@h/v,amqp://u:{PASSWORD}@h/w"),
            2,
            "the same vhost",
        ),
        (
            format!("amqp://u:{PASSWORD}@h/v,http://u:{PASSWORD}@h/v"),
            2,
            "broker.url",
        ),
        (
            format!("amqp://u:{PASSWORD}@{at}/"),
            1,
            "check user, password and virtual host",
        ),
        (format!("{user}@{at}/no_such"), 1, "vhost no_such not found"),
        (format!("amqp://u:{PASSWORD}@h:port/"), 2, "broker"),
        (format!("http://u:{PASSWORD}@h/"), 2, "broker.url"),
    ] {
        let settings = with_urls(&desk.settings, &desk.url(), &url);
        for more in ["", " --wait"] {
            let output = user_merge(&settings, &format!("{ENQUEUE}{more}")).await;
            assert_eq!(output.status, status, "{output:?}");
            assert_one_sentence(&output, part);
            assert_no_password(&loudly(&settings, &format!("{ENQUEUE}{more}")).await);
        }
        if !url.contains(":1/") && !url.contains(":2/") {
            let output = loudly(&settings, "worker").await;
            assert_eq!(output.status, status, "{output:?}");
            assert_no_password(&output);
        }
    }
}
