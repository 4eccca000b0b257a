//! `user-merge worker`

use std::process::ExitCode;

use tracing::{Level, error};

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
    match app::run_worker(context.settings, stop::on_signal()?).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Where the log goes to a machine, the last line has to be one that it can read.
        Err(error) if tracing::enabled!(Level::ERROR) => {
            error!("ended: {error:#}");
            Ok(ExitCode::from(super::status_of(&error)))
        }
        Err(error) => Err(error),
    }
}
