//! What a database with a standby shows: how far that is behind, and how much is written to the log.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use user_merge::store::pace::Session;

use super::{
    bulk_merges_go_on, only, only_interactive_merges_are_done, status, until_full, until_held,
};
use crate::harness::{Desk, OwnServers, Process, Queues, Standby};

/// Servers of their own: a standby follows the whole server, and its log is everybody's.
#[tokio::test]
async fn a_standby_that_stands_still_and_a_log_that_grows_fast_hold_the_bulk_lane() {
    let servers = OwnServers::start();
    let url = servers.address("USER_MERGE__DATABASE__URL");
    let mut desk = Desk::open_at(&url).await;
    let queues = Queues::open_at(&mut desk, servers.address("USER_MERGE__BROKER__URL")).await;
    desk.users(1..=70).await;
    only(&mut desk);
    let standby = Standby::of(&url);

    desk.settings.pace.replication_lag = Duration::from_millis(500);
    let worker = Process::worker(&desk).ready().await;
    until_full(&worker, &desk).await;
    standby.pause().await;
    // Something that it lacks.
    desk.execute("UPDATE helpdesk.users SET updated_at = now() WHERE id = 70")
        .await;
    until_held(&worker, "replication_lag").await;
    one_that_is_ignored_is_not_seen(&desk).await;
    only_interactive_merges_are_done(&desk, &queues, 1).await;
    let text = status(&desk, &[]).await.stdout;
    assert!(text.contains("\nslowed down    replication lag "), "{text}");
    assert!(text.contains(" s (limit 0.5 s)"), "{text}");
    standby.resume().await;
    bulk_merges_go_on(&queues, 1).await;
    until_full(&worker, &desk).await;
    drop(worker);

    desk.settings.pace.replication_lag = Duration::ZERO;
    desk.settings.pace.wal_rate = 2;
    // At a rate that is even from look to look.
    desk.settings.pace.interval = Duration::from_millis(200);
    let worker = Process::worker(&desk).ready().await;
    until_full(&worker, &desk).await;
    let enough = CancellationToken::new();
    let writing = tokio::spawn({
        let (pool, enough) = (desk.pool.clone(), enough.clone());
        async move {
            while !enough.is_cancelled() {
                let sql = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))";
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    until_held(&worker, "wal").await;
    only_interactive_merges_are_done(&desk, &queues, 31).await;
    let text = status(&desk, &[]).await.stdout;
    assert!(text.contains(" MiB/s of WAL (limit 2 MiB/s)"), "{text}");
    enough.cancel();
    writing.await.unwrap();
    bulk_merges_go_on(&queues, 31).await;
    until_full(&worker, &desk).await;
}

async fn one_that_is_ignored_is_not_seen(desk: &Desk) {
    let mut session = Session::open(&desk.pool).await.unwrap();
    let seen = session.measure(&["other".to_owned()]).await.unwrap();
    assert!(seen.replayed.unwrap() < seen.written, "{seen:?}");
    let ignored = session.measure(&[Standby::NAME.to_owned()]).await.unwrap();
    assert_eq!(ignored.replayed, None, "{ignored:?}");
}
