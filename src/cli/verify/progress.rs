//! How far it is: a bar on a terminal, a line now and then elsewhere. On standard error, so that the result can be
//! piped.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::verify::Progress;

/// Time between two lines.
const BETWEEN: Duration = Duration::from_secs(10);

/// Steps of the bar per account: those of one with many rows are seen, too.
const STEPS: f64 = 1_000.0;

pub(super) struct Shown {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Shown {
    pub(super) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let bar = (std::io::stderr().is_terminal() && !dumb).then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("  {bar:30} {percent}% {msg}");
            bar.set_style(style.expect("a template of ours"));
            bar
        });
        Self {
            bar,
            last_line: Instant::now(),
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "only to show how far it is"
    )]
    pub(super) fn show(&mut self, progress: Progress<'_>) {
        if let Some(bar) = &self.bar {
            bar.set_length((progress.of as f64 * STEPS) as u64);
            bar.set_position((progress.done * STEPS) as u64);
            bar.set_message(line(progress));
        } else if self.last_line.elapsed() >= BETWEEN {
            self.last_line = Instant::now();
            // A reader that went away is no error.
            drop(writeln!(std::io::stderr(), "{}", line(progress)));
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(progress: Progress<'_>) -> String {
    let report = progress.report;
    let (done, of) = (report.accounts, progress.of);
    let found = report.violations();
    let Some(account) = progress.account else {
        return format!(
            "waiting for the sweep to move on what came late; {found} violations so far"
        );
    };
    format!(
        "account {account}, {done} of {of} done: {} merges, {} messages, {} log entries, {found} violations",
        report.merges, report.messages, report.log_entries
    )
}
