//! The yardstick of small merges: the whole of one as a stored procedure, called by pgbench, without a broker.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::desk::{Batch, Desk};
use crate::process::output;
use crate::servers::{Servers, variable};
use crate::sizes::SMALL;

pub struct Procedure {
    pub desk: Desk,
    pgbench: String,
}

impl Procedure {
    pub async fn new(desk: Desk) -> Result<Self> {
        desk.run(include_str!("procedure.sql")).await?;
        let pgbench = variable("USER_MERGE_BENCH_PGBENCH")?;
        Ok(Self { desk, pgbench })
    }

    /// Merges a second, by so many clients at once.
    pub async fn rate(&self, servers: &Servers, clients: usize, merges: usize) -> Result<f64> {
        ensure!(merges.is_multiple_of(clients), "each client merges as many");
        let batch = self.desk.batch(merges, SMALL).await?;
        self.line_up(&batch).await?;
        servers.checkpoint().await?;
        let (each, clients) = ((merges / clients).to_string(), clients.to_string());
        let mut command = Command::new(&self.pgbench);
        command
            .args(["--no-vacuum", "--protocol", "prepared"])
            .args(["--client", &clients, "--jobs", &clients])
            .args([
                "--transactions",
                &each,
                "--file",
                "benches/merge/procedure.pgbench",
            ])
            // Planned as the worker's statements are, whatever the planner believes of tables that just grew.
            .env(
                "PGOPTIONS",
                "-c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off",
            )
            .arg(&self.desk.url);
        let told = output(&mut command, "pgbench", Duration::from_mins(10)).await?;
        self.desk.check_merged(&batch).await?;
        rate(&told, merges)
    }

    /// One merge.
    pub async fn merge(&self, source: i64) -> Result<()> {
        let target = source + 1;
        self.desk
            .run(&format!(
                "SELECT bench.merge_users(1, {source}, {target}, 'bench-2026-{source}')"
            ))
            .await
    }

    async fn line_up(&self, batch: &Batch) -> Result<()> {
        self.desk
            .run("TRUNCATE bench.pairs; ALTER SEQUENCE bench.next RESTART")
            .await?;
        sqlx::query(
            "INSERT INTO bench.pairs
             SELECT n, id, id + 1 FROM unnest($1::bigint[]) WITH ORDINALITY AS source (id, n)",
        )
        .bind(&batch.sources)
        .execute(self.desk.pool())
        .await?;
        self.desk.run("ANALYZE bench.pairs").await
    }
}

/// As pgbench counts it, without the time in which it connects.
fn rate(told: &str, merges: usize) -> Result<f64> {
    let done = format!("number of transactions actually processed: {merges}/{merges}");
    ensure!(told.contains(&done), "pgbench did not do all:\n{told}");
    let rate = told.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rate| rate.split(' ').next());
    Ok(rate.context("pgbench tells no rate")?.parse()?)
}
