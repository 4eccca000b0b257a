//! Moving what belongs to the source. One statement moves a chunk's rows, writes their log entries and adds to
//! the merge's progress (rule T8), or does nothing at all (rule R5). Tickets are locked by a statement before it,
//! in the same transaction.
//!
//! One file a relation. They look alike on purpose: each is a static statement that the build checks
//! against the schema, and each deals with the collisions of its own relation.
//!
//! After a tenant was loaded the planner may know nothing of it and take any index that begins with the
//! account for as good as another. So each look names the leading columns of the index that fits, down to a
//! range of ids.

mod archived_ccs;
mod archived_tickets;
mod ccs;
mod tickets;
mod whole;

pub use archived_ccs::move_archived_ccs;
pub use archived_tickets::move_archived_tickets;
pub use ccs::move_ccs;
pub use tickets::move_tickets;
pub use whole::{
    Locks, Whole, lock_all_archived_tickets, lock_all_tickets, move_all_archived_ccs,
    move_all_archived_tickets, move_all_ccs, move_all_tickets,
};

use crate::domain::{CcCounts, MergeId, Pair, TicketCounts};
use crate::store::{Error, Result};

/// Whose rows to move, and on what authority.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// From the source to the target.
    pub pair: Pair,
    /// The merge that the log entries name (rule T2).
    pub merge: MergeId,
    /// The number under which this worker holds the merge; a higher one in the database stops the chunk
    /// (rule R5). `None` where the transaction has the source row locked, which keeps all others out.
    pub fence: Option<i64>,
    /// The most rows to pick.
    pub limit: i64,
    /// Whether CCs on archived tickets move as well (rule T4).
    pub archived_ccs: bool,
}

/// What a chunk moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows of the relation that was worked on, found and moved: fewer than the limit means that the end
    /// was reached, for now.
    pub rows: i64,
    /// Tickets among them.
    pub tickets: TicketCounts,
    /// CC rows that changed, those that gave way to a requester included (rule T5).
    pub ccs: CcCounts,
}

/// Stops a worker whose merge was taken over.
const fn check_fence(held: bool, moved: Moved) -> Result<Moved> {
    if held { Ok(moved) } else { Err(Error::Fenced) }
}
