//! A worker inside the test's process: the same loops as `user-merge worker`.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use user_merge::telemetry::Health;
use user_merge::worker;

use super::{Desk, eventually};

/// A worker that runs until it is stopped or dropped.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), worker::Error>>,
}

impl Running {
    /// Starts one under the desk's settings, and waits until it consumes both lanes.
    pub async fn start(desk: &Desk) -> Self {
        let stop = CancellationToken::new();
        let health = Health::expecting(worker::conditions());
        let task = tokio::spawn(worker::run(
            desk.settings.clone(),
            user_merge::app::broker(&desk.settings).unwrap(),
            user_merge::app::pool(&desk.settings).unwrap(),
            health.clone(),
            stop.clone(),
        ));
        eventually("a ready worker", || async {
            health.missing().await.is_empty().then_some(())
        })
        .await;
        Self { stop, task }
    }

    /// Stops it and waits for its last safe point.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}
