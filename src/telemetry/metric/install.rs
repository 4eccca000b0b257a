//! Puts the recorder in place, once per process.

use std::sync::OnceLock;

use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use metrics_exporter_prometheus::{PrometheusHandle, PrometheusRecorder};

use super::{ALL, Kind, build_info};

/// Metrics that can't be recorded.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A recorder that isn't ours is in place.
    #[error("another recorder of metrics is in place in this process")]
    Taken,
    /// A histogram without buckets.
    #[error("the list of metrics is wrong")]
    List(#[from] BuildError),
}

/// A recorder that knows every histogram's buckets: for tests, one of their own each.
pub fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL.iter().filter(|metric| metric.kind == Kind::Histogram) {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)?;
    }
    Ok(builder.build_recorder())
}

/// Records metrics from now on. A second call returns the same recorder's handle.
pub fn install() -> Result<PrometheusHandle, InstallError> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let recorder = recorder()?;
    let handle = HANDLE.get_or_init(|| {
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        describe_all();
        build_info(env!("CARGO_PKG_VERSION"), true);
        Some(handle)
    });
    handle.clone().ok_or(InstallError::Taken)
}

/// Tells the recorder what each metric means.
///
/// Counters without labels start at 0 with it, so that an alert sees their first step.
pub fn describe_all() {
    for metric in ALL {
        let unit = if metric.unit == "seconds" {
            Unit::Seconds
        } else {
            Unit::Count
        };
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.help),
        }
        if metric.kind == Kind::Counter && metric.labels.is_empty() {
            metrics::counter!(metric.name).increment(0);
        }
    }
}
