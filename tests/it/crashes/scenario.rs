//! The scenarios, and which failpoints each of them is there for.

use user_merge::failpoint::Point;

/// What the worker is to do, and what comes in its way besides the failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// A merge that is one transaction.
    Small,
    /// Several of these at once, which may share a transaction and an acknowledgement.
    Together,
    /// Two of these, a refusal and a repeat that are certain to share one: they come while the only hand is busy.
    Several,
    /// One of several chunks, with archived tickets and CCs.
    Large,
    /// One that takes a message for each chunk.
    SliceOver,
    /// A rule says no.
    Rejected,
    /// The same request once more, after its merge.
    Repeated,
    /// The pair once more, under a new key.
    AlreadyMerged,
    /// The key once more, for another pair.
    KeyReused,
    /// Another merge is unfinished.
    PutOff,
    /// The first try fails, with an error that may pass.
    Retried,
    /// Every try fails, until somebody mends the cause and replays the dead letter.
    GivenUp,
    /// A message that is no request.
    Unreadable,
    /// A merge that was committed by a worker that is never heard of again.
    LeftBehind,
    /// A merge that was begun by such a worker, and whose message is lost.
    Stranded,
    /// A merged user gets tickets, CCs and an e-mail address.
    Late,
}

/// Where the failpoint is reached. There is no way round this list: a point that isn't in it doesn't compile, and one
/// that isn't reached fails its case.
pub const fn of(point: Point) -> &'static [Scenario] {
    use Scenario::{
        AlreadyMerged, GivenUp, KeyReused, Large, Late, LeftBehind, PutOff, Rejected, Repeated,
        Retried, Several, SliceOver, Small, Stranded, Together, Unreadable,
    };
    match point {
        Point::MessageReceived => &[Together, Small],
        Point::HandOverDue | Point::AckDue | Point::AckSent => &[Together, Several, Small],
        Point::RelayConfirmed | Point::RelayMarked => &[Small, Together],
        Point::FirstBegun | Point::FirstLookedUp => &[Small, Several],
        Point::FirstLocked
        | Point::FirstFactsRead
        | Point::AllTicketsLocked
        | Point::AllArchivedTicketsLocked => &[Several, Small],
        Point::FirstCommitted => &[Several, Small, Large, Rejected],
        Point::RejectionWritten => &[Rejected, Several],
        Point::AlreadyMergedWritten => &[AlreadyMerged],
        Point::RepeatPromised => &[Several, Repeated],
        Point::RefusalPromised => &[KeyReused],
        Point::MergeHeld
        | Point::ChunkBegun
        | Point::TicketsLocked
        | Point::ArchivedTicketsLocked
        | Point::ChunkMoved
        | Point::ChunkCommitted
        | Point::LastBegun
        | Point::LastLocked
        | Point::LastLookedUp
        | Point::LastFactsRead
        | Point::LastCommitted => &[Large],
        Point::SourceSwept | Point::MergeSettled => &[Several, Small, Large],
        Point::ProfileWritten => &[Small, Several, Large],
        Point::ReplacementDue | Point::ReplacementConfirmed => {
            &[SliceOver, PutOff, Retried, Unreadable]
        }
        Point::FailureRecorded | Point::FailureCommitted => &[Retried],
        Point::GivenUpWritten | Point::GivenUpCommitted => &[GivenUp],
        Point::RelayClaimed => &[LeftBehind],
        Point::RelayDue => &[Small, LeftBehind],
        Point::LateLocked | Point::LateMoved | Point::LateCommitted => &[Late],
        Point::StrandedFound | Point::StrandedPromised => &[Stranded],
    }
}

impl Scenario {
    /// The events that are heard in the end, by key and type.
    pub const fn events(self) -> &'static [(&'static str, &'static str)] {
        const COMPLETED: (&str, &str) = ("merge-1-2", "merge.completed");
        const REJECTED: (&str, &str) = ("merge-1-2", "merge.rejected");
        const FAILED: (&str, &str) = ("merge-1-2", "merge.failed");
        match self {
            Self::Rejected => &[REJECTED],
            Self::AlreadyMerged => &[("again", "merge.completed"), COMPLETED],
            Self::KeyReused => &[COMPLETED, REJECTED],
            Self::PutOff => &[COMPLETED, ("merge-5-1", "merge.completed")],
            Self::GivenUp => &[COMPLETED, FAILED],
            Self::Unreadable => &[],
            Self::Together => &[
                COMPLETED,
                ("merge-5-6", "merge.completed"),
                ("merge-7-8", "merge.completed"),
            ],
            Self::Several => &[
                COMPLETED,
                ("merge-5-6", "merge.completed"),
                ("merge-7-8", "merge.completed"),
                ("merge-999-4", "merge.rejected"),
            ],
            _ => &[COMPLETED],
        }
    }

    /// The merges on record in the end.
    pub const fn records(self) -> &'static [&'static str] {
        match self {
            Self::Rejected => &["merge-1-2 rejected"],
            Self::AlreadyMerged => &["again completed", "merge-1-2 completed"],
            Self::PutOff => &["merge-1-2 completed", "merge-5-1 completed"],
            Self::Unreadable => &[],
            Self::Together => &[
                "merge-1-2 completed",
                "merge-5-6 completed",
                "merge-7-8 completed",
            ],
            Self::Several => &[
                "merge-1-2 completed",
                "merge-5-6 completed",
                "merge-7-8 completed",
                "merge-999-4 rejected",
            ],
            _ => &["merge-1-2 completed"],
        }
    }

    /// What moves from whom to whom, from the moment at which the worker starts.
    pub const fn merges(self) -> &'static [(i64, i64)] {
        match self {
            Self::Small
            | Self::Large
            | Self::SliceOver
            | Self::Retried
            | Self::GivenUp
            | Self::Stranded
            | Self::Late => &[(1, 2)],
            Self::PutOff => &[(5, 1), (1, 2)],
            Self::Together | Self::Several => &[(1, 2), (5, 6), (7, 8)],
            Self::Rejected
            | Self::Repeated
            | Self::AlreadyMerged
            | Self::KeyReused
            | Self::Unreadable
            | Self::LeftBehind => &[],
        }
    }

    /// How it is when the merge was done before the worker starts, and only its messages are left.
    pub const fn is_after_a_merge(self) -> bool {
        matches!(
            self,
            Self::Repeated | Self::AlreadyMerged | Self::KeyReused | Self::LeftBehind | Self::Late
        )
    }

    /// Whether the merge takes several chunks.
    pub const fn is_large(self) -> bool {
        matches!(
            self,
            Self::Large | Self::SliceOver | Self::PutOff | Self::GivenUp | Self::Stranded
        )
    }
}
