//! What can go wrong with the broker, and whether it may pass.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

/// A failure of the broker or of the way to it. No variant holds the URL, its password, or a message's content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The settings can't work as they are. Lasting.
    #[error("broker settings: {0}")]
    Settings(String),
    /// The broker knows neither this user and password nor this virtual host, or doesn't let the one into the
    /// other: at which host, and what became of the others. Lasting.
    #[error(
        "the broker refused the connection: {0} (check user, password and virtual host in broker.url)"
    )]
    Refused(String),
    /// No host could be connected to: each by name and port, and why not.
    #[error("no way to the broker at {0}")]
    Unreachable(String),
    /// A queue or an exchange can't be had as this worker needs it. Lasting: an operator has to act.
    #[error("{what} `{name}`: {why}")]
    Topology {
        /// `queue` or `exchange`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What the broker said, and what helps.
        why: String,
    },
    /// No answer in time: a frozen broker, a broken network, or an alarm on the broker.
    #[error("{doing}: no answer from the broker within {}", humantime_serde::re::humantime::format_duration(*after))]
    TimedOut {
        /// What was waited for.
        doing: &'static str,
        /// For how long.
        after: Duration,
    },
    /// A frame that the client library can't read, such as a property that isn't UTF-8, or headers of many KiB. The
    /// message that caused it comes back until the queue's delivery limit moves it to the dead-letter queue;
    /// meanwhile consume with a prefetch of 1, so that only this message is counted, and large headers are read
    /// (rule R6).
    #[error("{doing}: the broker sent a frame that can't be read")]
    Unreadable {
        /// What was being done.
        doing: &'static str,
    },
    /// The broker cancelled the consumer: its queue was deleted, or lost its leader.
    #[error("the broker cancelled the consumer of queue `{queue}`")]
    Cancelled {
        /// The queue.
        queue: String,
    },
    /// Connection and consumer stand, there are messages, and none comes.
    #[error("queue `{queue}` has forgotten this consumer")]
    Silent {
        /// The queue.
        queue: String,
    },
    /// The broker took its messages back: one was not settled within its consumer time-out.
    #[error("a message was not settled within the broker's consumer time-out")]
    TookBack,
    /// The connection or the channel is gone.
    #[error("{doing}: {reason}")]
    Lost {
        /// What was being done.
        doing: &'static str,
        /// What the client library says.
        reason: String,
    },
}

impl Error {
    /// A word from a fixed list, for a metric's label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Topology { .. } => "topology",
            Self::TimedOut { .. } => "timed_out",
            Self::Unreadable { .. } => "unreadable",
            Self::Cancelled { .. } => "cancelled",
            Self::Silent { .. } => "silent",
            Self::TookBack => "consumer_timeout",
            Self::Lost { .. } => "lost",
        }
    }

    /// Whether trying again can't help until someone changes the settings or the broker.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Settings(_) | Self::Refused(_) | Self::Topology { .. }
        )
    }

    /// A failure on a connection that stood already.
    pub(super) fn lost(doing: &'static str, error: &lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ParsingError(_) => Self::Unreadable { doing },
            // Larger than this connection's frames.
            ErrorKind::ProtocolError(error)
                if doing == "consuming"
                    && *error.kind() == AMQPErrorKind::Hard(AMQPHardError::FRAMEERROR) =>
            {
                Self::Unreadable { doing }
            }
            // The one thing for which the broker closes a channel that takes messages with this code.
            ErrorKind::ProtocolError(error)
                if doing == "consuming"
                    && *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
            {
                Self::TookBack
            }
            _ => Self::Lost {
                doing,
                reason: error.to_string(),
            },
        }
    }

    /// A failure to connect: here a refusal is a matter of the settings.
    pub(super) fn connecting(error: &lapin::Error) -> Self {
        let refused = match error.kind() {
            ErrorKind::ProtocolError(e) => match e.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => true,
                // A limit on connections is told with the same code, and passes.
                AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                    !e.get_message().as_str().contains("limit")
                }
                _ => false,
            },
            ErrorKind::AuthProviderError(_) | ErrorKind::InvalidProtocolVersion(_) => true,
            _ => false,
        };
        if refused {
            // The broker's own words, without the client library's around them.
            Self::Refused(match error.kind() {
                ErrorKind::ProtocolError(e) => e.get_message().to_string(),
                _ => error.to_string(),
            })
        } else if let ErrorKind::IOError(error) = error.kind() {
            Self::Lost {
                doing: "connecting",
                reason: error.to_string(),
            }
        } else {
            Self::lost("connecting", error)
        }
    }
}

/// Why a message isn't known to be stored. Except after `Unroutable`, `Nacked` and `Invalid` it may be stored all
/// the same: publish again under the same message id.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// No queue took it: the broker returned it, or the exchange is gone. The topology is declared anew before
    /// the next publish.
    #[error("the broker has no queue for {0}")]
    Unroutable(String),
    /// The broker refused it, such as a queue at its length limit.
    #[error("the broker refused to store a message for {0}")]
    Nacked(String),
    /// No confirm in time.
    #[error("no confirm from the broker within {}", humantime_serde::re::humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The broker takes no messages at all (memory or disk alarm), and did not recover in time.
    #[error("the broker blocks publishing (memory or disk alarm)")]
    Blocked,
    /// The message can't be expressed in AMQP, or its destination isn't in the settings. Lasting.
    #[error("the message can't be published: {0}")]
    Invalid(&'static str),
    /// [`Publisher::close`](super::Publisher::close) was called.
    #[error("the publisher is closed")]
    Closed,
    /// No connection, or it ended before the confirm.
    #[error(transparent)]
    Connection(#[from] Error),
}

impl PublishError {
    /// A word from a fixed list, for a metric's label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unroutable(_) => "unroutable",
            Self::Nacked(_) => "nacked",
            Self::TimedOut(_) => "timed_out",
            Self::Blocked => "blocked",
            Self::Invalid(_) => "invalid",
            Self::Closed => "closed",
            Self::Connection(error) => error.label(),
        }
    }

    /// Whether trying again can't help until someone changes the settings or the broker.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Invalid(_) => true,
            Self::Connection(error) => error.is_lasting(),
            _ => false,
        }
    }
}

/// The broker's reply where it closed a channel over one request.
pub(super) enum Refusal {
    /// 406: it exists with other arguments.
    Different(String),
    /// 403: this user may not.
    Forbidden(String),
    /// 404: it doesn't exist.
    Missing,
}

impl Refusal {
    pub(super) fn of(error: &lapin::Error) -> Option<Self> {
        let ErrorKind::ProtocolError(error) = error.kind() else {
            return None;
        };
        match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
                Some(Self::Different(error.get_message().to_string()))
            }
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                Some(Self::Forbidden(error.get_message().to_string()))
            }
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Some(Self::Missing),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;

    fn protocol(kind: AMQPErrorKind, text: &str) -> lapin::Error {
        ErrorKind::ProtocolError(AMQPError::new(kind, text.into())).into()
    }

    #[test]
    fn a_refused_login_lasts_and_a_connection_limit_passes() {
        let login = protocol(
            AMQPSoftError::ACCESSREFUSED.into(),
            "ACCESS_REFUSED - Login was refused",
        );
        assert!(Error::connecting(&login).is_lasting());
        let vhost = protocol(
            AMQPHardError::NOTALLOWED.into(),
            "NOT_ALLOWED - vhost nope not found",
        );
        assert!(Error::connecting(&vhost).is_lasting());
        let limit = protocol(
            AMQPHardError::NOTALLOWED.into(),
            "connection limit (1) is reached",
        );
        assert!(!Error::connecting(&limit).is_lasting());
        let down = lapin::Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert!(!Error::connecting(&down).is_lasting());
    }

    #[test]
    fn a_consumer_time_out_is_told_from_other_ends() {
        let late = protocol(
            AMQPSoftError::PRECONDITIONFAILED.into(),
            "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out",
        );
        assert_eq!(Error::lost("consuming", &late).label(), "consumer_timeout");
        assert_eq!(Error::lost("publishing", &late).label(), "lost");
    }

    #[test]
    fn a_refusal_later_on_passes() {
        let forced = protocol(
            AMQPHardError::CONNECTIONFORCED.into(),
            "closed by the operator",
        );
        assert!(!Error::lost("consuming", &forced).is_lasting());
        assert!(!PublishError::from(Error::lost("publishing", &forced)).is_lasting());
        assert!(PublishError::Invalid("too long").is_lasting());
    }
}
