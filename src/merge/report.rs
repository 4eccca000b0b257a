//! What a run of the merge came to.

use crate::domain::{MergeId, Reason};
use crate::store::Error;
use crate::store::merges::Progress;
use crate::store::outbox::Promised;

/// How a run ended, if it didn't fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The merge is done.
    Completed,
    /// The pair was merged for another key; nothing was done (rules A3 and R3).
    AlreadyMerged,
    /// A rule said no.
    Rejected(Reason),
    /// This key's outcome was on record; it is announced again (rule R1).
    Repeated,
    /// Another unfinished merge comes first (rule A10).
    PutOff,
    /// The time slice is over; what was moved is committed, the rest goes on in a message of its own.
    SliceOver,
    /// The worker is to stop; what was moved is committed.
    Stopped,
}

impl Ending {
    /// Whether the run has come to a commit of its own.
    #[must_use]
    pub const fn is_committed(self) -> bool {
        !matches!(self, Self::PutOff | Self::Stopped)
    }

    /// A word for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::AlreadyMerged => "already_merged",
            Self::Rejected(_) => "rejected",
            Self::Repeated => "repeated",
            Self::PutOff => "put_off",
            Self::SliceOver => "slice_over",
            Self::Stopped => "stopped",
        }
    }
}

/// A run that did not come to an end or a pause.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    /// What went wrong.
    pub error: Error,
    /// The number under which the run held the merge, if it came that far: its failure counts only as long as
    /// no one else has taken the merge over (rule R5).
    pub fence: Option<i64>,
}

/// What a run panics with that held the merge: a panic can't return what [`Failed`] does.
#[derive(Debug, Clone, Copy)]
pub struct Panicked {
    /// The number under which it held the merge.
    pub fence: i64,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, fence: None }
    }
}

/// A run, for the worker to settle and the metrics to count.
#[derive(Debug)]
pub struct Report {
    /// The merge.
    pub merge: MergeId,
    /// How it ended.
    pub ending: Ending,
    /// What this run moved, all chunks together.
    pub moved: Progress,
    /// Messages that the commit promised: to be published now; the relay takes up what isn't.
    pub promised: Vec<Promised>,
}

impl Report {
    pub(super) fn of(merge: MergeId) -> Self {
        Self {
            merge,
            ending: Ending::PutOff,
            moved: Progress::default(),
            promised: Vec::new(),
        }
    }
}
