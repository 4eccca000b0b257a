//! How much of everything.

/// Sizes of all measures.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Users and tickets that nothing happens to.
    pub bystanders: (i64, i64),
    /// Rounds of most measures.
    pub rounds: usize,
    /// Tickets of the large merge, and its rounds.
    pub large: (i64, usize),
    /// Small merges a round: of the interactive lane and the procedure (a multiple of 16), the bulk lane, Celery.
    pub merges: [usize; 3],
    /// Seconds of paced arrivals in a round, and merges from which the bulk lane's pace is taken.
    pub latency: (u64, usize),
    /// Tickets in the two tables, small merges in a round, and rounds.
    pub scale: ([i64; 2], usize, usize),
    /// Tickets of one user, and rounds.
    pub million: [(i64, usize); 3],
    /// Messages that wait, and how many of them are settled.
    pub waiting: (usize, usize),
    /// Starts of the process.
    pub starts: usize,
}

/// Tickets of a small merge.
pub const SMALL: i64 = 5;
/// Interactive arrivals a second where latency is measured.
pub const ARRIVALS: u64 = 20;

impl Sizes {
    pub fn full() -> Self {
        Self {
            bystanders: (20_000, 200_000),
            rounds: 5,
            large: (10_000, 9),
            merges: [4_800, 14_400, 1_600],
            latency: (15, 6_000),
            scale: ([100_000, 10_000_000], 100, 9),
            million: [(10_000, 5), (100_000, 3), (1_000_000, 1)],
            waiting: (1_000_000, 80_000),
            starts: 15,
        }
    }

    pub fn quick() -> Self {
        Self {
            bystanders: (2_000, 20_000),
            rounds: 2,
            large: (2_000, 3),
            merges: [320, 640, 160],
            latency: (3, 640),
            scale: ([20_000, 100_000], 80, 2),
            million: [(1_000, 2), (5_000, 2), (20_000, 1)],
            waiting: (5_000, 400),
            starts: 3,
        }
    }
}
