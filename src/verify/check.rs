//! The invariants, each with a code that stays the same and the rules that it comes from.

/// The codes, in the order of the README's table.
macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident $code:literal $rules:literal,)*) => {
        /// One invariant.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check {
            $($(#[$doc])* $name,)*
        }

        impl Check {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What scripts and people call it.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The rules that it comes from.
            #[must_use]
            pub const fn rules(self) -> &'static str {
                match self {
                    $(Self::$name => $rules,)*
                }
            }
        }
    };
}

checks! {
    /// No ticket has a merged user as requester.
    LeftTicket "left_ticket" "D1, T1",
    /// Nor has an archived one.
    LeftArchivedTicket "left_archived_ticket" "D1, T1",
    /// No merged user is copied on a ticket that is not archived.
    LeftCc "left_cc" "D1, T4",
    /// Nor on an archived one, where those move too.
    LeftArchivedCc "left_archived_cc" "D1, T4",
    /// No e-mail address is a merged user's.
    LeftEmail "left_email" "D1, P4",
    /// Nobody has the same e-mail address twice.
    EmailTwice "email_twice" "P4",
    /// Whatever a merge moved is in the log.
    LogMissing "log_missing" "T2",
    /// Nothing else is.
    LogExtra "log_extra" "T2",
    /// No ticket has two entries for one move.
    LogTwice "log_twice" "T2",
    /// Entries name the users of their merge.
    LogUsers "log_users" "T2",
    /// Entries fire no trigger.
    LogTriggers "log_triggers" "T3",
    /// Who was merged away is a tombstone.
    SourceNotMerged "source_not_merged" "D1",
    /// It leads to whom it was merged into.
    WrongTarget "wrong_target" "D1, D3",
    /// Nobody points to it.
    PointsToMerged "points_to_merged" "D3",
    /// Nobody is merged into itself.
    SameUser "same_user" "A1",
    /// Unfinished merges don't share users in roles that conflict.
    Conflict "conflict" "A10",
    /// What has ended holds nobody.
    EndedHolds "ended_holds" "A10",
    /// An unfinished merge moves on.
    StaleRunning "stale_running" "R4",
    /// One that was given up halfway is taken up again.
    StaleFailed "stale_failed" "R7",
    /// A completed merge has its deletion message.
    DeletionMissing "deletion_missing" "D1",
    /// Only one.
    DeletionTwice "deletion_twice" "D1",
    /// It has the right key, and asks for the right user.
    DeletionWrong "deletion_wrong" "D2",
    /// Nobody else is to be deleted.
    DeletionUnfounded "deletion_unfounded" "D1",
    /// What was promised is published.
    Unpublished "unpublished" "D2",
    /// What has ended has its outcome on record.
    OutcomeWrong "outcome_wrong" "R1",
    /// And has announced it.
    EventMissing "event_missing" "R1",
    /// What was given up is in the dead-letter queue.
    DeadLetterMissing "dead_letter_missing" "R7",
}

impl Check {
    /// Whether it needs the log, which is by far the most to read.
    pub(super) const fn is_of_the_log(self) -> bool {
        matches!(
            self,
            Self::LogMissing | Self::LogExtra | Self::LogTwice | Self::LogUsers | Self::LogTriggers
        )
    }
}

impl serde::Serialize for Check {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// No check has this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such check: the README's table has the codes")]
pub struct UnknownCheck;

impl std::str::FromStr for Check {
    type Err = UnknownCheck;

    fn from_str(code: &str) -> Result<Self, UnknownCheck> {
        let found = Self::ALL.iter().find(|check| check.code() == code);
        found.copied().ok_or(UnknownCheck)
    }
}
