//! The health of the database decides the pace: how many hands the bulk lane has, and how long large merges leave the
//! database alone between two chunks.
//!
//! The interactive lane comes first. Its small merges never wait for this; its large ones pause between their chunks,
//! for no longer than a chunk takes.

mod history;
mod run;
mod throttle;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

pub(super) use run::run;

use crate::broker::Lane;
use crate::merge::Pacing;
use crate::telemetry::metric;
use throttle::{Reading, Reason, State, Throttle};

/// How often a lane that waits for a hand to be done looks again: that tells nobody.
const AGAIN: Duration = Duration::from_millis(50);

/// The pace of this process; clones share it.
#[derive(Clone)]
pub(super) struct Pace(Arc<Inner>);

struct Inner {
    /// Hands of the bulk lane at full pace.
    hands: u16,
    now: watch::Sender<Throttle>,
    /// What chunks took since the last look.
    chunks: Mutex<Chunks>,
    /// Milliseconds that merges of each lane have paused.
    paused: [AtomicU64; 2],
}

#[derive(Default)]
struct Chunks {
    count: u32,
    took: Duration,
}

impl Pace {
    /// Full, until something says otherwise. `hands`: those of the bulk lane.
    pub(super) fn new(hands: u16) -> Self {
        for reason in Reason::ALL {
            metric::slowed(reason.label(), false);
        }
        for lane in Lane::ALL {
            metric::paused_seconds(lane.label(), 0);
        }
        metric::bulk_hands(hands.into());
        Self(Arc::new(Inner {
            hands,
            now: watch::Sender::new(Throttle::FULL),
            chunks: Mutex::default(),
            paused: [const { AtomicU64::new(0) }; 2],
        }))
    }

    /// Waits until the lane may begin with what it has taken. `busy`: how many of its hands are, the one that asks
    /// among them. The interactive lane never waits. Cancel-safe. How long a message may wait is the lane's to know.
    pub(super) async fn may_begin(&self, lane: Lane, busy: impl Fn() -> usize) {
        if lane == Lane::Interactive {
            return;
        }
        let mut changes = self.0.now.subscribe();
        loop {
            let throttle = *changes.borrow_and_update();
            if throttle.state() == State::Full || busy() <= throttle.hands(self.0.hands).into() {
                return;
            }
            tokio::select! {
                // The sender lives as long as `self`, so this can't fail.
                _ = changes.changed() => {}
                () = sleep(AGAIN) => {}
            }
        }
    }

    /// What a large merge of the lane is told by between its chunks.
    pub(super) fn between_chunks(&self, lane: Lane) -> Pacing {
        let pace = self.clone();
        Arc::new(move |took| pace.pause(lane, took))
    }

    /// How long to leave the database alone after a chunk that took so long.
    fn pause(&self, lane: Lane, took: Duration) -> Duration {
        self.chunks(|chunks| {
            chunks.count += 1;
            chunks.took += took;
        });
        let throttle = *self.0.now.borrow();
        let (pause, paused) = match lane {
            Lane::Interactive => (throttle.interactive_pause(took), &self.0.paused[0]),
            Lane::Bulk => (throttle.pause(took), &self.0.paused[1]),
        };
        let more = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let before = paused.fetch_add(more, Ordering::Relaxed);
        metric::paused_seconds(lane.label(), (before + more) / 1_000 - before / 1_000);
        pause
    }

    /// What a chunk took on average since this was last asked; none if there was none.
    fn chunk_time(&self) -> Option<Duration> {
        let Chunks { count, took } = self.chunks(std::mem::take);
        (count > 0).then(|| took / count)
    }

    fn chunks<T>(&self, with: impl FnOnce(&mut Chunks) -> T) -> T {
        // Two numbers: nothing in them can be half written.
        let mut chunks = self.0.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        with(&mut chunks)
    }

    /// Goes by another look at the database.
    fn follow(&self, readings: &[Reading]) -> Throttle {
        let before = *self.0.now.borrow();
        let after = before.after(readings);
        self.0.now.send_replace(after);
        let reason = after.reading().map(|reading| reading.reason);
        for each in Reason::ALL {
            metric::slowed(each.label(), reason == Some(each));
        }
        metric::bulk_hands(after.hands(self.0.hands).into());
        report(before, after);
        after
    }
}

/// A line where the pace turns, not for each step.
fn report(before: Throttle, after: Throttle) {
    match (before.state(), after.state()) {
        (State::Full, State::Full) => {}
        (_, State::Full) => info!("merges go at full pace again"),
        (State::Full | State::Slowed, State::Held) | (State::Full, State::Slowed) => {
            let Some(Reading {
                reason,
                measured,
                allowed,
            }) = after.reading()
            else {
                return;
            };
            let reason = reason.label();
            if after.state() == State::Held {
                warn!(
                    reason,
                    measured, allowed, "the bulk lane takes nothing for the time being"
                );
            } else {
                info!(
                    reason,
                    measured, allowed, "merges are slowed down for the database's sake"
                );
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
