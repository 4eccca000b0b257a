//! A reference help desk in a database of its own, dropped with the value.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::sync::OnceCell;
use user_merge::config::Settings;
use user_merge::domain::{MergeId, MergeRequest};
use user_merge::merge::{Merger, Report, Until};
use user_merge::store;
use user_merge::store::merges::Envelope;

use super::eventually;

/// Migrated once, copied for each test.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// One test's help desk.
pub struct Desk {
    /// To look at it, and to write to it as the help desk would.
    pub pool: PgPool,
    /// The settings of the mergers and workers of this test; change them before starting one.
    pub settings: Settings,
    name: String,
    server: PgConnectOptions,
}

impl Desk {
    /// An empty help desk with one account, 1 (password sign-on, one organization per user).
    pub async fn open() -> Self {
        let template = TEMPLATE.get_or_init(make_template).await;
        let desk = Self::copy_of(template).await;
        desk.account(1, &["password"], false).await;
        desk
    }

    /// A desk that is in all like this one, to be changed: quicker than to fill another. Ends all connections to
    /// this one, which takes none any more.
    pub async fn copy(&self) -> Self {
        let name = &self.name;
        self.pool.close().await;
        self.shut().await;
        // A session that was told to end may be there for a moment more.
        let others = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
        eventually("a desk without connections", || async {
            (number(&self.server, &others).await == 0).then_some(())
        })
        .await;
        let mut copy = Self::copy_of(name).await;
        let url = copy.settings.database.url.take();
        copy.settings = self.settings.clone();
        copy.settings.database.url = url;
        copy
    }

    async fn copy_of(template: &str) -> Self {
        let name = unique("desk");
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        execute(&options(), &sql).await;
        Self::of(options(), name).await
    }

    /// The same on a server of the test's own, at this URL.
    pub async fn open_at(url: &str) -> Self {
        let (server, name) = (url.parse().unwrap(), unique("desk"));
        make(&server, &name).await;
        let desk = Self::of(server, name).await;
        desk.account(1, &["password"], false).await;
        desk
    }

    async fn of(server: PgConnectOptions, name: String) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(12)
            // A test whose statement waits for another of its own fails, and says where.
            .connect_with(
                server
                    .clone()
                    .database(&name)
                    .options([("statement_timeout", "60s")]),
            )
            .await
            .unwrap();
        let settings = settings(&server.clone().database(&name));
        Self {
            pool,
            settings,
            name,
            server,
        }
    }

    /// A merger under this test's settings, with connections of its own.
    pub fn merger(&self) -> Merger {
        Merger::new(
            user_merge::app::pool(&self.settings).unwrap(),
            &self.settings,
        )
    }

    /// Runs a request to its end or pause, without a broker.
    pub async fn run(&self, request: &MergeRequest) -> store::Result<Report> {
        self.run_with(&self.merger(), request).await
    }

    /// The same with a given merger.
    pub async fn run_with(&self, merger: &Merger, request: &MergeRequest) -> store::Result<Report> {
        let until = Until::new(
            tokio_util::sync::CancellationToken::new(),
            self.settings.merge.slice,
        );
        merger
            .run(envelope(request), &until)
            .await
            .map_err(|failed| failed.error)
    }

    /// Runs several requests in one transaction: an ending for each, `None` for one that has to go by itself.
    pub async fn run_together(&self, requests: &[MergeRequest]) -> Vec<Option<Report>> {
        self.run_together_with(&self.merger(), requests).await
    }

    /// The same with a given merger.
    pub async fn run_together_with(
        &self,
        merger: &Merger,
        requests: &[MergeRequest],
    ) -> Vec<Option<Report>> {
        let envelopes: Vec<_> = requests.iter().map(envelope).collect();
        merger.run_together(&envelopes).await
    }

    /// Makes chunks of exactly so many rows: a merge of more than that is a large one.
    pub fn chunks_of(&mut self, rows: u32) {
        let chunk = &mut self.settings.chunk;
        (chunk.min, chunk.initial, chunk.max) = (rows, rows, rows);
    }

    /// Runs a request until one chunk is committed, and leaves off there.
    pub async fn run_one_chunk(&self, request: &MergeRequest) -> store::Result<Report> {
        let until = Until::new(
            tokio_util::sync::CancellationToken::new(),
            std::time::Duration::ZERO,
        );
        self.merger()
            .run(envelope(request), &until)
            .await
            .map_err(|failed| failed.error)
    }

    /// One number from a query: the test's own look at the tables.
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// One text from a query.
    pub async fn text(&self, sql: &str) -> Option<String> {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// A statement as the help desk would run it.
    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// The database takes no connections any more, and those of workers end.
    pub async fn shut(&self) {
        let name = &self.name;
        let sql = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
        execute(&self.server, &sql).await;
        self.end_connections().await;
    }

    /// The connections of workers end.
    pub async fn end_connections(&self) {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = '{}' AND application_name = 'user-merge'",
            self.name
        );
        execute(&self.server, &sql).await;
    }

    /// Takes connections again.
    pub async fn reopen(&self) {
        let name = &self.name;
        let sql = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
        execute(&self.server, &sql).await;
    }

    /// This database's URL, for processes.
    pub fn url(&self) -> String {
        let options = self.server.clone().database(&self.name);
        options.to_url_lossy().to_string()
    }
}

/// A request as it comes by the interactive lane.
pub fn envelope(request: &MergeRequest) -> Envelope<'_> {
    Envelope {
        request,
        new_id: MergeId::now_v7(),
        lane: "interactive",
        correlation_id: None,
        traceparent: None,
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // Not on the test's runtime: it may be unwinding.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(execute(&server, &sql));
        });
        drop(dropped.join());
    }
}

async fn make_template() -> String {
    let name = unique("template");
    make(&options(), &name).await;
    name
}

/// A database with both schemas.
async fn make(server: &PgConnectOptions, name: &str) {
    execute(server, &format!("CREATE DATABASE {name}")).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(server.clone().database(name))
        .await
        .unwrap();
    store::migrate::helpdesk(&pool).await.unwrap();
    store::migrate::user_merge(&pool).await.unwrap();
    pool.close().await;
}

/// Defaults, this database, and delays short enough for a test to see a message come back.
fn settings(database: &PgConnectOptions) -> Settings {
    let set = |key: &str, value: &str| (format!("USER_MERGE__{key}"), value.to_owned());
    let env = [
        set("DATABASE__URL", database.to_url_lossy().as_str()),
        set("DATABASE__MAX_CONNECTIONS", "14"),
        set("LANES__INTERACTIVE__CONCURRENCY", "6"),
        set("LANES__BULK__CONCURRENCY", "3"),
        set("RETRY__DELAYS", "1s,2s"),
        set("RETRY__CONFLICT_DELAY", "1s"),
        set("RETRY__BASE", "5ms"),
        set("TELEMETRY__LISTEN", ""),
    ];
    Settings::from_sources(None, env.into_iter()).unwrap()
}

fn options() -> PgConnectOptions {
    super::address("USER_MERGE__DATABASE__URL").parse().unwrap()
}

fn unique(what: &str) -> String {
    format!(
        "user_merge_{what}_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

async fn number(server: &PgConnectOptions, sql: &str) -> i64 {
    let mut connection = PgConnection::connect_with(server).await.unwrap();
    let number = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    number
}

async fn execute(server: &PgConnectOptions, sql: &str) {
    let mut connection = PgConnection::connect_with(server).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}
