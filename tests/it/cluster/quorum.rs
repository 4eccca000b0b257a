//! One node of three is no quorum: nothing can be stored, and nothing may count as stored.

use std::collections::BTreeSet;

use lapin::options::BasicNackOptions;

use super::upstream::Upstream;
use super::{DEAD, DELETIONS, LANES, ledger, open, until_nothing_waits};
use crate::harness::{Cluster, Desk, Process, eventually};

const UNPUBLISHED: &str = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";

/// What the nodes do that are left without a quorum: pause, which closes their connections (what
/// `deploy/rabbitmq` advises), or stay, and answer nothing (what RabbitMQ does by itself).
fn without_quorum(cluster: &Cluster, handling: &str) {
    let set = format!("application:set_env(rabbit, cluster_partition_handling, {handling}).");
    for node in Cluster::NODES {
        cluster.ctl(node, &["eval", &set]);
    }
}

/// D2: a merge that commits while there is no quorum keeps its message on the lane and its promises in the outbox
/// until there is one again; then everything goes on by itself.
async fn goes_on_with_the_quorum(
    cluster: &Cluster,
    desk: &Desk,
    upstream: &mut Upstream,
    source: i64,
    handling: &str,
) {
    without_quorum(cluster, handling);
    let worker = Process::worker(desk).ready().await;
    let locked = desk
        .begin_with(&format!(
            "SELECT FROM helpdesk.users WHERE id = {source} FOR UPDATE"
        ))
        .await;
    upstream
        .send_until_stored(LANES[0], &ledger::request(source))
        .await;
    desk.merge_waits_for(&locked).await;
    let left = cluster.connected(1, worker.id())[0];
    let lost = Cluster::NODES.into_iter().filter(|node| *node != left);
    for node in lost.clone() {
        cluster.kill(node);
    }

    locked.rollback().await;
    eventually("the commit", || async {
        (ledger::completed(&desk.pool).await? == source).then_some(())
    })
    .await;
    let next = ledger::request(source + 1);
    // By then the worker has tried to publish too.
    assert!(
        !Upstream::at(cluster, left).send(LANES[1], &next).await,
        "{handling}: confirmed by a minority"
    );
    assert_eq!(desk.number(UNPUBLISHED).await, 2, "{handling}");
    if handling == "pause_minority" {
        eventually("a worker that says it isn't ready", || async {
            let (status, body) = worker.get("/readyz").await;
            let missing = ["consuming interactive", "consuming bulk", "publishing"];
            (status == 503 && missing.iter().all(|what| body.contains(what))).then_some(())
        })
        .await;
    }

    for node in lost {
        cluster.up(node);
    }
    cluster.whole().await;
    let worker = worker.ready().await;
    upstream.send_until_stored(LANES[1], &next).await;
    ledger::until_done(&desk.pool, source + 1).await;
    // A broker that comes back may have forgotten an acknowledgement that it got without a quorum. Its message then
    // comes again, and is recognised.
    drop(worker);
    let _worker = Process::worker(desk).ready().await;
    until_nothing_waits(cluster).await;
}

/// R6: what is rejected at the moment at which the dead-letter queue loses its leader arrives there all the same.
async fn dead_letters_survive_their_leader(cluster: &Cluster, upstream: &mut Upstream) {
    const COUNT: u16 = 200;
    let bodies: Vec<String> = (0..COUNT).map(|n| format!("\"{n}\"")).collect();
    for (n, body) in bodies.iter().enumerate() {
        let id = n.to_string();
        assert!(upstream.publish(LANES[0], &id, body.as_bytes()).await);
    }
    let victim = cluster.leader(1, DEAD);
    let survivor = if victim == 1 { 2 } else { 1 };
    let mut consumer = Upstream::at(cluster, survivor);
    let held = consumer.hold(LANES[0], COUNT).await;
    let reject = BasicNackOptions {
        requeue: false,
        multiple: false,
    };
    let first = usize::from(COUNT) / 4;
    for delivery in &held[..first] {
        delivery.acker.nack(reject).await.unwrap();
    }
    // Those have reached the lane's queue, though not all of them the other one.
    eventually("the first rejections", || async {
        let columns = ["name", "messages_unacknowledged"];
        let queues = cluster.queues(survivor, &columns);
        let line = queues.iter().find(|line| line[0] == LANES[0])?;
        (line[1] == (usize::from(COUNT) - first).to_string()).then_some(())
    })
    .await;
    cluster.kill(victim);
    for delivery in &held[first..] {
        delivery.acker.nack(reject).await.unwrap();
    }
    // RabbitMQ 3.10 hands over again from time to time, but fails where the first member of the target is down.
    cluster.up(victim);
    cluster.whole().await;
    // A rejection that the old leader had not stored yet is void: its message is back on the lane.
    drop((consumer, held));
    let columns = ["name", "messages"];
    cluster
        .until(survivor, &columns, "all messages again", |queues| {
            let there = queues
                .iter()
                .filter(|line| [LANES[0], DEAD].contains(&line[0].as_str()));
            there.map(|line| line[1].parse().unwrap_or(0)).sum::<u16>() >= COUNT
        })
        .await;
    let mut reader = Upstream::at(cluster, survivor);
    let (dead, back) = (reader.take(DEAD).await, reader.take(LANES[0]).await);
    println!("{} rejected, {} given back", dead.len(), back.len());
    let found: BTreeSet<String> = dead.iter().chain(&back).map(ToString::to_string).collect();
    assert_eq!(found, bodies.into_iter().collect());
    assert!(dead.len() >= first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d2_without_a_quorum_nothing_is_acknowledged_and_with_it_all_goes_on() {
    let (cluster, mut desk, mut upstream) = open().await;
    desk.settings.database.lock_timeout = std::time::Duration::from_secs(50);
    desk.settings.database.statement_timeout = std::time::Duration::from_mins(1);
    ledger::fill(&desk.pool, 1..=10, 50).await;
    goes_on_with_the_quorum(&cluster, &desk, &mut upstream, 1, "pause_minority").await;
    goes_on_with_the_quorum(&cluster, &desk, &mut upstream, 3, "ignore").await;
    desk.assert_verified().await;
    ledger::assert_merged_once(&desk.pool, 4).await;
    let mut upstream = Upstream::new(&cluster);
    ledger::assert_deletions(&upstream.take(DELETIONS).await, 4);
    ledger::assert_told(&upstream.heard().await, 4);
    dead_letters_survive_their_leader(&cluster, &mut upstream).await;
}
