//! Growing, jittered pauses between tries. The one place that knows `backoff`, which is no longer
//! maintained (RUSTSEC-2025-0012): replacing it touches this file.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Pauses that double from `first` to `most`, each varied by up to half.
pub struct Pauses(ExponentialBackoff, Duration);

impl Pauses {
    /// Pauses from `first` to `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        let pauses = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_max_interval(most)
            .with_multiplier(2.0)
            .with_max_elapsed_time(None)
            .build();
        Self(pauses, most)
    }

    /// The next pause. Jitter alone could exceed the longest one.
    pub fn next_pause(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.1).min(self.1)
    }

    /// Starts over: what was tried has worked.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// A number of tries with pauses in between.
pub struct Tries {
    left: u32,
    pauses: Pauses,
}

impl Tries {
    /// `tries` in all, the first one included; pauses start at `base` and grow up to sixteenfold.
    #[must_use]
    pub fn new(tries: u32, base: Duration) -> Self {
        Self {
            left: tries,
            pauses: Pauses::new(base, base * 16),
        }
    }

    /// Called after a try that failed: pauses and says `true`, or says `false` because it was the last.
    pub async fn again(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return false;
        }
        tokio::time::sleep(self.pauses.next_pause()).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_pauses_grow_and_stay_bounded() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(2));
        let first = pauses.next_pause();
        assert!((50..=150).contains(&first.as_millis()), "{first:?}");
        let later: Vec<Duration> = (0..10).map(|_| pauses.next_pause()).collect();
        assert!(later[9] >= Duration::from_millis(900), "{later:?}");
        assert!(
            later.iter().all(|pause| *pause <= Duration::from_secs(2)),
            "{later:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn r7_tries_end() {
        for (tries, expected) in [(0, 0), (1, 0), (3, 2)] {
            let mut left = Tries::new(tries, Duration::from_millis(50));
            let mut again = 0;
            while left.again().await {
                again += 1;
            }
            assert_eq!(again, expected, "{tries} tries");
        }
    }
}
