//! Chance that can be repeated: the seed is printed with a failing test, and taken from `TEST_SEED` if set.

use std::time::{SystemTime, UNIX_EPOCH};

/// A generator of numbers (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// Seeded by `TEST_SEED`, or by the time.
    pub fn new() -> Self {
        let seed = match std::env::var("TEST_SEED") {
            Ok(seed) => seed.parse().expect("TEST_SEED is a number"),
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        };
        println!("to repeat: TEST_SEED={seed}");
        Self(seed)
    }

    /// With this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Another one, for a task of its own.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// From 0 up to, and without, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.below(u64::try_from(from.len()).unwrap());
        from[usize::try_from(at).unwrap()]
    }

    /// Whether something happens that does so in so many of a hundred cases.
    pub fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    /// Any order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let at = self.below(u64::try_from(last).unwrap() + 1);
            all.swap(last, usize::try_from(at).unwrap());
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
