//! The interactive lane comes first: while one of its messages waits or is at work, bulk begins nothing; and while
//! some have come of late, it works with one hand and small batches, so that the next one finds a database that has
//! time. But not for long: somebody always waits, and a backfill is to come to an end too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::broker::Lane;

/// After so long bulk begins one batch all the same.
const PATIENCE: Duration = Duration::from_millis(100);
/// For so long after an interactive message the next one is expected.
const LATELY: Duration = Duration::from_secs(1);
/// How often is asked whether other hands are done. A batch takes longer.
const AGAIN: Duration = Duration::from_millis(2);

/// How many interactive messages are in hand, and when the last one came.
#[derive(Clone, Default)]
pub(super) struct Precedence(Arc<watch::Sender<Seen>>);

#[derive(Default)]
struct Seen {
    present: usize,
    last: Option<Instant>,
}

/// One of them, until it is dropped.
pub(super) struct Present(Precedence);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|seen| {
            seen.present -= 1;
            seen.present == 0
        });
    }
}

impl Precedence {
    /// A message of this lane is in hand.
    pub(super) fn enter(&self, lane: Lane) -> Option<Present> {
        (lane == Lane::Interactive).then(|| {
            self.0.send_if_modified(|seen| {
                seen.present += 1;
                seen.last = Some(Instant::now());
                false
            });
            Present(self.clone())
        })
    }

    /// Whether interactive messages are there, or have been of late.
    fn is_frequented(&self) -> bool {
        let seen = self.0.borrow();
        seen.present > 0 || seen.last.is_some_and(|last| last.elapsed() < LATELY)
    }

    /// Waits until this lane may begin something that it has wanted to begin since then. `busy`: its hands at work,
    /// with the one that is about to be.
    pub(super) async fn give_way(&self, lane: Lane, since: Instant, busy: impl Fn() -> usize) {
        if lane == Lane::Bulk {
            let mut seen = self.0.subscribe();
            let its_turn = async {
                drop(seen.wait_for(|seen| seen.present == 0).await);
                while self.is_frequented() && busy() > 1 {
                    sleep(AGAIN).await;
                }
            };
            drop(timeout_at(since + PATIENCE, its_turn).await);
        }
    }

    /// How many requests this lane may take up at once, of so many.
    pub(super) fn share(&self, lane: Lane, batch: usize) -> usize {
        if lane == Lane::Bulk && self.is_frequented() {
            (batch / 4).max(1)
        } else {
            batch
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bulk_waits_while_somebody_interactive_is_there_but_not_for_ever() {
        let precedence = Precedence::default();
        let since = Instant::now();
        let bulk = || precedence.give_way(Lane::Bulk, since, || 3);
        assert!(bulk().now_or_never().is_some(), "nobody is there");
        let (one, two) = (
            precedence.enter(Lane::Interactive),
            precedence.enter(Lane::Interactive),
        );
        assert!(precedence.enter(Lane::Bulk).is_none());
        let interactive = precedence.give_way(Lane::Interactive, since, || 3);
        assert!(interactive.now_or_never().is_some());
        let mut waits = Box::pin(precedence.give_way(Lane::Bulk, since, || 1));
        drop(one);
        assert!(
            waits.as_mut().now_or_never().is_none(),
            "two is still there"
        );
        drop(two);
        assert!(waits.now_or_never().is_some());

        let _stays = precedence.enter(Lane::Interactive);
        bulk().await;
        assert_eq!(since.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn after_somebody_interactive_bulk_works_with_one_hand_and_small_batches_for_a_while() {
        let precedence = Precedence::default();
        assert_eq!(precedence.share(Lane::Bulk, 100), 100);
        drop(precedence.enter(Lane::Interactive));
        assert_eq!(precedence.share(Lane::Bulk, 100), 25);
        assert_eq!(precedence.share(Lane::Bulk, 1), 1);
        assert_eq!(precedence.share(Lane::Interactive, 16), 16);
        let bulk = |busy| precedence.give_way(Lane::Bulk, Instant::now(), move || busy);
        assert!(bulk(1).now_or_never().is_some(), "the only hand");
        assert!(bulk(2).now_or_never().is_none(), "another one is at work");
        sleep(LATELY).await;
        assert!(bulk(2).now_or_never().is_some(), "nobody has come since");
        assert_eq!(precedence.share(Lane::Bulk, 100), 100);
    }
}
