//! What `user-merge verify` reads: facts, a batch at a time, and never a lock or a write.
//!
//! The verdict is not here. A batch is one transaction on one snapshot, so that a merge which commits meanwhile is
//! seen with all that it wrote or not at all. Each statement looks at a bounded number of rows, in the order of an
//! index that every installation has; a look-up of one row has `LIMIT 1`, which also keeps the planner from reading
//! a whole tenant to answer a batch.
//!
//! The statements bear a mark: they run under a role of their own (`deploy/postgres`), which may only read.

mod accounts;
mod left;
mod log;
mod merges;
mod outbox;

pub use accounts::{accounts_after, last_log_entry};
pub use left::{Left, left_behind};
pub use log::{LogBatch, LogEntry, log_batch};
pub use merges::{Counts, MergeFacts, Terms, counts_batch, merges_batch};
pub use outbox::{OutboxBatch, OutboxFacts, Owner, outbox_batch};

use super::{Pool, Result, Transaction};

/// Begins a batch: one snapshot, and PostgreSQL itself refuses to write.
pub async fn snapshot(pool: &Pool) -> Result<Transaction> {
    Ok(pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?)
}
