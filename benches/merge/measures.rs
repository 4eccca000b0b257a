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
use clap::ValueEnum as _;
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
    for &name in Name::value_variants() {
        if options.wants(name) {
            eprintln!("{name:?}");
            let done = one(name, servers, options, &sizes, report).await;
            done.with_context(|| format!("{name:?}"))?;
        }
    }
    Ok(())
}

async fn one(
    name: Name,
    servers: &Servers,
    options: &Options,
    sizes: &Sizes,
    report: &mut Report,
) -> Result<()> {
    match name {
        Name::Large => large::run(servers, sizes, report).await,
        // Both lanes stand beside the same yardsticks, so they share a run.
        Name::Interactive => {
            let lanes = [true, options.wants(Name::Bulk)];
            rates::run(servers, sizes, lanes, report).await
        }
        Name::Bulk if options.wants(Name::Interactive) => Ok(()),
        Name::Bulk => rates::run(servers, sizes, [false, true], report).await,
        Name::Latency => latency::run(servers, sizes, report).await,
        Name::Scale => scale::run(servers, sizes, report).await,
        Name::Million => million::run(servers, sizes, report).await,
        Name::Memory => memory::run(servers, sizes, report).await,
        Name::Start => start::run(servers, sizes, report).await,
    }
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
