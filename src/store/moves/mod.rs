//! Moving what belongs to the source. One transaction moves a chunk's rows, writes their log entries and adds to
//! the merge's progress (rule T8), or does nothing at all (rule R5).
//!
//! A chunk is a range of ids. Before it begins, a look without a lock says where a range of so many rows ends: ranges
//! that don't overlap can be moved side by side, and nobody passes twice over what was moved already.
//!
//! A chunk asks first, without a lock, whether its worker still holds the merge, which spares one that doesn't the work.
//! What counts is its last write, the progress: it touches the merge's row only under the worker's own fencing number,
//! and holds it until the commit. Chunks of one merge so meet each other for a moment only, and whoever takes the merge
//! over waits for a chunk that is about to commit, or makes it do nothing.
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

pub use archived_ccs::{move_archived_ccs, pick_archived_ccs};
pub use archived_tickets::{move_archived_tickets, pick_archived_tickets};
pub use ccs::{move_ccs, pick_ccs};
pub use tickets::{move_tickets, pick_tickets};
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
    /// (rule R5).
    pub fence: i64,
    /// Which of the source's rows.
    pub range: Range,
    /// Whether CCs on archived tickets move as well (rule T4).
    pub archived_ccs: bool,
}

/// Ids of tickets: all above `after`, up to `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The last one before it.
    pub after: i64,
    /// The last one in it.
    pub upto: i64,
}

impl Range {
    /// All there can be.
    pub const ALL: Self = Self {
        after: i64::MIN,
        upto: i64::MAX,
    };
}

/// The next rows of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picked {
    /// How many, up to what was asked for: fewer mean that there are no more, for now.
    pub rows: i64,
    /// The id of the last one, where there is one.
    pub last: Option<i64>,
}

/// What a chunk moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows of the relation that was worked on, found and moved.
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
