//! Chunk size follows time: a chunk should hold its locks for about as long as the setting says.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::config;

/// Rows per chunk, shared by all merges of the process: they meet the same database.
pub(super) struct ChunkSize {
    rows: AtomicI64,
    min: i64,
    max: i64,
    target: Duration,
}

impl ChunkSize {
    pub(super) fn new(settings: &config::Chunk) -> Self {
        Self {
            rows: AtomicI64::new(settings.initial.into()),
            min: settings.min.into(),
            max: settings.max.into(),
            target: settings.target_time,
        }
    }

    pub(super) fn rows(&self) -> i64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Learns from a chunk: grows by a fifth while there is room, shrinks in proportion where it took too
    /// long. A chunk that wasn't full says nothing about a full one, unless it was too slow already.
    pub(super) fn observe(&self, asked: i64, moved: i64, took: Duration) {
        let full = moved >= asked;
        let next = if took > self.target {
            let ratio = self.target.as_secs_f64() / took.as_secs_f64();
            scale(asked, ratio.max(0.5))
        } else if full && took < self.target.mul_f64(0.8) {
            scale(asked, 1.2) + 1
        } else {
            return;
        };
        self.rows
            .store(next.clamp(self.min, self.max), Ordering::Relaxed);
    }

    /// Halves after a chunk that timed out or waited for a lock in vain.
    pub(super) fn halve(&self) {
        let half = (self.rows() / 2).clamp(self.min, self.max);
        self.rows.store(half, Ordering::Relaxed);
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "both far below 2^52"
)]
fn scale(rows: i64, by: f64) -> i64 {
    (rows as f64 * by) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> ChunkSize {
        ChunkSize::new(&config::Chunk {
            initial: 500,
            min: 20,
            max: 5000,
            target_time: Duration::from_millis(50),
        })
    }

    #[test]
    fn it_grows_slowly_while_chunks_are_quick() {
        let size = size();
        size.observe(500, 500, Duration::from_millis(10));
        assert_eq!(size.rows(), 601);
        for _ in 0..50 {
            size.observe(size.rows(), size.rows(), Duration::from_millis(10));
        }
        assert_eq!(size.rows(), 5000);
    }

    #[test]
    fn it_shrinks_at_once_when_a_chunk_is_slow() {
        let size = size();
        size.observe(500, 500, Duration::from_millis(62));
        assert_eq!(size.rows(), 403);
        size.observe(403, 403, Duration::from_secs(9));
        assert_eq!(size.rows(), 201);
        for _ in 0..20 {
            size.halve();
        }
        assert_eq!(size.rows(), 20);
    }

    #[test]
    fn a_chunk_that_was_not_full_does_not_make_it_grow() {
        let size = size();
        size.observe(500, 3, Duration::from_millis(1));
        assert_eq!(size.rows(), 500);
    }
}
