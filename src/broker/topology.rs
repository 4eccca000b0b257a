//! The two lanes.

use crate::config::Names;

impl Names {
    /// The queue of a lane.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &str {
        match lane {
            Lane::Interactive => &self.requests,
            Lane::Bulk => &self.bulk,
        }
    }
}

/// One of the two ways in, so that a backfill never holds up the people who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Someone waits for it.
    Interactive,
    /// Backfills.
    Bulk,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Bulk];

    /// The name in headers, metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// A label that no lane has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `interactive` or `bulk`")]
pub struct UnknownLane;

impl std::str::FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(label: &str) -> Result<Self, UnknownLane> {
        Self::ALL
            .into_iter()
            .find(|lane| lane.label() == label)
            .ok_or(UnknownLane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_leads_back_to_its_lane() {
        for lane in Lane::ALL {
            assert_eq!(lane.label().parse(), Ok(lane));
        }
        assert_eq!("express".parse::<Lane>(), Err(UnknownLane));
    }
}
