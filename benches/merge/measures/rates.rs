//! Small merges a second: both lanes, each with a backlog, beside the stored procedure and Celery.

use anyhow::{Result, ensure};

use crate::celery::Celery;
use crate::desk::{Desk, RICH_SOURCE, request};
use crate::procedure::Procedure;
use crate::processor::Taken;
use crate::report::{Goal, Report, Section};
use crate::servers::Servers;
use crate::sizes::{SMALL, Sizes};
use crate::stats::{Spread, float, ratios};
use crate::worker::{Queues, Worker};

/// Clients of the procedure; the last number is what the goals are about.
const CLIENTS: [usize; 3] = [1, 4, 16];
/// A part of the processor time.
type Part = fn(Taken) -> f64;
/// Who takes part.
const PARTS: [(&str, Part); 3] = [
    ("PostgreSQL", |taken| taken.database),
    ("RabbitMQ", |taken| taken.broker),
    ("user-merge", |taken| taken.worker),
];
const LANES: [(&str, f64, f64); 2] = [("interactive", 0.9, 5.0), ("bulk", 3.0, 15.0)];

#[derive(Default)]
struct Rates {
    lanes: [Vec<Lane>; 2],
    procedure: [Vec<f64>; 3],
    celery: Vec<f64>,
}

/// What a lane does.
pub struct Lane {
    /// Merges a second.
    pub rate: f64,
    /// Processor time of each.
    taken: Taken,
}

pub async fn run(
    servers: &Servers,
    sizes: &Sizes,
    lanes: [bool; 2],
    report: &mut Report,
) -> Result<()> {
    let desk = Desk::open(servers, "rates", sizes.bystanders).await?;
    let queues = Queues::new("rates");
    // Declares the queues, so that they can be filled before the worker that counts starts.
    Worker::start(servers, &desk, &queues, &[])
        .await?
        .stop()
        .await?;
    let procedure =
        Procedure::new(Desk::open(servers, "procedure", sizes.bystanders).await?).await?;
    let celery = Celery::new(
        servers,
        Desk::open(servers, "celery", sizes.bystanders).await?,
    )
    .await?;
    compare(servers, &desk, &queues, &procedure, &celery).await?;
    let [small, bulk, of_celery] = sizes.merges;

    let mut rates = Rates::default();
    for round in 1..=sizes.rounds {
        eprintln!("  round {round} of {}", sizes.rounds);
        for (at, count) in [small, bulk].into_iter().enumerate() {
            if lanes[at] {
                rates.lanes[at].push(lane(servers, &desk, &queues, at, count).await?);
            }
        }
        for (clients, rates) in CLIENTS.into_iter().zip(&mut rates.procedure) {
            rates.push(procedure.rate(servers, clients, small).await?);
        }
        rates.celery.push(celery.rate(servers, of_celery).await?);
    }
    queues.delete(servers).await?;
    desk.close(servers).await?;
    procedure.desk.close(servers).await?;
    celery.close(servers).await?;
    put(&rates, lanes, report);
    Ok(())
}

/// Merges a second of a fresh worker that finds its queue full, from the moment at which it consumes.
pub async fn lane(
    servers: &Servers,
    desk: &Desk,
    queues: &Queues,
    lane: usize,
    count: usize,
) -> Result<Lane> {
    let batch = desk.batch(count, SMALL).await?;
    let queue = [&queues.interactive, &queues.bulk][lane];
    let (seconds, taken) = work_off(servers, desk, queues, queue, &batch.sources).await?;
    desk.check_merged(&batch).await?;
    Ok(Lane {
        rate: float(count) / seconds,
        taken,
    })
}

/// Queues these merges, then starts a worker until all are done: seconds since it consumes, and the processor time of
/// each.
async fn work_off(
    servers: &Servers,
    desk: &Desk,
    queues: &Queues,
    queue: &str,
    sources: &[i64],
) -> Result<(f64, Taken)> {
    let broker = &servers.broker;
    let requests = sources.iter().copied().map(request);
    broker.publish(queue, requests).await?;
    servers.checkpoint().await?;
    let worker = Worker::start(servers, desk, queues, &[]).await?;
    let before = Taken::by_now(&worker.process)?;
    let arrivals = broker.arrivals(&queues.deletion, sources.len()).await?;
    let taken = Taken::by_now(&worker.process)?.each(before, float(sources.len()));
    let took = arrivals.last - worker.consuming[0];
    worker.stop().await?;
    broker.take_deletions(&queues.deletion, sources).await?;
    queues.check(servers).await?;
    Ok((took.as_secs_f64(), taken))
}

/// Whether the yardsticks do the same: each merges a pair that meets many rules, and everything must be as it is
/// after the worker.
async fn compare(
    servers: &Servers,
    desk: &Desk,
    queues: &Queues,
    procedure: &Procedure,
    celery: &Celery,
) -> Result<()> {
    for desk in [desk, &procedure.desk, &celery.desk] {
        desk.add_rich_pair().await?;
    }
    let source = [RICH_SOURCE];
    work_off(servers, desk, queues, &queues.interactive, &source).await?;
    procedure.merge(RICH_SOURCE).await?;
    celery.work_off(servers, &source).await?;
    let due = desk.rich_pair().await?;
    for (yardstick, desk) in [("procedure", &procedure.desk), ("Celery", &celery.desk)] {
        let done = desk.rich_pair().await?;
        ensure!(
            done == due,
            "{yardstick} merges otherwise:\n{done}\ninstead of\n{due}"
        );
    }
    Ok(())
}

fn put(rates: &Rates, lanes: [bool; 2], report: &mut Report) {
    let mut section = report.of("yardsticks of small merges");
    let unit = "/s";
    for (clients, rates) in CLIENTS.into_iter().zip(&rates.procedure) {
        let s = if clients == 1 { "" } else { "s" };
        let what = format!("stored procedure, {clients} client{s}, no broker");
        section.figure(&what, unit, Spread::of(rates));
    }
    section.figure("Celery, 8 processes", unit, Spread::of(&rates.celery));
    let asked = LANES.iter().zip(&rates.lanes).zip(lanes);
    for ((&(name, to_procedure, to_celery), lane), _) in asked.filter(|(_, asked)| *asked) {
        let mut section = report.of(name);
        let rate: Vec<f64> = lane.iter().map(|lane| lane.rate).collect();
        let what = format!("user-merge, merges of {SMALL} tickets");
        section.figure(&what, unit, Spread::of(&rate));
        let ratio = ratios(&rate, &rates.procedure[2]);
        let goal = Goal::AtLeast(to_procedure);
        section.goal("user-merge : procedure with 16 clients", "×", ratio, goal);
        let ratio = ratios(&rate, &rates.celery);
        section.goal("user-merge : Celery", "×", ratio, Goal::AtLeast(to_celery));
        limits(&mut section, lane, &rates.celery);
    }
}

/// Where the time goes, and how much faster it could be with parts that cost nothing.
fn limits(section: &mut Section<'_>, lane: &[Lane], celery: &[f64]) {
    let each = |of: Part| lane.iter().map(|lane| of(lane.taken)).collect::<Vec<_>>();
    for (name, of) in PARTS {
        let what = format!("processor time a merge: {name}");
        section.figure(&what, "µs", Spread::of(&each(of)));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bound = |of: Part| {
        let rates: Vec<f64> = each(of)
            .iter()
            .map(|each| float(cores) * 1e6 / each)
            .collect();
        ratios(&rates, celery)
    };
    let what = "bound : Celery, if only PostgreSQL and RabbitMQ took time";
    section.figure(what, "×", bound(|taken| taken.database + taken.broker));
    let what = "bound : Celery, if only PostgreSQL took time";
    section.figure(what, "×", bound(|taken| taken.database));
}
