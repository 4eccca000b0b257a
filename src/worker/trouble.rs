//! What keeps promised messages from going out: said now and then, not once for each message, and left in peace for
//! a while.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::reconnect_pauses;
use crate::broker::PublishError;
use crate::retry::Pauses;
use crate::telemetry::metric;

/// How often it is said at most.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// The relay's troubles with the broker.
pub(super) struct Trouble {
    pauses: Pauses,
    /// No look into the outbox until then: its messages would fail for the same reason.
    over: Option<Instant>,
    last_said: Option<Instant>,
    /// Messages that failed since it was last said.
    unsaid: u64,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            pauses: reconnect_pauses(),
            over: None,
            last_said: None,
            unsaid: 0,
        }
    }
}

impl Trouble {
    /// The way to the broker failed, under whatever message. Those that fail together are one trouble.
    pub(super) fn arose(&mut self, cause: &'static str) {
        if self.fresh_until().is_none() {
            metric::broker_failures("publishing", cause);
            self.over = Some(Instant::now() + self.pauses.next_pause());
        }
    }

    /// A message was confirmed.
    pub(super) fn passed(&mut self) {
        if self.over.take().is_some() {
            self.pauses.reset();
            self.last_said = None;
            info!("promised messages go out again");
        }
    }

    /// Until when it is too early to try again with messages that can wait.
    pub(super) fn fresh_until(&self) -> Option<Instant> {
        self.over.filter(|over| Instant::now() < *over)
    }

    /// Says what happened to a message, or counts it for the next time.
    pub(super) fn say(&mut self, destination: &'static str, error: &PublishError) {
        self.unsaid += 1;
        let is_due = self
            .last_said
            .is_none_or(|said| said.elapsed() >= SAID_EVERY);
        if is_due {
            let messages = std::mem::take(&mut self.unsaid);
            warn!(destination, messages, %error, "a promised message waits in the outbox");
            self.last_said = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_that_fail_together_are_one_trouble() {
        let mut trouble = Trouble::default();
        assert!(trouble.fresh_until().is_none());
        for _ in 0..100 {
            trouble.arose("lost");
            trouble.say("event", &PublishError::Blocked);
        }
        assert!(trouble.fresh_until().is_some(), "it is left in peace");
        assert_eq!(trouble.unsaid, 99, "it is said once");
        trouble.passed();
        assert!(trouble.fresh_until().is_none() && trouble.last_said.is_none());
    }
}
