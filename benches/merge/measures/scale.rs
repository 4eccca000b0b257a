//! What a ticket costs in a large table, beside the same in a small one. Both are there at once, and the tickets of
//! each user are spread over the whole table.

use std::time::Instant;

use anyhow::{Result, ensure};
use lapin::Consumer;

use super::{float, merge_one};
use crate::broker::next_deletion;
use crate::desk::{Batch, MANY, Wide};
use crate::report::{Goal, Report};
use crate::servers::Servers;
use crate::sizes::{SMALL, Sizes};
use crate::stats::{Spread, grouped, ratios};
use crate::worker::{Queues, Worker};

/// One table with its worker, and microseconds per ticket.
struct Side {
    wide: Wide,
    queues: Queues,
    worker: Worker,
    deletions: Consumer,
    costs: [Vec<f64>; 4],
}

/// Large merges in a round, and large raw moves.
const LARGE: i64 = 3;
/// The first two have a goal; the others show what the table itself costs.
const KINDS: [&str; 4] = [
    "merges of 1,000 tickets",
    "merges of 5 tickets",
    "raw SQL statement, 1,000 tickets",
    "raw SQL statements, 5 tickets each",
];

pub async fn run(servers: &Servers, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let (tables, merges, rounds) = sizes.scale;
    let mut both = Vec::new();
    for tickets in tables {
        both.push(Side::open(servers, tickets).await?);
    }
    for round in 1..=rounds {
        eprintln!("  round {round} of {rounds}");
        for side in &mut both {
            side.round(servers, merges).await?;
        }
    }
    let mut costs = Vec::new();
    for side in both {
        costs.push((side.wide.tickets, side.costs.clone()));
        side.close(servers).await?;
    }

    let mut section = report.of("scale");
    let [(small, of_small), (large, of_large)] = &costs[..] else {
        anyhow::bail!("two tables are compared");
    };
    for (kind, what) in KINDS.into_iter().enumerate() {
        for (tickets, costs) in &costs {
            let what = format!("{what}, table of {}: per ticket", grouped(&tickets));
            section.figure(&what, "µs", Spread::of(&costs[kind]));
        }
        let ratio = ratios(&of_large[kind], &of_small[kind]);
        let what = format!(
            "{what}: table of {} : of {}",
            grouped(&large),
            grouped(&small)
        );
        if kind >= 2 {
            section.figure(&what, "×", ratio);
        } else {
            section.goal(&what, "×", ratio, Goal::AtMost(1.2));
        }
    }
    Ok(())
}

impl Side {
    async fn open(servers: &Servers, tickets: i64) -> Result<Self> {
        let name = format!("scale_{tickets}");
        let wide = Wide::open(servers, &name, tickets).await?;
        let queues = Queues::new(&name);
        let worker = Worker::start(servers, &wide.desk, &queues, &[]).await?;
        let (_, deletions) = servers.broker.listen(&queues.deletion).await?;
        Ok(Self {
            wide,
            queues,
            worker,
            deletions,
            costs: Default::default(),
        })
    }

    async fn round(&mut self, servers: &Servers, merges: usize) -> Result<()> {
        let mut seconds = [0.0; 2];
        for _ in 0..LARGE {
            let batch = self.wide.large();
            let (desk, queues) = (&self.wide.desk, &self.queues);
            seconds[0] += merge_one(servers, desk, queues, &mut self.deletions, &batch).await?;
            let batch = self.wide.large();
            servers.checkpoint().await?;
            seconds[1] += self.wide.desk.move_raw(&batch).await?;
        }
        self.costs[0].push(microseconds(seconds[0], LARGE * MANY));
        self.costs[2].push(microseconds(seconds[1], LARGE * MANY));

        let batch = self.wide.small(merges);
        let took = self.small(servers, &batch).await?;
        let tickets = i64::try_from(merges)? * SMALL;
        self.costs[1].push(microseconds(took, tickets));

        let batch = self.wide.small(merges);
        servers.checkpoint().await?;
        let took = self.wide.desk.move_raw(&batch).await?;
        self.costs[3].push(microseconds(took, tickets));
        Ok(())
    }

    /// Seconds of many small merges, published as fast as the broker takes them.
    async fn small(&mut self, servers: &Servers, batch: &Batch) -> Result<f64> {
        servers.checkpoint().await?;
        let began = Instant::now();
        let broker = &servers.broker;
        let publishing = broker.publish(&self.queues.interactive, batch.requests());
        let deletions = &mut self.deletions;
        let hearing = async {
            let mut users = std::collections::HashSet::new();
            while users.len() < batch.len() {
                ensure!(
                    users.insert(next_deletion(deletions).await?),
                    "one came twice"
                );
            }
            Ok(began.elapsed().as_secs_f64())
        };
        let ((), took) = tokio::try_join!(publishing, hearing)?;
        self.wide.desk.check_merged(batch).await?;
        Ok(took)
    }

    async fn close(self, servers: &Servers) -> Result<()> {
        self.worker.stop().await?;
        self.queues.check(servers).await?;
        self.queues.delete(servers).await?;
        self.wide.desk.close(servers).await
    }
}

fn microseconds(seconds: f64, tickets: i64) -> f64 {
    seconds * 1e6 / float(tickets)
}
