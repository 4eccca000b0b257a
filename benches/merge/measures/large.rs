//! A large merge beside one statement that does its moving.

use anyhow::{Result, ensure};

use super::merge_one;
use crate::desk::Desk;
use crate::report::{Goal, Report};
use crate::servers::Servers;
use crate::sizes::Sizes;
use crate::stats::{Spread, grouped, percentile, ratios};
use crate::worker::{Queues, TELL_CHUNKS, Worker};

pub async fn run(servers: &Servers, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let (tickets, rounds) = sizes.large;
    let desk = Desk::open(servers, "large", sizes.bystanders).await?;
    let queues = Queues::new("large");
    let worker = Worker::start(servers, &desk, &queues, &[TELL_CHUNKS]).await?;
    let (_channel, mut deletions) = servers.broker.listen(&queues.deletion).await?;

    let (mut raw, mut merged) = (Vec::new(), Vec::new());
    // The first round warms both up and doesn't count.
    for round in 0..=rounds {
        let of_raw = desk.batch(1, tickets).await?;
        servers.checkpoint().await?;
        let raw_took = desk.move_raw(&of_raw).await?;
        let batch = desk.batch(1, tickets).await?;
        let took = merge_one(servers, &desk, &queues, &mut deletions, &batch).await?;
        if round > 0 {
            raw.push(raw_took);
            merged.push(took);
        }
    }
    let chunks = worker.stop().await?;
    ensure!(!chunks.is_empty(), "the worker's log tells of no chunk");
    queues.check(servers).await?;
    queues.delete(servers).await?;
    desk.close(servers).await?;

    let mut section = report.of("large");
    section.figure("one raw SQL statement", "s", Spread::of(&raw));
    let what = format!(
        "user-merge, {} tickets, publish to deletion message",
        grouped(&tickets)
    );
    section.figure(&what, "s", Spread::of(&merged));
    let ratio = ratios(&merged, &raw);
    section.goal("user-merge : raw", "×", ratio, Goal::AtMost(1.0));
    locks(&mut section, &chunks);
    Ok(())
}

/// How long chunks held their locks.
pub fn locks(section: &mut crate::report::Section<'_>, chunks: &[f64]) {
    let milliseconds: Vec<f64> = chunks.iter().map(|seconds| seconds * 1e3).collect();
    let at = |percent| Spread::once(percentile(&milliseconds, percent));
    let what = format!("locks held by a chunk, 99th percentile of {}", chunks.len());
    section.goal(&what, "ms", at(99.0), Goal::AtMost(50.0));
    section.figure("locks held by a chunk, longest", "ms", at(100.0));
}
