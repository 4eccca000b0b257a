//! A user with very many tickets, beside users with fewer: time per ticket, locks, memory.

use anyhow::{Result, ensure};

use super::large::locks;
use super::{float, merge_one};
use crate::desk::Desk;
use crate::report::{Goal, Report};
use crate::servers::Servers;
use crate::sizes::Sizes;
use crate::stats::{Spread, grouped};
use crate::worker::{Queues, TELL_CHUNKS, Worker};

pub async fn run(servers: &Servers, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let desk = Desk::open(servers, "million", sizes.bystanders).await?;
    let mut per_ticket = Vec::new();
    let mut peak = 0.0;
    let mut chunks = Vec::new();
    for (tickets, rounds) in sizes.million {
        let mut of_size = Vec::new();
        for _ in 0..rounds {
            let took;
            (took, peak, chunks) = round(servers, &desk, tickets).await?;
            of_size.push(took * 1e6 / float(tickets));
        }
        per_ticket.push((tickets, Spread::of(&of_size)));
    }
    desk.close(servers).await?;

    let mut section = report.of("million");
    for (tickets, spread) in &per_ticket {
        let what = format!("a user with {} tickets: per ticket", grouped(&tickets));
        section.figure(&what, "µs", *spread);
    }
    let [(less, of_less), _, (most, of_most)] = &per_ticket[..] else {
        anyhow::bail!("three sizes are compared");
    };
    let ratio = Spread::once(of_most.median / of_less.median);
    let what = format!(
        "per ticket, {} : {} tickets",
        grouped(&most),
        grouped(&less)
    );
    section.goal(&what, "×", ratio, Goal::AtMost(1.2));
    locks(&mut section, &chunks);
    let what = format!("peak memory with a merge of {} tickets", grouped(&most));
    section.goal(&what, "MiB", Spread::once(peak), Goal::AtMost(24.0));
    Ok(())
}

/// Seconds, peak memory and the chunks' lock times of one merge by a fresh worker.
async fn round(servers: &Servers, desk: &Desk, tickets: i64) -> Result<(f64, f64, Vec<f64>)> {
    let queues = Queues::new("million");
    let batch = desk.batch(1, tickets).await?;
    let limit = tickets.to_string();
    let settings = [TELL_CHUNKS, ("USER_MERGE__MERGE__TICKET_LIMIT", &*limit)];
    let worker = Worker::start(servers, desk, &queues, &settings).await?;
    let (channel, mut deletions) = servers.broker.listen(&queues.deletion).await?;
    let took = merge_one(servers, desk, &queues, &mut deletions, &batch).await?;
    let peak = worker.process.peak()?;
    let chunks = worker.stop().await?;
    ensure!(!chunks.is_empty(), "the worker's log tells of no chunk");
    channel.close(200, "done".into()).await?;
    queues.check(servers).await?;
    queues.delete(servers).await?;
    Ok((took, peak, chunks))
}
