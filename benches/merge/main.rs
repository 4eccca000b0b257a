//! First figures: `benches/run`. Each measure runs beside its yardstick in the same run, on the same server with
//! the same durability; only ratios mean something, because machines differ and are noisy.

mod desk;
mod worker;

use std::time::Instant;

use desk::Desk;
use worker::Worker;

/// Rounds of the large merge, each beside the raw statement.
const ROUNDS: i64 = 7;
/// Tickets of the user that is merged in a round.
const LARGE: i64 = 10_000;
/// Small merges, and the tickets of each.
const SMALL: (i64, i64) = (3_000, 5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` and the like only want to know that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let desk = Desk::open().await?;
    let worker = Worker::start(&desk).await?;

    let (mut raw, mut merged) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raw.push(desk.move_raw(round, LARGE).await?);
        let (source, target) = desk.large_pair(ROUNDS + round, LARGE).await?;
        let began = Instant::now();
        worker.ask(source, target).await?;
        worker.wait_for_deletions(1).await?;
        merged.push(began.elapsed().as_secs_f64());
    }
    let (raw, merged) = (median(raw), median(merged));
    println!("a merge of {LARGE} tickets, from publish to deletion message (median of {ROUNDS})");
    row("one raw SQL statement", raw, LARGE);
    row("user-merge", merged, LARGE);
    println!(
        "  ratio user-merge : raw                {:>10.2}",
        merged / raw
    );

    let pairs = desk.small_users(SMALL.0, SMALL.1).await?;
    let began = Instant::now();
    worker.ask_all(&pairs).await?;
    worker.wait_for_deletions(pairs.len()).await?;
    let took = began.elapsed().as_secs_f64();
    println!(
        "{} merges of {} tickets, interactive lane, default settings",
        SMALL.0, SMALL.1
    );
    row("user-merge", took, SMALL.0);
    let end = worker.stop().await?;
    println!("the whole run");
    println!(
        "  longest chunk, locks held (ms)        {:>10.1}",
        end.longest_chunk * 1e3
    );
    println!(
        "  99th percentile of chunks (ms)        {:>10.1}",
        end.p99_chunk * 1e3
    );
    println!(
        "  peak memory of the worker (MiB)       {:>10.1}",
        end.peak_mib
    );
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn row(what: &str, seconds: f64, count: i64) {
    println!(
        "  {what:<24} {seconds:>8.3} s  {:>10.0} per second",
        count as f64 / seconds
    );
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
