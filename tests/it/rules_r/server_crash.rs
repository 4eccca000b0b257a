//! R4: what a crash of the database server takes back. Chunks are committed without waiting for the disk.

use sqlx::AssertSqlSafe;
use user_merge::merge::Ending;

use super::assert_each_moved_once;
use crate::harness::{Desk, OwnServers, eventually, request};

/// A server that writes its log when a commit waits for that, and hardly ever by itself.
async fn lazy() -> (OwnServers, Desk) {
    let servers = OwnServers::start();
    let url = servers.address("USER_MERGE__DATABASE__URL");
    let administrator = url.replace("//user_merge@", "//postgres@");
    let pool = sqlx::PgPool::connect(&administrator).await.unwrap();
    for statement in [
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "ALTER SYSTEM SET wal_writer_flush_after = '1GB'",
        "SELECT pg_reload_conf()",
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&pool).await;
        done.unwrap();
    }
    eventually("a lazy server", || async {
        let delay = sqlx::query_scalar::<_, String>("SHOW wal_writer_delay");
        (delay.fetch_one(&pool).await.unwrap() == "10s").then_some(())
    })
    .await;
    pool.close().await;
    let mut desk = Desk::open_at(&url).await;
    desk.chunks_of(10);
    desk.users([1, 2]).await;
    desk.tickets(1, 25, 1, "open").await;
    (servers, desk)
}

async fn crash(servers: &OwnServers, desk: &Desk) {
    servers.run("kill", &["postgres"]);
    servers.run("up", &["postgres"]);
    eventually("the database again", || async {
        let one = sqlx::query_scalar::<_, i32>("SELECT 1");
        one.fetch_one(&desk.pool).await.ok()
    })
    .await;
}

/// R4, T8: a chunk that was committed and lost is lost as a whole, and is moved again. A merge that was completed has
/// waited for all of its chunks.
#[tokio::test]
async fn r4_what_a_crash_of_the_server_takes_back_is_moved_again_and_an_end_is_final() {
    let (servers, desk) = lazy().await;
    let paused = desk.run_one_chunk(&request(1, 2)).await.unwrap();
    assert_eq!(paused.ending, Ending::SliceOver);
    assert_each_moved_once(&desk, 10).await;

    crash(&servers, &desk).await;
    let kept = desk.number("SELECT live FROM user_merge.merges").await;
    assert_each_moved_once(&desk, kept).await;
    assert!(
        [0, 10].contains(&kept),
        "0, unless the server wrote for its own sake: {kept}"
    );

    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    assert_eq!(report.moved.tickets.live, 25 - kept);
    crash(&servers, &desk).await;
    assert_each_moved_once(&desk, 25).await;
    let ended =
        "SELECT count(*) FROM user_merge.merges m JOIN helpdesk.users u ON u.merged_into = 2
                 WHERE m.state = 'completed' AND live = 25";
    assert_eq!(desk.number(ended).await, 1);
    let promised = "SELECT count(*) FROM user_merge.outbox";
    assert_eq!(desk.number(promised).await, 2, "the event and the deletion");
}
