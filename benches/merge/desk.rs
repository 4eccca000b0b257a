//! A help desk to measure on: a database of its own, with enough around the merged users to be one.

use std::time::Instant;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use user_merge::store::migrate;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Users and tickets that nothing happens to.
const BYSTANDERS: (i64, i64) = (20_000, 200_000);

pub struct Desk {
    pub url: String,
    pool: PgPool,
    name: String,
    server: PgConnectOptions,
}

impl Desk {
    pub async fn open() -> Result<Self> {
        let server: PgConnectOptions = std::env::var("USER_MERGE__DATABASE__URL")?.parse()?;
        let name = format!("user_merge_bench_{}", std::process::id());
        execute(&server, &format!("CREATE DATABASE {name}")).await?;
        let options = server.clone().database(&name);
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_with(options.clone())
            .await?;
        migrate::helpdesk(&pool).await?;
        migrate::user_merge(&pool).await?;
        let desk = Self {
            url: options.to_url_lossy().to_string(),
            pool,
            name,
            server,
        };
        let (users, tickets) = BYSTANDERS;
        desk.run(&format!(
            "INSERT INTO helpdesk.accounts VALUES (1, 'bench', '{{password}}', false);
             INSERT INTO helpdesk.users (account_id, id, name, verified)
             SELECT 1, id, 'bystander', true FROM generate_series(1, {users}) id;
             INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
             SELECT 1, id, 2 + id % ({users} - 2), 1, 'open', 'bystander' FROM generate_series(1, {tickets}) id;
             ANALYZE helpdesk.users; ANALYZE helpdesk.tickets"
        ))
        .await?;
        Ok(desk)
    }

    /// A user with so many tickets, and one without any to merge it into; `n` keeps ids apart.
    pub async fn large_pair(&self, n: i64, tickets: i64) -> Result<(i64, i64)> {
        let (id, target) = (1_000_000 + 2 * n, 1_000_001 + 2 * n);
        let first = 1_000_000 + n * tickets;
        self.run(&format!(
            "INSERT INTO helpdesk.users (account_id, id, name, verified) VALUES
                 (1, {id}, 'source', true), (1, {target}, 'target', true);
             INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
             SELECT 1, id, {id}, 1, CASE WHEN id % 3 = 0 THEN 'closed' ELSE 'open' END, 'subject'
             FROM generate_series({first}, {first} + {tickets} - 1) id"
        ))
        .await?;
        Ok((id, target))
    }

    /// Users with a few tickets each, and as many users to merge them into.
    pub async fn small_users(&self, users: i64, tickets: i64) -> Result<Vec<(i64, i64)>> {
        self.run(&format!(
            "INSERT INTO helpdesk.users (account_id, id, name, verified)
             SELECT 1, id, 'small', true FROM generate_series(2000001, 2000000 + 2 * {users}) id;
             INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
             SELECT 1, 10000000 + n, 2000001 + n / {tickets}, 1, 'open', 'subject'
             FROM generate_series(0, {users} * {tickets} - 1) n;
             ANALYZE helpdesk.users; ANALYZE helpdesk.tickets"
        ))
        .await?;
        Ok((1..=users)
            .map(|n| (2_000_000 + n, 2_000_000 + users + n))
            .collect())
    }

    /// The yardstick: one statement that moves all of a user's tickets and writes their log entries. Seconds.
    pub async fn move_raw(&self, n: i64, tickets: i64) -> Result<f64> {
        let (source, target) = self.large_pair(n, tickets).await?;
        let sql = format!(
            "WITH moved AS (
                 UPDATE helpdesk.tickets SET requester_id = {target}, updated_at = now()
                 WHERE account_id = 1 AND requester_id = {source} RETURNING id
             )
             INSERT INTO helpdesk.ticket_events
                 (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
             SELECT 1, id, 'requester_id', '{source}', '{target}', 'user_merge', gen_random_uuid(), true FROM moved"
        );
        let began = Instant::now();
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&self.pool).await?;
        assert_eq!(
            done.rows_affected(),
            u64::try_from(tickets)?,
            "the yardstick moves what the worker moves"
        );
        Ok(began.elapsed().as_secs_f64())
    }

    async fn run(&self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let (server, sql) = (
            self.server.clone(),
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        );
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.map(|runtime| runtime.block_on(execute(&server, &sql)).is_ok())
        });
        drop(dropped.join());
    }
}

async fn execute(server: &PgConnectOptions, sql: &str) -> Result<()> {
    let mut connection = server.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await?;
    Ok(())
}
