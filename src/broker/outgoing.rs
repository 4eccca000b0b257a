//! What is published, and where to.

use std::time::Duration;

use super::{Lane, Names, Properties};

/// A message on its way out.
#[derive(Clone)]
pub struct Outgoing {
    /// Where to.
    pub destination: Destination,
    /// The body, as it goes over the wire.
    pub body: Vec<u8>,
    /// Ids and headers; without a content type it is `application/json`.
    pub properties: Properties,
}

impl std::fmt::Debug for Outgoing {
    /// Without the body and the values of the properties: they don't belong into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("destination", &self.destination)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Where a message goes. All but events must end in a queue: otherwise the publish fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A lane's queue: a new request, or the continuation of a long merge.
    Lane(Lane),
    /// Back to the lane once the delay is over; one of [`Settings::delays`](super::Settings::delays) (rule R7).
    Retry {
        /// How long it waits.
        delay: Duration,
        /// Where it returns to.
        lane: Lane,
    },
    /// The dead-letter queue (rules R6 and R7).
    Dead,
    /// The deletion pipeline (rule D2).
    Deletion,
    /// The events exchange, under this routing key; whether anyone listens doesn't matter.
    Event(String),
}

impl Destination {
    /// A word from a fixed list, for logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Lane(_) => "lane",
            Self::Retry { .. } => "retry",
            Self::Dead => "dead",
            Self::Deletion => "deletion",
            Self::Event(_) => "event",
        }
    }

    /// Exchange and routing key.
    pub(super) fn route(&self, names: &Names) -> (String, String) {
        let queue = |name: &str| (String::new(), name.to_owned());
        match self {
            Self::Lane(lane) => queue(names.lane(*lane)),
            Self::Retry { delay, lane } => (names.retry(*delay), names.lane(*lane).to_owned()),
            Self::Dead => queue(&names.dead),
            Self::Deletion => queue(&names.deletion),
            Self::Event(key) => (names.events.clone(), key.clone()),
        }
    }

    /// Whose confirms are waited for together: those of one queue, or of the events.
    pub(super) fn way(&self) -> Self {
        match self {
            Self::Event(_) => Self::Event(String::new()),
            queue => queue.clone(),
        }
    }

    /// Whether a message that reaches no queue is an error.
    pub(super) const fn is_mandatory(&self) -> bool {
        !matches!(self, Self::Event(_))
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lane(lane) => write!(f, "the {lane} lane"),
            Self::Retry { delay, lane } => {
                write!(
                    f,
                    "the {lane} lane in {}",
                    humantime_serde::re::humantime::format_duration(*delay)
                )
            }
            Self::Dead => f.write_str("the dead-letter queue"),
            Self::Deletion => f.write_str("the deletion queue"),
            Self::Event(key) => write!(f, "the event {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_carries_its_lane_as_routing_key() {
        let defaults = crate::config::Settings::from_sources(None, std::iter::empty()).unwrap();
        let names = defaults.broker.names;
        let retry = Destination::Retry {
            delay: Duration::from_secs(5),
            lane: Lane::Bulk,
        };
        assert_eq!(
            retry.route(&names),
            (
                "user-merge.retry.5s".into(),
                "user-merge.requests.bulk".into()
            )
        );
        assert_eq!(retry.to_string(), "the bulk lane in 5s");
        assert_eq!(
            Destination::Dead.route(&names),
            (String::new(), "user-merge.dead".into())
        );
        assert!(
            retry.is_mandatory() && !Destination::Event("merge.completed".into()).is_mandatory()
        );
    }

    #[test]
    fn no_body_in_debug_output() {
        let outgoing = Outgoing {
            destination: Destination::Dead,
            body: b"secret".to_vec(),
            properties: Properties::default(),
        };
        assert_eq!(
            format!("{outgoing:?}"),
            "Outgoing { destination: Dead, bytes: 6, .. }"
        );
    }
}
