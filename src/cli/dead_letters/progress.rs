//! How far a long command is, on standard error: a bar that moves, or a line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::walk::Reach;

const LINE_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    done: &'static str,
    last_line: Instant,
}

impl Progress {
    /// `done`: what becomes of the letters, as in `12 replayed`.
    pub(super) fn new(done: &'static str, reach: Reach) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let bar = (std::io::stderr().is_terminal() && !dumb).then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(reach.there), target);
            let style = ProgressStyle::with_template("  {bar:30} {pos}/{len} looked at, {msg}");
            bar.set_style(style.expect("a template of ours"));
            bar
        });
        Self {
            bar,
            done,
            last_line: Instant::now(),
        }
    }

    pub(super) fn show(&mut self, reach: Reach, count: u64) {
        let done = self.done;
        if let Some(bar) = &self.bar {
            bar.set_position(reach.looked_at);
            bar.set_message(format!("{count} {done}"));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let Reach {
                there, looked_at, ..
            } = reach;
            // A reader that went away is no error.
            drop(writeln!(
                std::io::stderr(),
                "{looked_at} of {there} looked at, {count} {done}"
            ));
        }
    }

    /// Takes the bar away: the summary follows.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
