//! The only wiring: settings in, a running worker out.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker;
use crate::config::Settings;
use crate::retry::Pauses;
use crate::store;
use crate::telemetry::{self, Health};
use crate::worker;

/// How long telemetry may take to answer its last questions.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A pool for the help desk's database. Connects when it is first used.
pub fn pool(settings: &Settings) -> anyhow::Result<store::Pool> {
    let database = &settings.database;
    let options = store::Options {
        max_connections: database.max_connections,
        connect_timeout: database.connect_timeout,
        lock_timeout: database.lock_timeout,
        statement_timeout: database.statement_timeout,
    };
    store::connect(database.require_url()?.expose_secret(), &options)
        .context("setting database.url (USER_MERGE__DATABASE__URL) is no PostgreSQL URL")
}

/// How to reach the broker.
pub fn broker(settings: &Settings) -> anyhow::Result<broker::Settings> {
    let from = &settings.broker;
    let url: SecretString = from.require_url()?.clone();
    let broker = broker::Settings {
        delays: settings.retry.delays.clone(),
        delivery_limit: from.delivery_limit,
        heartbeat: from.heartbeat,
        connect_timeout: from.connect_timeout,
        publish_timeout: from.publish_timeout,
        ca_file: from.ca_file.clone(),
        ..broker::Settings::new(url, from.names.clone())
    };
    broker.check()?;
    Ok(broker)
}

/// A worker until `stop`: lanes, relay, sweep, health and metrics.
///
/// Returns once everything has come to a safe point, or with an error where it can't start, or where the grace
/// period ended first. Nothing is lost in either case: what is unsettled is delivered again.
pub async fn run_worker(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let pool = pool(&settings)?;
    let broker = broker(&settings)?;
    wait_for_database(&pool, &stop).await?;

    let health = Health::expecting(worker::conditions());
    let asked = pool.clone();
    health.probe("database", move || {
        let pool = asked.clone();
        async move { store::is_reachable(&pool).await.is_ok() }
    });
    let telemetry_stop = CancellationToken::new();
    let server = telemetry::start(
        settings.telemetry.listen,
        health.clone(),
        telemetry_stop.clone(),
    )
    .await?;
    if let Some(server) = &server {
        info!(address = %server.address(), "serving /metrics, /healthz and /readyz");
    }

    let grace = settings.worker.grace;
    let running = worker::run(settings, broker, pool.clone(), health, stop.clone());
    let result = within_grace(running, &stop, grace).await;
    telemetry_stop.cancel();
    if let Some(server) = server {
        drop(tokio::time::timeout(LAST_WORDS, server.stopped()).await);
    }
    result?;
    pool.close().await;
    info!("stopped");
    Ok(())
}

/// Lets `running` take as long as it likes before `stop`, and `grace` after it.
async fn within_grace(
    running: impl Future<Output = Result<(), broker::Error>> + Send + 'static,
    stop: &CancellationToken,
    grace: Duration,
) -> anyhow::Result<()> {
    // In a task of its own: giving up waiting must not cancel a transaction halfway.
    let mut running = tokio::spawn(running);
    let finished = tokio::select! {
        finished = &mut running => finished,
        () = stop.cancelled() => {
            info!("stopping: no more messages are taken");
            match tokio::time::timeout(grace, &mut running).await {
                Ok(finished) => finished,
                Err(_) => bail!("not finished within the grace period; unsettled messages are delivered again"),
            }
        }
    };
    finished
        .context("the worker crashed")?
        .context("can't consume")
}

/// Waits for a database that is down, and fails at once where waiting can't help.
async fn wait_for_database(pool: &store::Pool, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut pauses = Pauses::new(Duration::from_millis(200), Duration::from_secs(5));
    while !stop.is_cancelled() {
        match store::is_reachable(pool).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_outage() => warn!("waiting for the database: {error}"),
            Err(error) if matches!(error.label().as_ref(), "42P01" | "3F000") => {
                bail!("the database has no schema user_merge: run `user-merge migrate` first")
            }
            Err(error) => return Err(error).context("can't use the database"),
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.next_pause()) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}
