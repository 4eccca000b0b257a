//! How long an interactive request takes while a backfill runs, beside the same without one.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use lapin::Consumer;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::rates;
use crate::broker::{Broker, next_deletion};
use crate::desk::{Batch, Desk, request};
use crate::report::{Goal, Report};
use crate::servers::Servers;
use crate::sizes::{ARRIVALS, SMALL, Sizes};
use crate::stats::{Spread, percentile, ratios};
use crate::worker::{Queues, Worker};

const BULK: usize = 1;

pub async fn run(servers: &Servers, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let (seconds, calibration) = sizes.latency;
    let desk = Desk::open(servers, "latency", sizes.bystanders).await?;
    let queues = Queues::new("latency");
    Worker::start(servers, &desk, &queues, &[])
        .await?
        .stop()
        .await?;
    let pace = rates::lane(servers, &desk, &queues, BULK, calibration)
        .await?
        .rate;
    let backlog = enough(pace, seconds);

    // 50th and 99th percentile of each round, in milliseconds.
    let mut idle = [Vec::new(), Vec::new()];
    let mut saturated = [Vec::new(), Vec::new()];
    for at in 1..=sizes.rounds {
        eprintln!("  round {at} of {}", sizes.rounds);
        let count = usize::try_from(seconds * ARRIVALS)?;
        for (bulk, figures) in [(0, &mut idle), (backlog, &mut saturated)] {
            let batch = desk.batch(count, SMALL).await?;
            let took = round(servers, &desk, &queues, &batch, bulk).await?;
            figures[0].push(percentile(&took, 50.0));
            figures[1].push(percentile(&took, 99.0));
        }
    }
    queues.delete(servers).await?;
    desk.close(servers).await?;

    let mut section = report.of("latency");
    for (when, figures) in [("idle", &idle), ("saturated", &saturated)] {
        for (percent, figures) in [50, 99].into_iter().zip(figures) {
            let what = format!("interactive, bulk lane {when}, {percent}th percentile");
            section.figure(&what, "ms", Spread::of(figures));
        }
    }
    let ratio = ratios(&saturated[1], &idle[1]);
    section.goal(
        "saturated : idle, 99th percentile",
        "×",
        ratio,
        Goal::AtMost(2.0),
    );
    Ok(())
}

/// A backlog that outlasts the round.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rough number"
)]
fn enough(pace: f64, seconds: u64) -> usize {
    (pace * (seconds + 3) as f64 * 2.0) as usize
}

/// Milliseconds of each request from publish to deletion message, at a steady pace. The worker is a fresh one.
async fn round(
    servers: &Servers,
    desk: &Desk,
    queues: &Queues,
    batch: &Batch,
    bulk: usize,
) -> Result<Vec<f64>> {
    let broker = &servers.broker;
    if bulk > 0 {
        let backlog = desk.batch(bulk, SMALL).await?;
        broker.publish(&queues.bulk, backlog.requests()).await?;
    }
    servers.checkpoint().await?;
    let (channel, mut deletions) = broker.listen(&queues.deletion).await?;
    let worker = Worker::start(servers, desk, queues, &[]).await?;
    // Past the first moments of the process.
    sleep(Duration::from_secs(1)).await;

    let took = paced(broker, &queues.interactive, &mut deletions, batch).await?;
    if bulk > 0 {
        let left = broker.depth(&queues.bulk).await?;
        ensure!(left > 0, "the bulk lane ran dry: this was no saturation");
        broker.purge(&queues.bulk).await?;
    }
    worker.stop().await?;
    // What the worker gave back when it stopped.
    broker.purge(&queues.bulk).await?;
    channel.close(200, "done".into()).await?;
    broker.purge(&queues.deletion).await?;
    queues.check(servers).await?;
    desk.check_merged(batch).await?;
    Ok(took)
}

/// Publishes on a schedule, and hears the answers meanwhile.
async fn paced(
    broker: &Broker,
    queue: &str,
    deletions: &mut Consumer,
    batch: &Batch,
) -> Result<Vec<f64>> {
    let published = std::sync::Mutex::new(HashMap::with_capacity(batch.len()));
    let publishing = async {
        let mut ticks = interval(Duration::from_secs(1) / u32::try_from(ARRIVALS)?);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for &source in &batch.sources {
            // From when it was due: a broker that is slow to confirm delays the next ones, and that counts too.
            let due = ticks.tick().await.into_std();
            published.lock().expect("nobody panics").insert(source, due);
            broker.publish_one(queue, request(source)).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let hearing = async {
        let mut took = Vec::with_capacity(batch.len());
        while took.len() < batch.len() {
            let user = next_deletion(deletions).await?;
            let at = published.lock().expect("nobody panics").remove(&user);
            // Others are of the bulk lane.
            took.extend(at.map(|at| at.elapsed().as_secs_f64() * 1e3));
        }
        Ok(took)
    };
    let ((), took) = tokio::try_join!(publishing, hearing)?;
    Ok(took)
}
