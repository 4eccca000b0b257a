//! The only wiring: settings in, a running worker out.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker;
use crate::config::{Database, Settings};
use crate::retry::Pauses;
use crate::store;
use crate::telemetry::{self, Health, Watchdog};
use crate::worker;

/// How long telemetry may take to answer its last questions, and connections to say good-bye.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A pool for the help desk's database. Connects when it is first used.
pub fn pool(settings: &Settings) -> anyhow::Result<store::Pool> {
    let url = settings.database.require_url()?;
    // The library's error could quote a part of the URL.
    let pool = store::connect(url.expose_secret(), &options(&settings.database));
    Ok(pool.map_err(|_| Database::malformed_url())?)
}

/// The same for a command that somebody waits for: says at once, and why, if there is no connection to be had.
pub async fn connected_pool(settings: &Settings) -> anyhow::Result<store::Pool> {
    let pool = pool(settings)?;
    let (database, options) = (&settings.database, options(&settings.database));
    let trying = store::try_connect(database.require_url()?.expose_secret(), &options);
    match timeout(database.connect_timeout, trying).await {
        Ok(tried) => tried.map_err(explain)?,
        Err(_) => bail!(
            "the database at {} doesn't answer: check host and port in database.url",
            store::address(&pool)
        ),
    }
    Ok(pool)
}

fn options(database: &Database) -> store::Options {
    store::Options {
        max_connections: database.max_connections,
        connect_timeout: database.connect_timeout,
        lock_timeout: database.lock_timeout,
        statement_timeout: database.statement_timeout,
    }
}

/// What somebody can do about an error of the database.
#[must_use]
pub fn explain(error: store::Error) -> anyhow::Error {
    let label = error.label();
    let advice = match (label.as_ref(), label.get(..2).unwrap_or_default()) {
        ("42P01" | "3F000", _) => "the worker's tables are missing: run `user-merge migrate` first",
        ("3D000", _) => "there is no such database: check database.url",
        ("42501", _) => "the user in database.url lacks a permission",
        ("io" | "pool_timed_out", _) => {
            "no connection: check that the database runs, and host and port in database.url"
        }
        ("tls", _) => "no encrypted connection: check sslmode in database.url",
        (_, "28") => {
            "the database refused the login: check user, password and database in database.url"
        }
        _ => "can't use the database",
    };
    anyhow!(error).context(advice)
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

    let health = Health::expecting(worker::conditions());
    let asked = pool.clone();
    health.probe("database", move || {
        let pool = asked.clone();
        async move { store::is_reachable(&pool).await.is_ok() }
    });
    // First of all: whoever watches the process must see that it lives while it waits for the database.
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

    let _watchdog = Watchdog::start(health.clone()).context("can't start the watchdog")?;
    let grace = settings.worker.grace;
    let result = match wait_for_database(&pool, &stop).await {
        Ok(true) => {
            let running = worker::run(settings, broker, pool.clone(), health, stop.clone());
            within_grace(running, &stop, grace).await
        }
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    telemetry_stop.cancel();
    if let Some(server) = server {
        drop(timeout(LAST_WORDS, server.stopped()).await);
    }
    result?;
    // A database that hangs must not keep the process: all that counts is committed.
    drop(timeout(LAST_WORDS, pool.close()).await);
    info!("stopped");
    Ok(())
}

/// Lets `running` take as long as it likes before `stop`, and `grace` after it.
async fn within_grace(
    running: impl Future<Output = Result<(), worker::Error>> + Send + 'static,
    stop: &CancellationToken,
    grace: Duration,
) -> anyhow::Result<()> {
    // In a task of its own: giving up waiting must not cancel a transaction halfway.
    let mut running = tokio::spawn(running);
    let finished = tokio::select! {
        finished = &mut running => finished,
        () = stop.cancelled() => {
            info!("stopping: no more messages are taken");
            match timeout(grace, &mut running).await {
                Ok(finished) => finished,
                Err(_) => bail!("not finished within worker.grace; unsettled messages are delivered again"),
            }
        }
    };
    Ok(finished.context("the worker crashed")??)
}

/// Waits for a database that is down, and fails at once where waiting can't help. False where it was told to
/// stop meanwhile.
async fn wait_for_database(pool: &store::Pool, stop: &CancellationToken) -> anyhow::Result<bool> {
    let mut pauses = Pauses::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        let answer = tokio::select! {
            answer = store::is_reachable(pool) => answer,
            () = stop.cancelled() => return Ok(false),
        };
        match answer {
            Ok(()) => return Ok(true),
            Err(error) if error.is_outage() && !error.is_refusal() => {
                let address = store::address(pool);
                warn!("waiting for the database at {address}: {error}");
            }
            Err(error) => return Err(explain(error)),
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.next_pause()) => {}
            () = stop.cancelled() => return Ok(false),
        }
    }
}
