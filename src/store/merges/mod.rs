//! `user_merge.merges`: one row a request, its progress and its recorded outcome.

mod hold;
mod look_up;
mod reserved;
mod settle;
mod status;
mod stranded;

pub use hold::{Held, hold, record_failure};
pub use look_up::{Earlier, Recorded, Standing, canonical_user, earlier, look_up};
pub use reserved::is_reserved;
pub use settle::{Settlement, settle};
pub use status::{Status, status};
pub use stranded::{Stranded, enqueue_again, is_settled, stranded};

use chrono::{DateTime, Utc};

use super::moves::Moved;
use crate::domain::{CcCounts, MergeId, MergeRequest, TicketCounts};

/// Where a merge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted and not finished.
    Running,
    /// Done, or found done already.
    Completed,
    /// Refused by a rule.
    Rejected,
    /// Given up for now; its message is in the dead-letter queue, its progress is kept (rule R7).
    Failed,
}

impl State {
    /// As the table has it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    pub(in crate::store) fn parse(label: &str) -> super::Result<Self> {
        [Self::Running, Self::Completed, Self::Rejected, Self::Failed]
            .into_iter()
            .find(|state| state.label() == label)
            .ok_or(super::Error::Unreadable("state"))
    }
}

/// A request as it came in: what is kept with the merge besides the pair.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// What is asked.
    pub request: &'a MergeRequest,
    /// The id that the merge gets, if the request isn't on record.
    pub new_id: MergeId,
    /// The lane it came by, so that it can be put back there.
    pub lane: &'static str,
    /// Handed on to every message that follows.
    pub correlation_id: Option<&'a str>,
    /// The W3C trace context, handed on likewise.
    pub traceparent: Option<&'a str>,
}

/// How far a merge has come: what its committed chunks moved (rule T8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tickets.
    pub tickets: TicketCounts,
    /// CCs.
    pub ccs: CcCounts,
}

impl Progress {
    /// Whether anything was moved: from then on the merge is finished, not aborted.
    #[must_use]
    pub const fn has_moved(&self) -> bool {
        self.tickets.total() + self.ccs.moved + self.ccs.deduplicated > 0
    }
}

impl From<Moved> for Progress {
    fn from(Moved { tickets, ccs, .. }: Moved) -> Self {
        Self { tickets, ccs }
    }
}

impl std::ops::AddAssign<Moved> for Progress {
    fn add_assign(&mut self, moved: Moved) {
        *self += Self::from(moved);
    }
}

impl std::ops::AddAssign for Progress {
    fn add_assign(&mut self, other: Self) {
        self.tickets.live += other.tickets.live;
        self.tickets.closed += other.tickets.closed;
        self.tickets.archived += other.tickets.archived;
        self.ccs.moved += other.ccs.moved;
        self.ccs.deduplicated += other.ccs.deduplicated;
    }
}

/// The identity of a merge row and when it began.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// The merge.
    pub id: MergeId,
    /// When the worker first took the request.
    pub accepted_at: DateTime<Utc>,
    /// The fencing number it is held under; 0 for one that never was (rule R5).
    pub fence: i64,
    /// Tries that failed so far.
    pub attempts: i32,
}
