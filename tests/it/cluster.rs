//! The nodes of a broker's cluster, and the database, killed while they work: what was confirmed is done, once.

mod database;
mod leaders;
pub mod ledger;
mod quorum;
mod upstream;

use std::time::Duration;

use user_merge::broker::{Connection, declare};

use crate::harness::{Cluster, Desk, members};
use upstream::Upstream;

const LANES: [&str; 2] = ["user-merge.requests", "user-merge.requests.bulk"];
const DEAD: &str = "user-merge.dead";
const DELETIONS: &str = "user-deletion.requests";

/// A cluster with everything declared, a desk whose workers use it, and who sends and hears.
async fn open() -> (Cluster, Desk, Upstream) {
    let cluster = Cluster::start();
    let mut desk = Desk::open().await;
    let settings = &mut desk.settings;
    settings.broker.url = Some(cluster.url().into());
    settings.broker.connect_timeout = Duration::from_secs(3);
    settings.broker.publish_timeout = Duration::from_secs(3);
    settings.broker.heartbeat = Duration::from_secs(2);
    settings.relay.lease = Duration::from_secs(5);
    let broker = user_merge::app::broker(&desk.settings).unwrap();
    let connection = Connection::open(&broker, "declaring").await.unwrap();
    declare(&connection, &broker).await.unwrap();
    connection.close().await;
    assert_replicated(&cluster);
    let mut upstream = Upstream::new(&cluster);
    upstream.listen().await;
    (cluster, desk, upstream)
}

/// Every queue of ours has a member on each node, and dead-letters at least once where it dead-letters.
fn assert_replicated(cluster: &Cluster) {
    let queues = cluster.queues(1, &["name", "members", "arguments"]);
    let ours = |line: &&Vec<String>| line[0].starts_with("user-");
    assert_eq!(queues.iter().filter(ours).count(), 6, "{queues:?}");
    for line in queues.iter().filter(ours) {
        assert_eq!(members(&line[1]), Cluster::NODES, "{line:?}");
        let has = |argument: &str| line[2].contains(argument);
        assert!(has(r#"{"x-queue-type","quorum"}"#), "{line:?}");
        if has("x-dead-letter-exchange") {
            assert!(
                has(r#"{"x-dead-letter-strategy","at-least-once"}"#)
                    && has(r#"{"x-overflow","reject-publish"}"#),
                "{line:?}"
            );
        }
    }
}

/// Neither ready nor taken and unsettled, in any queue that the worker empties.
async fn until_nothing_waits(cluster: &Cluster) {
    let columns = ["name", "messages", "messages_unacknowledged", "consumers"];
    cluster
        .until(1, &columns, "empty queues", |queues| {
            let waits = |line: &Vec<String>| line[0].starts_with("user-merge.") && line[1] != "0";
            !queues.iter().any(waits)
        })
        .await;
}
