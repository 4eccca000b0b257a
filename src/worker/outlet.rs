//! The way out for what replaces a message: a publish that fails is counted and told here. The relay's messages wait
//! in the outbox, and have their own: see `trouble`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::broker::{LinkState, Outgoing, PublishError, Publisher};
use crate::telemetry::metric;

/// A failure that comes and goes is told at most so often.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// A publisher that logs the beginning and the end of a failure, and not each message that waits for the end.
pub(super) struct Outlet {
    publisher: Publisher,
    failures: Mutex<BTreeMap<&'static str, Failure>>,
}

/// The last failure of one kind of destination.
struct Failure {
    cause: &'static str,
    is_over: bool,
    was_told: bool,
    told: Instant,
}

impl Outlet {
    pub(super) const fn new(publisher: Publisher) -> Self {
        let failures = Mutex::new(BTreeMap::new());
        Self {
            publisher,
            failures,
        }
    }

    /// One attempt; returns once the broker has confirmed.
    pub(super) async fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        let destination = outgoing.destination.label();
        let result = self.publisher.publish(outgoing).await;
        match &result {
            Ok(()) => {
                if self.is_end(destination) {
                    info!(parent: None, destination, "publishing again");
                }
            }
            Err(error) => {
                let cause = error.label();
                metric::broker_failures("publishing", cause);
                if self.is_beginning(destination, cause) {
                    warn!(
                        parent: None,
                        destination, cause, %error, "can't publish: what is to go out waits"
                    );
                }
            }
        }
        result
    }

    /// Whether this failure is to be told.
    fn is_beginning(&self, destination: &'static str, cause: &'static str) -> bool {
        let now = Instant::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let last = failures.get(destination);
        if last.is_some_and(|last| last.cause == cause && !last.is_over) {
            return false;
        }
        let lately = last.filter(|last| last.cause == cause && last.told + TOLD_EVERY > now);
        let told = lately.map_or(now, |last| last.told);
        let was_told = lately.is_none();
        let failure = Failure {
            cause,
            is_over: false,
            was_told,
            told,
        };
        failures.insert(destination, failure);
        was_told
    }

    /// Whether a failure that was told is over with this.
    fn is_end(&self, destination: &'static str) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let last = failures.get_mut(destination);
        last.is_some_and(|last| !std::mem::replace(&mut last.is_over, true) && last.was_told)
    }
}

/// Whether a message would go out now. Connects where there is no connection: an idle publisher whose connection
/// died would find out only with the next message.
pub(super) async fn is_open(publisher: Publisher) -> bool {
    publisher.connect().await.is_ok() && *publisher.state().borrow() != LinkState::Blocked
}
