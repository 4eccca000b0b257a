//! From what was measured to a pace: a pure step from one look at the database to the next.
//!
//! Down by halves and up by sixteenths, so that several workers that see the same share what the database can bear,
//! and with a band between the two in which nothing changes, so that the pace doesn't flap.

use std::time::Duration;

/// What slows merges down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum Reason {
    /// A standby is behind: what reads from it sees old rows, and after a failover they would be lost.
    ReplicationLag,
    /// Sessions wait for locks: the help desk's own work is held up.
    LockWaits,
    /// The log is written faster than it should be.
    Wal,
    /// Statements take long.
    StatementTime,
}

impl Reason {
    pub(in crate::worker) const ALL: [Self; 4] = [
        Self::ReplicationLag,
        Self::LockWaits,
        Self::Wal,
        Self::StatementTime,
    ];

    /// The word for it in metrics, log lines and `status`.
    pub(in crate::worker) const fn label(self) -> &'static str {
        match self {
            Self::ReplicationLag => "replication_lag",
            Self::LockWaits => "lock_waits",
            Self::Wal => "wal",
            Self::StatementTime => "statement_time",
        }
    }
}

/// What was measured, and how much may be: more than nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    pub reason: Reason,
    pub measured: f64,
    pub allowed: f64,
}

impl Reading {
    fn excess(&self) -> f64 {
        self.measured / self.allowed
    }
}

/// How fast merges may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Full,
    /// The bulk lane has fewer hands, and large merges pause between their chunks.
    Slowed,
    /// The bulk lane takes nothing. Large merges go on all the same, slowly: their users are reserved until the end.
    Held,
}

impl State {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Slowed => "slowed",
            Self::Held => "held",
        }
    }
}

/// The whole of the pace, of which there are shares.
const WHOLE: u16 = 16;
/// Below this part of what is allowed the pace rises again.
const RESUME: f64 = 0.8;
/// After so many looks in a row that saw it there: one alone may have come at a lucky moment, such as when sessions that
/// wait for a lock look for a deadlock.
const CALM: u8 = 3;
/// From so many times what is allowed on, the pace falls to its lowest at once.
const CRITICAL: f64 = 2.0;
/// The longest pause between two chunks: a merge that has begun is to come to its end.
const LONGEST: Duration = Duration::from_secs(2);

/// The pace, and why it is what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Throttle {
    /// Of [`WHOLE`], never nothing.
    share: u16,
    is_held: bool,
    /// Looks in a row that saw everything well below its limit.
    calm: u8,
    /// What slowed it down last, as it was measured last; none at full pace.
    reading: Option<Reading>,
}

impl Throttle {
    pub(super) const FULL: Self = Self {
        share: WHOLE,
        is_held: false,
        calm: 0,
        reading: None,
    };

    /// The pace after another look. What could not be measured isn't among the readings, and slows nothing down.
    pub(super) fn after(self, readings: &[Reading]) -> Self {
        let worst = readings
            .iter()
            .max_by(|one, other| one.excess().total_cmp(&other.excess()));
        match worst {
            Some(worst) if worst.excess() > 1.0 => self.lowered(*worst),
            Some(worst) if worst.excess() > RESUME => Self { calm: 0, ..self }.told(readings),
            _ => self.calmer().told(readings),
        }
    }

    fn lowered(self, worst: Reading) -> Self {
        let is_critical = worst.excess() >= CRITICAL;
        Self {
            share: if is_critical {
                1
            } else {
                (self.share / 2).max(1)
            },
            // Only what the lowest share didn't mend.
            is_held: self.is_held || self.share == 1,
            calm: 0,
            reading: Some(worst),
        }
    }

    fn calmer(self) -> Self {
        let calm = self.calm + 1;
        match (self.share + 1, self.is_held) {
            (WHOLE.., false) if calm >= CALM || self.share == WHOLE => Self::FULL,
            (share, false) if calm >= CALM => Self {
                share,
                calm: CALM,
                ..self
            },
            (_, true) if calm >= CALM => Self {
                is_held: false,
                calm: CALM,
                ..self
            },
            _ => Self { calm, ..self },
        }
    }

    /// With what the reason measures by now.
    fn told(self, readings: &[Reading]) -> Self {
        let reading = self.reading.filter(|_| self.state() != State::Full);
        let by_now = |told: Reading| {
            let same = readings
                .iter()
                .find(|reading| reading.reason == told.reason);
            same.copied().unwrap_or(told)
        };
        Self {
            reading: reading.map(by_now),
            ..self
        }
    }

    pub(super) const fn state(&self) -> State {
        match (self.is_held, self.share) {
            (true, _) => State::Held,
            (false, WHOLE) => State::Full,
            (false, _) => State::Slowed,
        }
    }

    pub(super) const fn reading(&self) -> Option<Reading> {
        self.reading
    }

    /// How many of so many hands of the bulk lane may be busy.
    pub(super) const fn hands(&self, of: u16) -> u16 {
        if self.is_held {
            0
        } else {
            // A lane has a thousand hands at most.
            (of * self.share).div_ceil(WHOLE)
        }
    }

    /// How long a merge of the bulk lane leaves the database alone after a chunk that took so long: so that its share
    /// of the time is its share of the pace.
    pub(super) fn pause(&self, took: Duration) -> Duration {
        if self.is_held {
            return LONGEST;
        }
        let idle = f64::from(WHOLE - self.share) / f64::from(self.share);
        took.min(LONGEST).mul_f64(idle).min(LONGEST)
    }

    /// The same of the interactive lane: no longer than the chunk took. Somebody waits for this merge, and as long as
    /// it has a hand it keeps that from the next; but the chunks of a large one are no smaller a load than those of a
    /// backfill, so it leaves the database every other moment.
    pub(super) fn interactive_pause(&self, took: Duration) -> Duration {
        self.pause(took).min(took)
    }
}

#[cfg(test)]
mod tests;
