//! How much of everything: bounded, as one test among others, or whole, as `tests/prove` runs it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The measure of one run.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// What decides about load and faults.
    pub seed: u64,
    /// SIGKILLs of workers that were at work.
    pub kills: u64,
    /// SIGTERMs of workers.
    pub terms: u64,
    /// Of each server: clean restarts, and as many SIGKILLs.
    pub broker: u64,
    pub database: u64,
    /// Tickets of a large merge.
    pub large: i64,
    /// `merge.ticket_limit`.
    pub limit: i64,
    /// Requests under way at once, at least.
    pub backlog: i64,
}

impl Size {
    /// By `USER_MERGE_PROOF` (`whole`), `USER_MERGE_CHAOS_SEED` and `USER_MERGE_CHAOS_KILLS`.
    pub fn of_environment() -> Self {
        let number = |name: &str| {
            let value = std::env::var(name).ok()?;
            let number: u64 = value
                .parse()
                .unwrap_or_else(|_| panic!("{name} is no number"));
            Some(number)
        };
        let seed = number("USER_MERGE_CHAOS_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            now.as_secs()
        });
        let is_whole = std::env::var("USER_MERGE_PROOF").is_ok_and(|proof| proof == "whole");
        let kills = number("USER_MERGE_CHAOS_KILLS").unwrap_or(if is_whole { 1_000 } else { 28 });
        if is_whole {
            Self {
                seed,
                kills,
                terms: kills.div_ceil(10),
                broker: kills.div_ceil(150),
                database: kills.div_ceil(50),
                large: 10_000,
                limit: 10_000,
                backlog: 60,
            }
        } else {
            Self {
                seed,
                kills,
                terms: 4,
                broker: 1,
                database: 1,
                large: 1_500,
                limit: 2_000,
                backlog: 40,
            }
        }
    }
}
