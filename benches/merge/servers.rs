//! The servers that `benches/run` started, with full durability.

use anyhow::{Context as _, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use crate::broker::Broker;

pub struct Servers {
    pub database: PgConnectOptions,
    database_url: String,
    pub broker_url: String,
    pub broker: Broker,
}

impl Servers {
    pub async fn open() -> Result<Self> {
        let broker_url = variable("USER_MERGE__BROKER__URL")?;
        let database_url = variable("USER_MERGE__DATABASE__URL")?;
        let servers = Self {
            database: database_url.parse()?,
            database_url,
            broker: Broker::connect(&broker_url).await?,
            broker_url,
        };
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let value = servers.ask(&format!("SHOW {setting}")).await?;
            ensure!(value == "on", "{setting} is {value}: figures need it on");
        }
        Ok(servers)
    }

    /// As PostgreSQL's own programs read it too.
    pub fn database_url(&self, name: &str) -> String {
        let (server, _) = self.database_url.rsplit_once('/').unwrap_or_default();
        format!("{server}/{name}")
    }

    /// Flushes what loading left behind, so that it doesn't fall into the run that is timed next.
    pub async fn checkpoint(&self) -> Result<()> {
        self.run("CHECKPOINT").await
    }

    pub async fn ask(&self, sql: &str) -> Result<String> {
        let mut connection = self.administrator().await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await?)
    }

    pub async fn run(&self, sql: &str) -> Result<()> {
        let mut connection = self.administrator().await?;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    async fn administrator(&self) -> Result<PgConnection> {
        let options = self.database.clone();
        let options = options.username("postgres").database("postgres");
        Ok(options.connect().await?)
    }
}

pub fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: start this by benches/run"))
}
