//! When the database is away, nobody's attempts are burnt: those at work wait here, and no lane takes
//! another message.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::retry::Pauses;
use crate::store;

/// Open while the database answers, as far as anyone has noticed.
pub(super) struct Gate {
    pool: store::Pool,
    is_open: watch::Sender<bool>,
}

impl Gate {
    pub(super) fn new(pool: store::Pool) -> Self {
        Self {
            pool,
            is_open: watch::Sender::new(true),
        }
    }

    /// Shuts the gate; whoever shuts it first looks after it until the database answers again.
    pub(super) fn shut(&self, stop: &CancellationToken) {
        let is_first = self
            .is_open
            .send_if_modified(|is_open| std::mem::replace(is_open, false));
        if is_first {
            tracing::warn!("the database is away: no messages are taken until it answers");
            let (pool, is_open, stop) = (self.pool.clone(), self.is_open.clone(), stop.clone());
            tokio::spawn(async move {
                let mut pauses = Pauses::new(Duration::from_millis(200), Duration::from_secs(5));
                loop {
                    tokio::select! {
                        () = tokio::time::sleep(pauses.next_pause()) => {}
                        () = stop.cancelled() => break,
                    }
                    if store::is_reachable(&pool).await.is_ok() {
                        tracing::info!("the database answers again");
                        break;
                    }
                }
                is_open.send_replace(true);
            });
        }
    }

    /// Waits until the gate is open. Returns at once where it is.
    pub(super) async fn wait(&self) {
        // The sender lives as long as `self`, so this can't fail.
        drop(self.is_open.subscribe().wait_for(|is_open| *is_open).await);
    }
}
