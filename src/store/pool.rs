//! Connections to PostgreSQL, with the limits that every one of them carries.

use std::future::ready;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Postgres};

use super::Result;

/// Connections, shared by all who ask for one. The rooms that hand it on don't know who makes it.
pub type Pool = sqlx::PgPool;

/// One connection, inside a transaction or on its own.
pub type Connection = sqlx::PgConnection;

/// A transaction. Never drop one from a future that may be cancelled while it begins or runs a statement:
/// sqlx 0.9.0 may then hand the connection out again with the transaction still open (launchbadge/sqlx#4385).
/// Every merge therefore runs in a task of its own that is left to finish.
pub type Transaction = sqlx::Transaction<'static, Postgres>;

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most connections at once.
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long a statement waits for each lock. Well below PostgreSQL's `deadlock_timeout` (1 s), so that in
    /// a deadlock with the help desk it is the merge that gives way. The help desk's clock starts when it
    /// begins to wait; a merge that has locked the source and then waited elsewhere may run into the deadlock
    /// that much later, so several waits in a row have to fit.
    pub lock_timeout: Duration,
    /// How long a statement may run.
    pub statement_timeout: Duration,
}

/// Begins a transaction whose commit doesn't wait for the disk, nor for a standby: it is atomic and seen at once like
/// any other, but the end of what was committed so may be lost where the server crashes. That is for work that is
/// done again if it is missing, and that nobody is told of before a commit that waits: that one takes everything
/// before it to the disk as well, because they share one log. The commit's locks are held for that much less.
pub async fn begin_unsynced(
    connection: &mut Connection,
) -> Result<sqlx::Transaction<'_, Postgres>> {
    let begin = "BEGIN; SET LOCAL synchronous_commit TO off";
    Ok(connection.begin_with(begin).await?)
}

fn connect_options(url: &str, options: &Options) -> Result<PgConnectOptions> {
    let milliseconds = |limit: Duration| limit.as_millis().to_string();
    Ok(url
        .parse::<PgConnectOptions>()?
        .application_name("user-merge")
        .options([
            ("lock_timeout", milliseconds(options.lock_timeout)),
            ("statement_timeout", milliseconds(options.statement_timeout)),
            (
                "idle_in_transaction_session_timeout",
                milliseconds(options.statement_timeout),
            ),
            // Short statements of known shape: compiling them costs more than it saves.
            ("jit", "off".to_owned()),
            // Each statement has its index and should take it, whatever the planner believes of a tenant that was
            // just loaded: with the values known, it holds any index that begins with the account for as good.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            ("enable_seqscan", "off".to_owned()),
        ]))
}

/// Connects once and hangs up: says at once, and why, where a pool would go on trying until its time is over.
pub async fn try_connect(url: &str, options: &Options) -> Result<()> {
    let connecting = Connection::connect_with(&connect_options(url, options)?).await;
    connecting?.close().await?;
    Ok(())
}

/// Opens a pool; connections are made when they are needed, so this doesn't wait for the database.
pub fn connect(url: &str, options: &Options) -> Result<Pool> {
    let connect = connect_options(url, options)?;
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.connect_timeout)
        // A connection in steady use needs no ping before each transaction; one that lay idle may be dead.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > Duration::from_secs(1) {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        // The client keeps room for the largest message that it ever sent over a connection. Those of a batch are large,
        // and come to every connection in turn.
        .after_release(|connection, _| {
            connection.shrink_buffers();
            Box::pin(ready(Ok(true)))
        })
        .connect_lazy_with(connect);
    Ok(pool)
}

/// Begins a transaction that locks what belongs to many, and must not hold all of it while it waits for one: whatever
/// it can't pass over, it waits for a moment only.
pub async fn begin_in_haste(pool: &Pool) -> Result<Transaction> {
    let begin = "BEGIN; SET LOCAL lock_timeout = '50ms'";
    Ok(pool.begin_with(begin).await?)
}

/// Where the pool connects to, for messages: host and port, never a password.
#[must_use]
pub fn address(pool: &Pool) -> String {
    let options = pool.connect_options();
    format!("{}:{}", options.get_host(), options.get_port())
}

/// Whether the database answers, can be written to, and has the worker's tables. Locks nothing: a read-only server
/// refuses to begin.
pub async fn is_reachable(pool: &Pool) -> Result<()> {
    can_write(&mut *pool.acquire().await?).await
}

/// The same over a connection of its own: the pool's may be dead without knowing it, or all at work. May be given
/// up at any time, since nobody gets its connection after it.
pub async fn answers(pool: &Pool) -> Result<()> {
    let mut connection = Connection::connect_with(&pool.connect_options()).await?;
    can_write(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

async fn can_write(connection: &mut Connection) -> Result<()> {
    sqlx::query_scalar!(r#"SELECT 1 AS "one!" FROM user_merge.merges LIMIT 0 FOR UPDATE"#)
        .fetch_optional(connection)
        .await?;
    Ok(())
}
