//! What the worker shows of itself: log lines, metrics, and whether it is well.
//!
//! None of it may hold personal data: labels and field names are fixed texts, values are ids, counts,
//! times and codes.

mod health;
pub mod log;
pub mod metric;
mod probe;
mod server;
mod watchdog;

use std::net::SocketAddr;

pub use health::{Condition, Health, Pulse};
pub use server::{ServeError, Server};
pub use watchdog::Watchdog;

/// Telemetry that can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Another recorder of metrics is in place.
    #[error("can't record metrics")]
    Recorder(#[from] metric::InstallError),
    /// The address can't be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Starts to record metrics, and to serve them and the health on `telemetry.listen`.
///
/// Without an address nothing is recorded either: nobody would ever read it, and it would pile up.
pub async fn start(
    listen: Option<SocketAddr>,
    health: Health,
    stop: tokio_util::sync::CancellationToken,
) -> Result<Option<Server>, TelemetryError> {
    let Some(listen) = listen else {
        return Ok(None);
    };
    let metrics = metric::install()?;
    health.report();
    Ok(Some(Server::start(listen, metrics, health, stop).await?))
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn without_an_address_nothing_is_served() {
        let server = start(None, Health::default(), CancellationToken::new()).await;
        assert!(server.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_lane_that_was_never_consumed_shows_as_0() {
        let health = Health::expecting([Condition::Consuming("never")]);
        let (listen, stop) = (
            SocketAddr::from(([127, 0, 0, 1], 0)),
            CancellationToken::new(),
        );
        let server = start(Some(listen), health, stop.clone())
            .await
            .unwrap()
            .unwrap();
        let text = metric::install().unwrap().render();
        assert!(
            text.contains("user_merge_consuming{lane=\"never\"} 0"),
            "{text}"
        );
        stop.cancel();
        server.stopped().await;
    }
}
