//! The relay's questions to the outbox. Each is answered in time or not at all: the relay's loop must turn even where
//! a connection hangs that nobody has ended.

use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::Worker;
use super::keeper::Unanswered;
use crate::failpoint::failpoint;
use crate::store;
use crate::store::outbox::{Key, Promised, backlog, claim, mark_published, mark_refused, prune};
use crate::telemetry::metric;

/// Messages of a prune.
const PRUNED_AT_ONCE: i64 = 1_000;

/// What others left behind, at most a batch.
pub(super) async fn left_behind(worker: &Worker) -> Vec<Promised> {
    let settings = &worker.settings.relay;
    let (batch, lease) = (settings.batch.into(), settings.lease.as_secs_f64());
    let pool = worker.pool.clone();
    let claiming = async move { claim(&pool, batch, lease).await };
    said("the outbox can't be read", in_time(worker, claiming).await).unwrap_or_default()
}

/// A mark that fails costs a second publish after the lease, under the same message id.
pub(super) async fn mark(worker: &Worker, confirmed: Vec<Key>, refused: Vec<Key>) {
    if !confirmed.is_empty() {
        let pool = worker.pool.clone();
        let marking = async move { mark_published(&pool, &confirmed).await };
        let marked = in_time(worker, marking).await;
        said("published messages could not be marked", marked);
    }
    if !refused.is_empty() {
        let (pool, lease) = (
            worker.pool.clone(),
            worker.settings.relay.lease.as_secs_f64(),
        );
        let marking = async move { mark_refused(&pool, &refused, lease).await };
        let marked = in_time(worker, marking).await;
        said("refused messages could not be put off", marked);
    }
    failpoint!(RelayMarked, else ());
}

/// Removes what was published long ago.
pub(super) async fn tidy(worker: &Worker) {
    let keep = worker.settings.relay.keep_published.as_secs_f64();
    let pool = worker.pool.clone();
    let pruning = async move { prune(&pool, keep, PRUNED_AT_ONCE).await };
    let pruned = in_time(worker, pruning).await;
    said("the outbox can't be pruned", pruned);
}

/// For the gauges; the other questions say what is the matter.
pub(super) async fn count(worker: &Worker) {
    let pool = worker.pool.clone();
    let counting = async move { backlog(&pool).await };
    if let Ok((pending, oldest)) = in_time(worker, counting).await {
        metric::outbox_pending(u32::try_from(pending).unwrap_or(u32::MAX));
        metric::outbox_oldest_seconds(Duration::from_secs_f64(oldest.max(0.0)));
    }
}

/// In a task of its own, which is left to itself when it is late: a statement that is given up halfway would spoil
/// its connection for whoever gets it next.
async fn in_time<T: Send + 'static>(
    worker: &Worker,
    asking: impl Future<Output = store::Result<T>> + Send + 'static,
) -> Result<T, Unanswered> {
    let database = &worker.settings.database;
    let patience = database.connect_timeout + database.statement_timeout;
    match timeout(patience, tokio::spawn(asking)).await {
        Ok(Ok(answer)) => Ok(answer?),
        Ok(Err(ended)) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Ok(Err(_)) | Err(_) => Err(Unanswered::Late),
    }
}

fn said<T>(what: &str, result: Result<T, Unanswered>) -> Option<T> {
    result
        .inspect_err(|error| warn!(cause = error.class(), "{what}: {error}"))
        .ok()
}
