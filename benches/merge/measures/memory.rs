//! The worker's memory while very many messages wait for it.

use anyhow::{Result, ensure};

use crate::desk::{Desk, request};
use crate::report::{Goal, Report};
use crate::servers::Servers;
use crate::sizes::{SMALL, Sizes};
use crate::stats::{Spread, grouped};
use crate::worker::{Queues, Worker};

/// Users that don't exist: the messages behind those that are settled.
const NOBODY: i64 = 1_000_000_000;

pub async fn run(servers: &Servers, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let (waiting, settled) = sizes.waiting;
    let desk = Desk::open(servers, "memory", sizes.bystanders).await?;
    let queues = Queues::new("memory");
    let worker = Worker::start(servers, &desk, &queues, &[]).await?;
    let at_rest = worker.process.peak()?;
    worker.stop().await?;

    // Half of them for each lane: those of users first, then what fills the queue.
    let batch = desk.batch(settled, SMALL).await?;
    // Numbers on both sides, so that the plans are read that tell whether they are one (rule P1).
    desk.run(
        "INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value)
         SELECT 1, user_id + 1, 'phone', '+4940' || 100000000 + user_id FROM helpdesk.user_identities WHERE kind = 'phone'",
    )
    .await?;
    let broker = &servers.broker;
    let users = batch.sources.chunks(settled / 2);
    for (queue, users) in [&queues.interactive, &queues.bulk].into_iter().zip(users) {
        let fill = (0..).map(|n| NOBODY + n).take((waiting - settled) / 2);
        let sources = users.iter().copied().chain(fill);
        broker.publish(queue, sources.map(request)).await?;
    }
    let mut worker = Worker::start(servers, &desk, &queues, &[]).await?;
    broker.arrivals(&queues.deletion, settled / 4).await?;
    let early = worker.process.peak()?;
    broker.arrivals(&queues.deletion, settled).await?;
    let peak = worker.process.peak()?;
    worker.process.must_run()?;
    let mut left = 0;
    for queue in [&queues.interactive, &queues.bulk] {
        left += broker.depth(queue).await?;
    }
    ensure!(left > waiting / 2, "only {left} messages still wait");
    worker.stop().await?;
    broker
        .take_deletions(&queues.deletion, &batch.sources)
        .await?;
    desk.check_merged(&batch).await?;
    queues.check(servers).await?;
    queues.delete(servers).await?;
    desk.close(servers).await?;

    let mut section = report.of("memory");
    section.figure("peak after the start", "MiB", Spread::once(at_rest));
    let waiting = grouped(&waiting);
    let what = format!(
        "peak with {waiting} messages waiting, {} merged",
        grouped(&(settled / 4))
    );
    section.figure(&what, "MiB", Spread::once(early));
    let what = format!(
        "peak with {waiting} messages waiting, {} merged",
        grouped(&settled)
    );
    section.goal(&what, "MiB", Spread::once(peak), Goal::AtMost(24.0));
    Ok(())
}
