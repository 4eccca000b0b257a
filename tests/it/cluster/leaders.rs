//! A backlog on both lanes, and every few seconds the node that hurts most dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::upstream::Upstream;
use super::{DELETIONS, LANES, ledger, open, until_nothing_waits};
use crate::harness::{Cluster, Desk, Process, eventually};

/// Requests of each lane that are sent and not done yet, for as long as nodes are killed.
const BACKLOG: i64 = 60;
/// Users that are made at a time, for as long as it takes.
const BATCH: i64 = 400;

/// Sends one request after the other, never too far ahead on either lane, until it is told to stop: how many, and
/// how many attempts failed.
fn publish(
    mut upstream: Upstream,
    pool: sqlx::PgPool,
    stop: Arc<AtomicBool>,
) -> JoinHandle<(i64, u32)> {
    tokio::spawn(async move {
        let (mut sent, mut failed) = ([0, 0], 0);
        while !stop.load(Ordering::Relaxed) {
            let done = ledger::completed_by_lane(&pool).await.unwrap();
            // The lane that is nearer to its end: the quicker one would be idle behind a backlog of the other's.
            let ahead = [0, 1].map(|lane| sent[lane] - done[lane]);
            let lane = usize::from(ahead[1] < ahead[0]);
            if ahead[lane] >= BACKLOG {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            sent[lane] += 1;
            let source = sent[0] + sent[1];
            if source % BATCH == 1 {
                ledger::fill(&pool, source..=source + BATCH - 1, 50).await;
            }
            failed += upstream
                .send_until_stored(LANES[lane], &ledger::request(source))
                .await;
        }
        (sent[0] + sent[1], failed)
    })
}

/// Few hands, and each merge takes a while.
async fn slow(desk: &mut Desk) {
    desk.chunks_of(20);
    let lanes = &mut desk.settings.lanes;
    (lanes.interactive.concurrency, lanes.interactive.prefetch) = (2, 4);
    (lanes.bulk.concurrency, lanes.bulk.prefetch) = (1, 2);
    desk.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON user_merge.merges FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    .await;
}

/// The leader of a lane's queue, or a node that the first worker is connected to.
fn victim(cluster: &Cluster, round: usize, worker: &Process) -> u8 {
    match round % 3 {
        lane @ (0 | 1) => cluster.leader(1, LANES[lane]),
        _ => cluster.connected(1, worker.id())[0],
    }
}

/// R4, D2: with `USER_MERGE_PROOF=whole` 20 kills, else 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d2_nothing_is_lost_and_nothing_done_twice_while_leaders_are_killed() {
    let whole = std::env::var("USER_MERGE_PROOF").is_ok_and(|proof| proof == "whole");
    let kills = if whole { 20 } else { 3 };
    let (cluster, mut desk, upstream) = open().await;
    slow(&mut desk).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = publish(upstream, desk.pool.clone(), stop.clone());
    let mut workers = [Process::worker(&desk), Process::worker(&desk)];

    for round in 0..kills {
        let before = ledger::completed(&desk.pool).await;
        let columns = ["name", "messages_ready"];
        cluster
            .until(1, &columns, "a backlog on both lanes", |queues| {
                let waits = |lane| queues.iter().any(|line| line[0] == lane && line[1] != "0");
                LANES.into_iter().all(waits)
            })
            .await;
        let victim = victim(&cluster, round, &workers[0]);
        cluster.kill(victim);
        // Two of three are enough to go on.
        eventually("merges while a node is away", || async {
            (ledger::completed(&desk.pool).await >= before.map(|done| done + 30)).then_some(())
        })
        .await;
        cluster.up(victim);
        cluster.whole().await;
    }

    stop.store(true, Ordering::Relaxed);
    let (asked, failed) = publishing.await.unwrap();
    ledger::until_done(&desk.pool, asked).await;
    for worker in &mut workers {
        assert!(worker.is_ready().await);
        worker.signal("TERM");
        assert_eq!(worker.exit().await, 0);
    }
    until_nothing_waits(&cluster).await;
    desk.assert_verified().await;
    ledger::assert_merged_once(&desk.pool, asked).await;
    let mut upstream = Upstream::new(&cluster);
    let (deletions, events) = (upstream.take(DELETIONS).await, upstream.heard().await);
    println!(
        "{kills} kills; {asked} requests, {failed} attempts not confirmed; {} deletion messages, {} events",
        deletions.len(),
        events.len()
    );
    ledger::assert_deletions(&deletions, asked);
    ledger::assert_told(&events, asked);
}
