//! Moving all that sources have, inside a transaction that holds the lock on them: nothing can be added, and nobody
//! else can move it. For one merge or for many at once, in the same statements.
//!
//! Tickets are locked by a statement before the one that moves them, for the reason that chunks have.

mod archived_ccs;
mod archived_tickets;
mod ccs;
mod tickets;

pub use archived_ccs::move_all_archived_ccs;
pub use archived_tickets::{lock_all_archived_tickets, move_all_archived_tickets};
pub use ccs::move_all_ccs;
pub use tickets::{lock_all_tickets, move_all_tickets};

use super::Moved;
use crate::domain::{CcCounts, MergeId, Pair, TicketCounts};
use crate::store::{Error, Pairs, Result};

/// Whose rows to move, and in whose name.
#[derive(Debug, Clone, Copy)]
pub struct Whole {
    /// From the source to the target. The pairs of a statement are of one account, and no user is in two of them.
    pub pair: Pair,
    /// The merge that the log entries name (rule T2).
    pub merge: MergeId,
}

/// What to do about a row that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locks {
    /// Wait for it.
    Wait,
    /// Pass it over: who has locked much must not wait for one row.
    Skip,
}

/// Moves by column.
struct Columns {
    pairs: Pairs,
    merges: Vec<MergeId>,
}

impl Columns {
    fn of(wholes: &[Whole]) -> Self {
        Self {
            pairs: Pairs::new(wholes.iter().map(|whole| whole.pair)),
            merges: wholes.iter().map(|whole| whole.merge).collect(),
        }
    }
}

impl Moved {
    /// What was moved of each, from the rows for those of which anything was: they count from 1.
    fn each(wholes: usize, rows: impl IntoIterator<Item = (i32, Self)>) -> Result<Vec<Self>> {
        let mut each = vec![Self::default(); wholes];
        for (n, moved) in rows {
            let place = usize::try_from(n - 1).ok().and_then(|n| each.get_mut(n));
            *place.ok_or(Error::Unreadable("pair"))? = moved;
        }
        Ok(each)
    }
}

/// The same for CCs that were taken from the source, and how many of them the target was given.
fn moved_ccs(wholes: usize, rows: impl IntoIterator<Item = (i32, i64, i64)>) -> Result<Vec<Moved>> {
    let moved = rows.into_iter().map(|(n, taken, given)| {
        let ccs = CcCounts {
            moved: given,
            deduplicated: taken - given,
        };
        let tickets = TicketCounts::default();
        (
            n,
            Moved {
                rows: taken,
                tickets,
                ccs,
            },
        )
    });
    Moved::each(wholes, moved)
}
