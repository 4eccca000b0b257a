//! The keeper's rounds: merges that stand still, and merged users whose rows are still there (rule D4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Worker;
use crate::broker::Lane;
use crate::store::tombstones::Cursor;
use crate::telemetry::{Pulse, metric};

/// What comes late mostly comes soon: users merged this lately are looked at in every round.
const LATELY: Duration = Duration::from_hours(1);
/// Batches of a round among these, at most.
const LATELY_BATCHES: u32 = 20;
/// Batches of a round among all merged users of the window, which thus take their turn.
const ALL_BATCHES: u32 = 20;
/// The loop turns at least this often, whatever its interval.
const TURN: Duration = Duration::from_secs(1);

/// A walk over merged users, oldest first, that goes on in the next round where it stopped in this.
struct Walk {
    window: Duration,
    batches: u32,
    cursor: Option<Cursor>,
}

/// Until the lock is lost, or the worker stops.
pub(super) async fn run(worker: Arc<Worker>, over: CancellationToken) {
    let settings = &worker.settings.sweep;
    let walk = |window: Duration, batches| Walk {
        window,
        batches,
        cursor: None,
    };
    let mut walks = [
        walk(settings.window.min(LATELY), LATELY_BATCHES),
        walk(settings.window, ALL_BATCHES),
    ];
    // Not at once: after an outage the merges that it held up go on by themselves first.
    let mut due = Instant::now() + settings.interval;
    let pulse = worker.pulse("sweep");
    loop {
        pulse.beat();
        tokio::select! {
            () = tokio::time::sleep(settings.interval.min(TURN)) => {}
            () = over.cancelled() => return,
        }
        if Instant::now() < due {
            continue;
        }
        enqueue_stranded(&worker).await;
        for walk in &mut walks {
            go_on(&worker, walk, &over, &pulse).await;
        }
        due = Instant::now() + settings.interval;
    }
}

async fn enqueue_stranded(worker: &Worker) {
    let after = worker.settings.sweep.stranded_after;
    match worker.merger.enqueue_stranded(after).await {
        Ok(promised) => {
            metric::stranded(promised.len().try_into().unwrap_or(u64::MAX));
            worker.hand_over.promised(Lane::Bulk, promised);
        }
        Err(error) => warn!(
            cause = error.class(),
            "merges that stand still can't be looked for: {error}"
        ),
    }
}

/// Some batches further, to the end of the walk at most.
async fn go_on(worker: &Worker, walk: &mut Walk, over: &CancellationToken, pulse: &Pulse) {
    for _ in 0..walk.batches {
        pulse.beat();
        if over.is_cancelled() {
            return;
        }
        let (window, batch) = (walk.window.as_secs_f64(), worker.settings.sweep.batch);
        match worker
            .merger
            .move_late(walk.cursor, window, batch.into())
            .await
        {
            Ok((moved, next)) => {
                if moved > 0 {
                    info!(
                        moved,
                        "moved on what reached merged users after their merge"
                    );
                    metric::late_tickets(u64::try_from(moved).unwrap_or(0));
                }
                walk.cursor = next;
            }
            Err(error) => {
                warn!(
                    cause = error.class(),
                    "merged users can't be looked after: {error}"
                );
                return;
            }
        }
        if walk.cursor.is_none() {
            return;
        }
    }
}
