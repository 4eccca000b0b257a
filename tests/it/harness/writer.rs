//! The help desk at work while a merge runs: transactions of its own, held open for as long as a test likes,
//! and who waits for whom. Tests of concurrent writers go by this and never by time.

use sqlx::{AssertSqlSafe, Postgres, Transaction};
use tokio::task::JoinHandle;
use user_merge::domain::MergeRequest;
use user_merge::merge::{Merger, Report, Until};
use user_merge::store;

use super::desk::{Desk, envelope};
use super::eventually;

/// One of the help desk's transactions.
pub struct Writer {
    tx: Transaction<'static, Postgres>,
    pid: i32,
}

impl Writer {
    /// A statement; how many rows it touched.
    pub async fn execute(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *self.tx)
            .await?;
        Ok(done.rows_affected())
    }

    /// A statement that is going to wait, in a task of its own.
    pub fn start(mut self, sql: &str) -> JoinHandle<Result<Self, sqlx::Error>> {
        let sql = sql.to_owned();
        tokio::spawn(async move {
            self.execute(&sql).await?;
            Ok(self)
        })
    }

    pub async fn commit(self) {
        self.tx.commit().await.unwrap();
    }

    pub async fn rollback(self) {
        self.tx.rollback().await.unwrap();
    }

    /// The server process, for [`Desk::waits_for_merge`] after [`Writer::start`].
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Desk {
    /// Begins a transaction of the help desk's.
    pub async fn begin(&self) -> Writer {
        let mut tx = self.pool.begin().await.unwrap();
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        Writer { tx, pid }
    }

    /// Begins one that has done this much already.
    pub async fn begin_with(&self, sql: &str) -> Writer {
        let mut writer = self.begin().await;
        writer.execute(sql).await.unwrap();
        writer
    }

    /// Starts a merge in a task of its own.
    pub fn start(&self, request: &MergeRequest) -> JoinHandle<store::Result<Report>> {
        let (merger, request) = (self.merger(), request.clone());
        let until = Until::new(
            tokio_util::sync::CancellationToken::new(),
            self.settings.merge.slice,
        );
        tokio::spawn(async move {
            merger
                .run(envelope(&request), &until)
                .await
                .map_err(|failed| failed.error)
        })
    }

    /// Runs a request for one time slice that is over at once: a large merge pauses after a chunk.
    pub async fn run_slice(
        &self,
        merger: &Merger,
        request: &MergeRequest,
    ) -> store::Result<Report> {
        let until = Until::new(
            tokio_util::sync::CancellationToken::new(),
            std::time::Duration::ZERO,
        );
        merger
            .run(envelope(request), &until)
            .await
            .map_err(|failed| failed.error)
    }

    /// Returns once a merge waits for this transaction's locks.
    pub async fn merge_waits_for(&self, writer: &Writer) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'user-merge'
               AND {} = ANY (pg_blocking_pids(pid))",
            writer.pid
        );
        eventually("a merge that waits for the help desk", || async {
            (self.number(&sql).await > 0).then_some(())
        })
        .await;
    }

    /// Returns once this process of the help desk's waits for a merge's locks.
    pub async fn waits_for_merge(&self, pid: i32) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'user-merge'
               AND pid = ANY (pg_blocking_pids({pid}))"
        );
        eventually("a writer that waits for a merge", || async {
            (self.number(&sql).await > 0).then_some(())
        })
        .await;
    }
}
