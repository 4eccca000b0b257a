//! Failpoints: the named seams on the way of a request, at which a test can kill the program, make it fail, or
//! hold it up. They are there in debug builds only; a release build makes nothing of them, and doesn't read the
//! variables.
//!
//! `USER_MERGE_FAILPOINTS` arms them: `NAME=ACTION[@N]`, separated by semicolons, as in
//! `chunk.committed=kill; ack.due=delay(500ms)@2`.
//!
//! - `kill` ends the process at once, as `kill -9` does: nothing is dropped, flushed or closed.
//! - `error` makes the function that has the seam fail, with an error of its layer that may pass.
//! - `delay(TIME)` holds this one request up for so long; all others go on.
//! - `hold` does so until somebody writes into the mark that it has left.
//! - `@N`: only at the n-th time that this process gets there; otherwise each time.
//!
//! Where `USER_MERGE_FAILPOINT_MARKS` names a directory, each of them acts once only, whatever process it is in:
//! it leaves a file with its text there first, and where that file exists it does nothing. So a process that is
//! started again gets past, and a test sees that the point was reached. Without marks there is no `hold`.

#[cfg(debug_assertions)]
mod armed;

#[cfg(debug_assertions)]
pub use armed::{ArmError, Fault, arm};

/// The list of all failpoints.
macro_rules! points {
    ($($point:ident = $name:literal, $meaning:literal;)*) => {
        /// A seam. Each stands in the program exactly once.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $(#[doc = $meaning] $point,)*
        }

        impl Point {
            /// Every failpoint, in the order of a request's way.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// What it is called in the variable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    MessageReceived = "message.received", "A message was taken off its queue, and nothing is done yet.";

    FirstBegun = "first.begun", "The first transaction has begun.";
    FirstLocked = "first.locked", "Both users are locked.";
    FirstLookedUp = "first.looked_up", "What is on record was read.";
    FirstFactsRead = "first.facts_read", "What the rules ask for was read.";
    MergeHeld = "merge.held", "A large merge is taken, and not committed.";
    RejectionWritten = "rejection.written", "A rejection is written, and not committed.";
    AlreadyMergedWritten = "already_merged.written", "So is a success without work.";
    RepeatPromised = "repeat.promised", "A recorded outcome is promised once more, and not committed.";
    RefusalPromised = "refusal.promised", "So is the refusal of a key that is another request's.";
    FirstCommitted = "first.committed", "The first transaction is committed, whatever it came to.";

    ChunkBegun = "chunk.begun", "A chunk's transaction has begun.";
    TicketsLocked = "tickets.locked", "Its tickets are moved and logged, and so locked; their CCs are as they were.";
    ArchivedTicketsLocked = "archived_tickets.locked", "So are its archived tickets.";
    ChunkMoved = "chunk.moved", "Its rows are moved, logged and counted, and not committed.";
    ChunkCommitted = "chunk.committed", "It is committed.";

    AllTicketsLocked = "all_tickets.locked", "All tickets of a locked source are locked.";
    AllArchivedTicketsLocked = "all_archived_tickets.locked", "All its archived tickets are locked.";

    LastBegun = "last.begun", "The last transaction of a large merge has begun.";
    LastLocked = "last.locked", "Both users are locked.";
    LastLookedUp = "last.looked_up", "The merge was found to be still this worker's.";
    LastFactsRead = "last.facts_read", "Both users were read.";
    SourceSwept = "source.swept", "The last rows are moved, of a small merge all; the profile is not written.";
    ProfileWritten = "profile.written", "The profile and the tombstone are written.";
    MergeSettled = "merge.settled", "Outcome and outbox are written, and not committed.";
    LastCommitted = "last.committed", "The last transaction of a large merge is committed.";

    HandOverDue = "hand_over.due", "What a commit has promised is not handed to the relay yet.";
    AckDue = "ack.due", "All is done but the acknowledgement.";
    AckSent = "ack.sent", "The message is acknowledged.";

    ReplacementDue = "replacement.due", "A message is to be replaced by another one, which is not published yet.";
    ReplacementConfirmed = "replacement.confirmed", "The other one is confirmed, and this one not acknowledged.";

    FailureRecorded = "failure.recorded", "A failed try is counted, and not committed.";
    FailureCommitted = "failure.committed", "It is committed, and the message is to be put off.";
    GivenUpWritten = "given_up.written", "A merge is given up, and that is not committed.";
    GivenUpCommitted = "given_up.committed", "It is committed.";

    RelayClaimed = "relay.claimed", "The relay has claimed what was left behind.";
    RelayDue = "relay.due", "A promised message is not published yet.";
    RelayConfirmed = "relay.confirmed", "The broker has confirmed it, and it isn't marked.";
    RelayMarked = "relay.marked", "It is marked as published.";

    LateLocked = "late.locked", "A merged user and who it is today are locked.";
    LateMoved = "late.moved", "What came late is moved and counted, and not committed.";
    LateCommitted = "late.committed", "It is committed.";

    StrandedFound = "stranded.found", "A merge that stands still was found.";
    StrandedPromised = "stranded.promised", "Its request is promised once more, and that is committed.";
}

/// A seam: `failpoint!(Point);` in a function whose errors can be made from a [`Fault`], and
/// `failpoint!(Point, else EXPRESSION);` in others.
#[cfg(debug_assertions)]
macro_rules! failpoint {
    ($point:ident) => {
        $crate::failpoint::Point::$point.reach().await?
    };
    ($point:ident, else $otherwise:expr) => {
        if $crate::failpoint::Point::$point.reach().await.is_err() {
            $otherwise
        }
    };
}

/// Nothing: a constant is worked out by the compiler. It says that there is such a point, and what would be done is
/// checked like all code.
#[cfg(not(debug_assertions))]
macro_rules! failpoint {
    ($point:ident $(, else $otherwise:expr)?) => {
        const {
            let _ = $crate::failpoint::Point::$point;
        }
        $(if false {
            $otherwise
        })?
    };
}

pub(crate) use failpoint;
