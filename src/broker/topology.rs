//! The names of queues and exchanges, and the two lanes.

use std::time::Duration;

use serde::Deserialize;

/// What the queues and exchanges are called; an organization has its own naming.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Names {
    /// Queue: merge requests, interactive lane.
    pub requests: String,
    /// Queue: merge requests, bulk lane.
    pub bulk: String,
    /// Put-off requests: queues and exchanges of this name, a dot and the delay.
    pub retry_prefix: String,
    /// Queue: unreadable and exhausted requests (rules R6 and R7).
    pub dead: String,
    /// Queue: the deletion pipeline's (rule D2).
    pub deletion: String,
    /// Topic exchange: outcomes.
    pub events: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            requests: "user-merge.requests".into(),
            bulk: "user-merge.requests.bulk".into(),
            retry_prefix: "user-merge.retry".into(),
            dead: "user-merge.dead".into(),
            deletion: "user-deletion.requests".into(),
            events: "user-merge.events".into(),
        }
    }
}

impl Names {
    /// The queue of a lane.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &str {
        match lane {
            Lane::Interactive => &self.requests,
            Lane::Bulk => &self.bulk,
        }
    }

    /// The queue, and the exchange, for requests that wait this long: `user-merge.retry.2m`.
    #[must_use]
    pub fn retry(&self, delay: Duration) -> String {
        let delay = humantime_serde::re::humantime::format_duration(delay)
            .to_string()
            .replace(' ', "");
        format!("{}.{delay}", self.retry_prefix)
    }

    /// Names that the broker would refuse, or that would send two kinds of message into one queue.
    pub(super) fn check(&self) -> Result<(), String> {
        let all = [
            ("requests", &self.requests),
            ("bulk", &self.bulk),
            ("retry_prefix", &self.retry_prefix),
            ("dead", &self.dead),
            ("deletion", &self.deletion),
            ("events", &self.events),
        ];
        for (place, (setting, name)) in all.iter().enumerate() {
            if name.is_empty() || name.len() > 200 || name.starts_with("amq.") {
                return Err(format!(
                    "names.{setting}: 1 to 200 bytes, not beginning with `amq.`"
                ));
            }
            if let Some((other, _)) = all[..place].iter().find(|(_, earlier)| earlier == name) {
                return Err(format!("names.{setting}: is the same as names.{other}"));
            }
        }
        Ok(())
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
    fn a_retry_queue_is_named_after_its_delay() {
        let names = Names::default();
        let name = |seconds| names.retry(Duration::from_secs(seconds));
        assert_eq!(name(5), "user-merge.retry.5s");
        assert_eq!(name(120), "user-merge.retry.2m");
        assert_eq!(name(3600), "user-merge.retry.1h");
        assert_eq!(name(90), "user-merge.retry.1m30s");
    }

    #[test]
    fn one_queue_has_one_meaning() {
        Names::default().check().unwrap();
        let same = Names {
            dead: "user-merge.requests".into(),
            ..Names::default()
        };
        assert_eq!(
            same.check().unwrap_err(),
            "names.dead: is the same as names.requests"
        );
        for name in ["", "amq.direct", &"n".repeat(201)] {
            assert!(
                Names {
                    bulk: name.into(),
                    ..Names::default()
                }
                .check()
                .is_err(),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_label_leads_back_to_its_lane() {
        for lane in Lane::ALL {
            assert_eq!(lane.label().parse(), Ok(lane));
        }
        assert_eq!("express".parse::<Lane>(), Err(UnknownLane));
    }
}
