//! `/metrics`, `/healthz` and `/readyz`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Health;

/// How often the recorder tidies what nobody has fetched; otherwise it would grow without bound.
const UPKEEP: Duration = Duration::from_secs(5);
/// Patience for connections that are open when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// An address that can't be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "can't listen on telemetry.listen = \"{address}\": give a free address of this machine, port 0 for any, \
     or \"\" for none [environment: USER_MERGE__TELEMETRY__LISTEN]"
)]
pub struct ServeError {
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    pub source: std::io::Error,
}

/// The running server. It ends once it is told to stop.
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts to listen, and to serve until `stop`.
    pub async fn start(
        address: SocketAddr,
        metrics: PrometheusHandle,
        health: Health,
        stop: CancellationToken,
    ) -> Result<Self, ServeError> {
        let fails = |source| ServeError { address, source };
        let listener = TcpListener::bind(address).await.map_err(fails)?;
        let address = listener.local_addr().map_err(fails)?;
        let router = Router::new()
            .route("/metrics", get(show_metrics))
            .with_state(metrics.clone())
            .merge(
                Router::new()
                    .route("/healthz", get(alive))
                    .route("/readyz", get(ready))
                    .with_state(health),
            );
        Ok(Self {
            address,
            task: tokio::spawn(serve(listener, router, metrics, stop)),
        })
    }

    /// Where it listens: with port 0 the port that it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns once it has stopped.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the telemetry server failed"
            );
        }
    }
}

async fn serve(
    listener: TcpListener,
    router: Router,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) {
    let graceful =
        axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics.run_upkeep();
        }
    };
    let farewell = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        result = graceful.into_future() => {
            if let Err(error) = result {
                tracing::error!(error = &error as &dyn std::error::Error, "the telemetry server failed");
            }
        }
        () = upkeep => {}
        () = farewell => {}
    }
}

async fn show_metrics(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        metrics.render(),
    )
}

async fn alive(State(health): State<Health>) -> Response {
    let stuck = health.stuck();
    answer(
        stuck.is_empty(),
        &json!({ "alive": stuck.is_empty(), "stuck": stuck }),
    )
}

async fn ready(State(health): State<Health>) -> Response {
    let missing = health.missing().await;
    answer(
        missing.is_empty(),
        &json!({ "ready": missing.is_empty(), "missing": missing }),
    )
}

fn answer(well: bool, body: &serde_json::Value) -> Response {
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests;
