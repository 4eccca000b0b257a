//! Asks before anything is taken out of the queue.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::error::ErrorKind;
use tokio_util::sync::CancellationToken;

use super::select::Selection;
use super::wrong_usage;

/// What has to be said before anything happens.
#[derive(Debug, clap::Args)]
pub(super) struct Consent {
    /// Every dead letter
    #[arg(long)]
    all: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub limit: u64,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

impl Consent {
    /// Ends the process where it isn't clear what is wanted.
    pub(super) fn require(&self, selection: &Selection) {
        selection.require(self.all);
        if !self.dry_run {
            require_somebody(self.yes);
        }
    }

    /// Whether all has to be counted before anything is done.
    pub(super) const fn counts_first(&self) -> bool {
        self.dry_run || !self.yes
    }
}

/// Where nobody can be asked, the answer has to be there beforehand.
fn require_somebody(yes: bool) {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !yes && !is_terminal {
        wrong_usage(
            ErrorKind::MissingRequiredArgument,
            "nobody can be asked here: give --yes, or look first with --dry-run",
        );
    }
}

/// Only `y` or `yes` is a yes.
pub(super) async fn confirmed(question: &str, stop: &CancellationToken) -> anyhow::Result<bool> {
    let mut out = std::io::stderr();
    write!(out, "{question} [y/N] ").and_then(|()| out.flush())?;
    let asking = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = tokio::select! {
        answer = asking => answer?.context("can't read the answer")?,
        () = stop.cancelled() => return Ok(false),
    };
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
