//! How far the merges are: a bar that moves, or a line a second.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::screen::Screen;

pub(super) struct Progress<'a> {
    screen: &'a Screen,
    bar: Option<ProgressBar>,
    total: usize,
    began: Instant,
    last_line: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn new(screen: &'a Screen, total: usize) -> Self {
        Self {
            screen,
            bar: screen.bar(total as u64),
            total,
            began: Instant::now(),
            last_line: Instant::now(),
        }
    }

    pub(super) fn show(&mut self, done: usize, waiting: u32) {
        let seconds = self.began.elapsed().as_secs_f64();
        let waits = if waiting > 0 {
            format!(", {waiting} put off")
        } else {
            String::new()
        };
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(format!("outcomes, {seconds:.1} s{waits}"));
        } else if self.last_line.elapsed() >= Duration::from_secs(1) {
            self.last_line = Instant::now();
            let total = self.total;
            self.screen.progress(&format!(
                "  {done} of {total} outcomes after {seconds:.0} s{waits}"
            ));
        }
    }

    /// The bar stays as it is.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
