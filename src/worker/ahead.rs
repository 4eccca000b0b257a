//! Messages that were taken off the queue and wait for a hand.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::precedence::Present;
use crate::broker::Delivery;

/// A message in hand.
pub(super) struct Taken {
    pub delivery: Delivery,
    /// It shares no transaction with others.
    pub goes_alone: bool,
    /// Until it is settled, bulk gives way to it.
    pub present: Option<Present>,
}

impl Taken {
    /// One that was handed out before may be what ended the worker that had it: what happens to it must not happen to
    /// others with it. And a copy has to ask first what became of its merge.
    pub(super) fn new(delivery: Delivery, present: Option<Present>) -> Self {
        let goes_alone = delivery.redelivered || delivery.properties.enqueued_again.is_some();
        Self {
            delivery,
            goes_alone,
            present,
        }
    }
}

/// First those that could not go with others, then those that have come, each in their order.
#[derive(Default)]
pub(super) struct Ahead {
    left: VecDeque<Taken>,
    come: VecDeque<Taken>,
}

impl Ahead {
    pub(super) fn push(&mut self, taken: Taken) {
        self.come.push_back(taken);
    }

    /// One that could not go with others goes before all that come, and alone.
    pub(super) fn push_left(&mut self, taken: Taken) {
        self.left.push_back(taken);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.come.is_empty()
    }

    /// Those that are next and may go together, or one that goes alone.
    pub(super) fn take(&mut self, most: usize) -> Vec<Taken> {
        if let Some(taken) = self.left.pop_front() {
            return vec![taken];
        }
        let together = self.come.iter().take_while(|taken| !taken.goes_alone);
        let count = together.take(most).count().max(1);
        self.come.drain(..count.min(self.come.len())).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Taken> {
        self.left.drain(..).chain(self.come.drain(..)).collect()
    }

    /// Waits until one of them has waited for so long; for ever, if there is none.
    pub(super) async fn overdue(&self, limit: Duration) {
        let firsts = [self.left.front(), self.come.front()];
        let held = firsts
            .iter()
            .flatten()
            .map(|taken| taken.delivery.held_for());
        match held.max() {
            Some(held) => sleep_until((Instant::now() + limit.saturating_sub(held)).into()).await,
            None => std::future::pending().await,
        }
    }
}
