//! A help desk to measure on: a database of its own, with enough around the merged users to be one.

mod check;
mod load;
mod raw;
mod rich;
mod wide;

use std::cell::Cell;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::process::{PROGRAM, output};
use crate::servers::Servers;
pub use load::{Batch, request};
pub use rich::SOURCE as RICH_SOURCE;
pub use wide::{MANY, Wide};

pub struct Desk {
    pub url: String,
    pool: PgPool,
    name: String,
    next_user: Cell<i64>,
    next_ticket: Cell<i64>,
}

impl Desk {
    /// Empty tables.
    pub async fn empty(servers: &Servers, name: &str) -> Result<Self> {
        let name = format!("bench_{name}");
        servers
            .run(&format!("CREATE DATABASE {name} OWNER user_merge"))
            .await?;
        let options = servers.database.clone().database(&name);
        let url = servers.database_url(&name);
        let mut migrate = Command::new(PROGRAM);
        migrate
            .args(["migrate", "--with-helpdesk"])
            .env("USER_MERGE__DATABASE__URL", &url);
        output(&mut migrate, "user-merge migrate", Duration::from_mins(1)).await?;
        let pool = PgPoolOptions::new().max_connections(2);
        let desk = Self {
            pool: pool.connect_with(options).await?,
            url,
            name,
            next_user: Cell::new(1_000_000),
            next_ticket: Cell::new(1_000_000),
        };
        desk.run("INSERT INTO helpdesk.accounts VALUES (1, 'bench', '{password}', false)")
            .await?;
        Ok(desk)
    }

    /// With users and tickets that nothing happens to.
    pub async fn open(servers: &Servers, name: &str, (users, tickets): (i64, i64)) -> Result<Self> {
        let desk = Self::empty(servers, name).await?;
        desk.run(&format!(
            "INSERT INTO helpdesk.users (account_id, id, name, verified)
             SELECT 1, id, 'bystander', true FROM generate_series(1, {users}) id;
             INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary, verified)
             SELECT 1, id, 'email', 'bystander.' || id || '@example.com', true, true
             FROM generate_series(1, {users}) id;
             INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
             SELECT 1, id, 1 + id % {users}, 1 + id % {users}, 'open', 'Where is my order?'
             FROM generate_series(1, {tickets}) id"
        ))
        .await?;
        desk.tidy().await?;
        Ok(desk)
    }

    pub async fn close(self, servers: &Servers) -> Result<()> {
        self.pool.close().await;
        servers
            .run(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
            .await
    }

    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub async fn run(&self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// As autovacuum would have left it by the time that anybody merges these users.
    async fn tidy(&self) -> Result<()> {
        for table in ["users", "user_identities", "tickets"] {
            self.run(&format!("VACUUM (ANALYZE) helpdesk.{table}"))
                .await?;
        }
        Ok(())
    }

    /// So many ids in a row that nobody has yet.
    fn take(next: &Cell<i64>, count: i64) -> i64 {
        next.replace(next.get() + count)
    }
}
