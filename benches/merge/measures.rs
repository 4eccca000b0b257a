//! What is measured, one file each.

mod large;
mod latency;
mod memory;
mod million;
mod rates;
mod scale;
mod start;

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use lapin::Consumer;

use crate::broker::next_deletion;
use crate::desk::{Batch, Desk, request};
use crate::options::{Name, Options};
use crate::report::Report;
use crate::servers::Servers;
use crate::sizes::Sizes;
use crate::worker::Queues;

/// Runs what was asked for.
pub async fn run(servers: &Servers, options: &Options, report: &mut Report) -> Result<()> {
    let sizes = if options.quick {
        Sizes::quick()
    } else {
        Sizes::full()
    };
    let lanes = [Name::Interactive, Name::Bulk].map(|name| options.wants(name));
    if options.wants(Name::Start) {
        let done = start::run(servers, &sizes, report).await;
        done.context("start")?;
    }
    if options.wants(Name::Large) {
        let done = large::run(servers, &sizes, report).await;
        done.context("large")?;
    }
    if lanes != [false; 2] {
        let done = rates::run(servers, &sizes, lanes, report).await;
        done.context("interactive and bulk")?;
    }
    if options.wants(Name::Latency) {
        let done = latency::run(servers, &sizes, report).await;
        done.context("latency")?;
    }
    if options.wants(Name::Scale) {
        let done = scale::run(servers, &sizes, report).await;
        done.context("scale")?;
    }
    if options.wants(Name::Million) {
        let done = million::run(servers, &sizes, report).await;
        done.context("million")?;
    }
    if options.wants(Name::Memory) {
        let done = memory::run(servers, &sizes, report).await;
        done.context("memory")?;
    }
    Ok(())
}

/// Seconds from the publishing of one request to its deletion message.
async fn merge_one(
    servers: &Servers,
    desk: &Desk,
    queues: &Queues,
    deletions: &mut Consumer,
    batch: &Batch,
) -> Result<f64> {
    let [source] = batch.sources[..] else {
        anyhow::bail!("one at a time");
    };
    servers.checkpoint().await?;
    let began = Instant::now();
    servers
        .broker
        .publish_one(&queues.interactive, request(source))
        .await?;
    let deleted = next_deletion(deletions).await?;
    let took = began.elapsed().as_secs_f64();
    ensure!(deleted == source, "a deletion message of another user");
    desk.check_merged(batch).await?;
    Ok(took)
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn float(count: i64) -> f64 {
    count as f64
}
