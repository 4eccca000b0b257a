//! The database is killed in the middle of large merges, as a whole and a single session of it.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use user_merge::config::Settings;
use user_merge::store::migrate;

use super::upstream::Upstream;
use super::{DEAD, DELETIONS, LANES, ledger};
use crate::harness::{OwnServers, Process, command, eventually, output};

const SOURCES: i64 = 240;
/// One source in so many has 2,000 tickets: a hundred chunks.
const LARGE_ONE_IN: i64 = 8;

/// Chunks of 20 rows on few connections, so that a kill finds many merges halfway.
fn settings(servers: &OwnServers) -> Settings {
    let urls = ["USER_MERGE__DATABASE__URL", "USER_MERGE__BROKER__URL"];
    let urls = urls.map(|name| (name.to_owned(), servers.address(name)));
    let mut settings = Settings::from_sources(None, urls.into_iter()).unwrap();
    let chunk = &mut settings.chunk;
    (chunk.min, chunk.initial, chunk.max) = (20, 20, 20);
    settings.lanes.interactive.concurrency = 3;
    settings.lanes.bulk.concurrency = 2;
    settings.database.max_connections = 10;
    settings.retry.delays = [1, 2].map(Duration::from_secs).to_vec();
    settings.retry.conflict_delay = Duration::from_secs(1);
    settings.broker.publish_timeout = Duration::from_secs(3);
    settings.relay.lease = Duration::from_secs(5);
    settings.telemetry.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    settings
}

/// A help desk on these servers, whose large merges take some seconds each.
async fn open(servers: &OwnServers) -> PgPool {
    let pool = PgPoolOptions::new()
        .max_connections(3)
        .acquire_timeout(Duration::from_secs(5))
        .connect(&servers.address("USER_MERGE__DATABASE__URL"))
        .await
        .unwrap();
    migrate::helpdesk(&pool).await.unwrap();
    migrate::user_merge(&pool).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO helpdesk.accounts VALUES (1, 'account', '{password}', false);
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE UPDATE ON user_merge.merges FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    .execute(&pool)
    .await
    .unwrap();
    ledger::fill(&pool, 1..=SOURCES, LARGE_ONE_IN).await;
    pool
}

/// Tickets moved so far by merges that are not done.
async fn halfway(pool: &PgPool) -> Option<i64> {
    let moved =
        "SELECT coalesce(sum(live), 0)::bigint FROM user_merge.merges WHERE state = 'running'";
    sqlx::query_scalar(moved).fetch_one(pool).await.ok()
}

/// One of the worker's sessions that is at work now.
async fn session(pool: &PgPool) -> i32 {
    let at_work = "SELECT pid FROM pg_stat_activity
                   WHERE application_name = 'user-merge' AND state = 'active' LIMIT 1";
    eventually("a session at work", || async {
        sqlx::query_scalar(at_work)
            .fetch_optional(pool)
            .await
            .ok()?
    })
    .await
}

/// T8, R4: three times the whole server, twice one session, at which PostgreSQL ends all others too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r4_nothing_is_lost_and_nothing_done_twice_while_the_database_is_killed() {
    let servers = OwnServers::start();
    let pool = open(&servers).await;
    let settings = settings(&servers);
    let mut worker = Process::start(command(&settings, &["worker"]))
        .ready()
        .await;
    let mut upstream = Upstream::to(servers.address("USER_MERGE__BROKER__URL"));
    upstream.listen().await;
    for source in 1..=SOURCES {
        let lane = LANES[usize::from(source % 3 == 0)];
        assert!(upstream.send(lane, &ledger::request(source)).await);
    }

    for round in 0..5 {
        eventually("merges that are halfway", || async {
            (halfway(&pool).await? >= 400).then_some(())
        })
        .await;
        if round % 2 == 0 {
            servers.run("kill", &["postgres"]);
            servers.run("up", &["postgres"]);
        } else {
            let session = session(&pool).await.to_string();
            let killed = Command::new("kill").args(["-s", "KILL", &session]).status();
            assert!(killed.unwrap().success());
        }
        eventually("the database again", || halfway(&pool)).await;
    }

    ledger::until_done(&pool, SOURCES).await;
    assert!(worker.runs());
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);
    ledger::assert_merged_once(&pool, SOURCES).await;
    let verified = output(command(&settings, &["verify", "--patience", "0s"])).await;
    assert_eq!(verified.status, 0, "{verified:?}");
    for queue in [LANES[0], LANES[1], DEAD] {
        assert!(upstream.take(queue).await.is_empty(), "left in {queue}");
    }
    ledger::assert_deletions(&upstream.take(DELETIONS).await, SOURCES);
    ledger::assert_told(&upstream.heard().await, SOURCES);
}
