//! The lock of the one worker that keeps the outbox and the merges in order while all others merge.
//!
//! A session holds it and nothing else: it ends with the connection, so whoever holds it and dies lets go of it.
//! The work that it stands for is safe even if two did it at once; the lock only spares the database the second one.

use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use super::{Pool, Result};

/// What the advisory lock is called, in the database's own name space of such locks: `usrmerge` in ASCII,
/// which `pg_locks` shows as classid 1970500205 and objid 1701996389.
const KEY: i64 = i64::from_be_bytes(*b"usrmerge");

/// A session of its own, from the first question for the lock until it is lost or given back.
#[derive(Debug)]
pub struct Session {
    connection: PoolConnection<Postgres>,
    backend: i32,
}

impl Session {
    /// Takes a connection for good, and tells the server to end it when nothing is heard of this process for
    /// `silence`: a machine that is gone (keepalives), an answer that never arrives (user time-out), a process that
    /// hangs and whose kernel goes on answering (idle session). Servers before PostgreSQL 14 don't know the last.
    pub async fn open(pool: &Pool, silence: Duration) -> Result<Self> {
        let mut connection = pool.acquire().await?;
        // Never back into the pool: the lock would stay behind on it.
        connection.close_on_drop();
        let probes = 3;
        let every = (silence / (probes + 1)).as_secs().max(1);
        let settings = [
            ("tcp_keepalives_idle", every),
            ("tcp_keepalives_interval", every),
            ("tcp_keepalives_count", probes.into()),
            ("tcp_user_timeout", 1_000 * silence.as_secs()),
            ("idle_session_timeout", 1_000 * silence.as_secs()),
        ];
        let (names, values): (Vec<&str>, Vec<String>) = settings
            .iter()
            .map(|(name, value)| (*name, value.to_string()))
            .unzip();
        sqlx::query!(
            r#"
            SELECT set_config(wanted.name, wanted.value, false)
            FROM unnest($1::text[], $2::text[]) AS wanted (name, value)
            WHERE EXISTS (SELECT FROM pg_settings known WHERE known.name = wanted.name)
            "#,
            &names as &[&str],
            &values,
        )
        .fetch_all(&mut *connection)
        .await?;
        let backend = backend(&mut connection).await?;
        Ok(Self {
            connection,
            backend,
        })
    }

    /// Asks for the lock, and doesn't wait for it.
    pub async fn try_lock(&mut self) -> Result<bool> {
        let locked = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "locked!""#, KEY)
            .fetch_one(&mut *self.connection)
            .await?;
        Ok(locked)
    }

    /// Whether it is the same session still, and so whatever it has locked is locked: behind a pooler in
    /// transaction mode it isn't.
    pub async fn stands(&mut self) -> Result<bool> {
        Ok(backend(&mut self.connection).await? == self.backend)
    }

    /// Lets go of the lock, if it has it.
    pub async fn close(self) -> Result<()> {
        self.connection.close().await?;
        Ok(())
    }
}

async fn backend(connection: &mut PoolConnection<Postgres>) -> Result<i32> {
    let backend = sqlx::query_scalar!(r#"SELECT pg_backend_pid() AS "pid!""#)
        .fetch_one(&mut **connection)
        .await?;
    Ok(backend)
}
