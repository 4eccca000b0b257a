//! `user-merge worker`

use std::process::ExitCode;

use super::{Context, stop};
use crate::app;

/// Take merge requests off both lanes until told to stop
///
/// SIGTERM or SIGINT: takes no more messages, finishes the chunk it is at, gives the message back, and ends
/// within worker.grace. A second signal ends it at once. Nothing is lost either way.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge worker
  user-merge --config /etc/user-merge.toml worker
  USER_MERGE__LANES__BULK__CONCURRENCY=8 user-merge worker

Health and metrics are on telemetry.listen: /healthz, /readyz, /metrics.")]
pub(super) struct Args {}

pub(super) async fn run(_args: &Args, context: Context) -> anyhow::Result<ExitCode> {
    app::run_worker(context.settings, stop::on_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}
