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

    /// However quick the database is.
    pub(super) const fn most(&self) -> i64 {
        self.max
    }

    /// Learns from a chunk. Sizes aim at half the time, so that what differs from chunk to chunk seldom goes beyond the
    /// whole; they shrink at once, and grow half the way: one slow chunk costs others more than many short ones do.
    /// A chunk that wasn't full says nothing about a full one, unless it was too slow already.
    pub(super) fn observe(&self, asked: i64, moved: i64, took: Duration) {
        let ratio = self.target.as_secs_f64() / 2.0 / took.as_secs_f64().max(1e-6);
        let is_full = moved >= asked;
        let by = if took > self.target || (is_full && ratio < 1.0) {
            ratio.max(0.5)
        } else if is_full {
            f64::midpoint(1.0, ratio.min(4.0))
        } else {
            return;
        };
        self.rows.store(
            scale(asked, by).clamp(self.min, self.max),
            Ordering::Relaxed,
        );
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
    (rows as f64 * by).ceil() as i64
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

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_grows_quickly_while_chunks_are_far_too_short_and_then_slowly() {
        let size = size();
        size.observe(500, 500, ms(2));
        assert_eq!(size.rows(), 1250);
        size.observe(1250, 1250, ms(20));
        assert_eq!(size.rows(), 1407);
        for _ in 0..50 {
            size.observe(size.rows(), size.rows(), ms(10));
        }
        assert_eq!(size.rows(), 5000);
    }

    #[test]
    fn it_comes_to_rest_at_half_the_time() {
        let size = size();
        for _ in 0..50 {
            let rows = size.rows();
            size.observe(
                rows,
                rows,
                Duration::from_micros(10) * u32::try_from(rows).unwrap(),
            );
        }
        assert!((2450..=2550).contains(&size.rows()), "{}", size.rows());
    }

    #[test]
    fn it_shrinks_at_once_when_a_chunk_is_too_slow() {
        let size = size();
        size.observe(500, 500, ms(40));
        assert_eq!(size.rows(), 313, "to half the time");
        size.observe(500, 500, ms(62));
        assert_eq!(size.rows(), 250, "but not to less than half the rows");
        size.observe(250, 3, ms(9_000));
        assert_eq!(size.rows(), 125, "full or not");
        for _ in 0..20 {
            size.halve();
        }
        assert_eq!(size.rows(), 20);
    }

    #[test]
    fn the_smallest_one_can_grow() {
        let size = ChunkSize::new(&config::Chunk {
            initial: 1,
            min: 1,
            max: 5,
            target_time: ms(50),
        });
        size.observe(1, 1, ms(1));
        assert_eq!(size.rows(), 3);
    }

    #[test]
    fn a_chunk_that_was_not_full_does_not_make_it_grow() {
        let size = size();
        size.observe(500, 3, Duration::from_millis(1));
        assert_eq!(size.rows(), 500);
    }
}
