//! How the database is doing, and the pace at which the workers therefore work.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::Result;

/// A worker that has been silent for so long is not shown: it is gone, or has lost the database.
const SILENT: Duration = Duration::from_secs(30);

/// What one look at the database shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Health {
    /// How far its log (WAL) has been written, in bytes.
    pub written: i64,
    /// How far the slowest standby has replayed it; `None` where there is no standby, or none to be seen.
    pub replayed: Option<i64>,
    /// The longest delay that the server itself reports, in seconds, as of the standby's last answer.
    pub reported_lag: Option<f64>,
    /// Sessions in this database that wait for a lock. Advisory locks don't count: an application may well have
    /// sessions that do nothing but wait for their turn at one.
    pub lock_waits: i64,
    /// Whether other roles' sessions and the standbys can be seen at all.
    pub sees_all: bool,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign {
    /// The process, under an id of its own.
    pub worker: Uuid,
    /// `full`, `slowed` or `held`.
    pub state: &'static str,
    /// Why it is slowed down: a label, what was measured, and how much may be.
    pub reason: Option<(&'static str, f64, f64)>,
    /// Merges of the bulk lane at once.
    pub bulk_hands: u16,
}

/// A worker as `user-merge status` shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Shown {
    /// The process.
    pub worker_id: Uuid,
    /// Its address as the database sees it; none where it comes by a socket.
    pub address: Option<String>,
    /// Its process id there.
    pub process_id: i64,
    /// The program's version.
    pub version: String,
    /// `full`, `slowed` or `held`.
    pub state: String,
    /// What slows it down.
    pub reason: Option<String>,
    /// What was measured: seconds, sessions, or MiB a second.
    pub measured: Option<f64>,
    /// From where on it slows down.
    pub allowed: Option<f64>,
    /// Merges of the bulk lane at once.
    pub bulk_hands: i32,
    /// When it was first seen.
    pub started_at: DateTime<Utc>,
    /// Since when it is slowed down, or is not.
    pub since: DateTime<Utc>,
    /// Its last sign of life.
    pub seen_at: DateTime<Utc>,
}

/// A connection of its own: what it is to measure is the database, not how long the pool's are all at work.
#[derive(Debug)]
pub struct Session(PoolConnection<Postgres>);

impl Session {
    /// Takes a connection for good.
    pub async fn open(pool: &PgPool) -> Result<Self> {
        let mut connection = pool.acquire().await?;
        // Whoever waits for an answer in vain drops it, statement and all.
        connection.close_on_drop();
        Ok(Self(connection))
    }

    /// One look. `ignored`: names of standbys that are behind on purpose.
    ///
    /// `pg_stat_activity` and not `pg_locks`, which anyone may read in full: reading that stops the lock manager for a
    /// moment, the more so the more there is to see. Logical subscribers are no standbys, nor is a backup under way.
    pub async fn measure(&mut self, ignored: &[String]) -> Result<Health> {
        let health = sqlx::query_as!(
            Health,
            r#"
            SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS "written!",
                   pg_wal_lsn_diff(standby.replayed, '0/0')::bigint AS replayed,
                   extract(epoch FROM standby.lag)::double precision AS reported_lag,
                   (SELECT count(*) FROM pg_stat_activity a
                    WHERE a.datname = current_database() AND a.wait_event_type = 'Lock'
                      AND a.wait_event <> 'advisory') AS "lock_waits!",
                   pg_has_role('pg_read_all_stats', 'USAGE') AS "sees_all!"
            FROM (
                SELECT min(r.replay_lsn) AS replayed, max(r.replay_lag) AS lag
                FROM pg_stat_replication r
                WHERE r.state IN ('catchup', 'streaming') AND r.application_name <> ALL ($1::text[])
                  AND NOT EXISTS (SELECT FROM pg_replication_slots s
                                  WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
            ) standby
            "#,
            ignored,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(health)
    }

    /// Says at what pace this worker works, and removes what is left of others that are long gone.
    pub async fn record(&mut self, sign: &Sign) -> Result<()> {
        let reason = sign.reason;
        sqlx::query!(
            r#"
            WITH gone AS (
                DELETE FROM user_merge.pace
                WHERE seen_at < now() - interval '10 minutes' AND worker_id <> $1
            )
            INSERT INTO user_merge.pace AS p
                (worker_id, address, process_id, version, state, reason, measured, allowed, bulk_hands)
            VALUES ($1, host(inet_client_addr()), $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (worker_id) DO UPDATE
            SET since = CASE WHEN (p.state = 'full') = (excluded.state = 'full') THEN p.since ELSE now() END,
                seen_at = now(), state = excluded.state, reason = excluded.reason, measured = excluded.measured,
                allowed = excluded.allowed, bulk_hands = excluded.bulk_hands
            "#,
            sign.worker,
            i64::from(std::process::id()),
            env!("CARGO_PKG_VERSION"),
            sign.state,
            reason.map(|(label, _, _)| label),
            reason.map(|(_, measured, _)| measured),
            reason.map(|(_, _, allowed)| allowed),
            i32::from(sign.bulk_hands),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// The worker ends, and its row with it.
    pub async fn leave(&mut self, worker: Uuid) -> Result<()> {
        sqlx::query!("DELETE FROM user_merge.pace WHERE worker_id = $1", worker)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

/// The workers that have given a sign of life lately.
pub async fn workers(pool: &PgPool) -> Result<Vec<Shown>> {
    let workers = sqlx::query_as!(
        Shown,
        r#"
        SELECT worker_id, address, process_id, version, state, reason, measured, allowed, bulk_hands,
               started_at, since, seen_at
        FROM user_merge.pace
        WHERE seen_at > now() - $1::double precision * interval '1 second'
        ORDER BY started_at, worker_id
        "#,
        SILENT.as_secs_f64(),
    )
    .fetch_all(pool)
    .await?;
    Ok(workers)
}
