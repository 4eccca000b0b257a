//! The interactive lane comes first: while one of its messages waits or is at work, bulk begins nothing. But not for
//! long: somebody always waits, and a backfill is to come to an end too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::broker::Lane;

/// After so long bulk begins one batch all the same.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many interactive messages are in hand.
#[derive(Clone, Default)]
pub(super) struct Precedence(Arc<watch::Sender<usize>>);

/// One of them, until it is dropped.
pub(super) struct Present(Precedence);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|present| {
            *present -= 1;
            *present == 0
        });
    }
}

impl Precedence {
    /// A message of this lane is in hand.
    pub(super) fn enter(&self, lane: Lane) -> Option<Present> {
        (lane == Lane::Interactive).then(|| {
            self.0.send_if_modified(|present| {
                *present += 1;
                false
            });
            Present(self.clone())
        })
    }

    /// Waits until this lane may begin something that it has wanted to begin since then.
    pub(super) async fn give_way(&self, lane: Lane, since: Instant) {
        if lane == Lane::Bulk {
            let mut present = self.0.subscribe();
            let nobody = present.wait_for(|present| *present == 0);
            drop(timeout_at(since + PATIENCE, nobody).await);
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
        let bulk = || precedence.give_way(Lane::Bulk, since);
        assert!(bulk().now_or_never().is_some(), "nobody is there");
        let (one, two) = (
            precedence.enter(Lane::Interactive),
            precedence.enter(Lane::Interactive),
        );
        assert!(precedence.enter(Lane::Bulk).is_none());
        let interactive = precedence.give_way(Lane::Interactive, since);
        assert!(interactive.now_or_never().is_some());
        let mut waits = Box::pin(bulk());
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
}
