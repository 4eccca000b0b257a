//! The round over merged users whose rows are still there (rule D4).

use std::sync::Arc;

use tracing::{info, warn};

use super::Worker;
use crate::store::tombstones::Cursor;
use crate::telemetry::metric;

pub(super) async fn run(worker: Arc<Worker>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(worker.settings.sweep.interval) => round(&worker).await,
            () = worker.stop.cancelled() => return,
        }
    }
}

/// Once over all users merged within the window, a batch at a time.
async fn round(worker: &Worker) {
    let settings = &worker.settings.sweep;
    let mut cursor: Option<Cursor> = None;
    while !worker.stop.is_cancelled() {
        match worker
            .merger
            .move_late(cursor, settings.window.as_secs_f64(), settings.batch.into())
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
                cursor = next;
            }
            Err(error) => {
                warn!(
                    cause = error.class(),
                    "merged users can't be looked after: {error}"
                );
                return;
            }
        }
        if cursor.is_none() {
            return;
        }
    }
}
