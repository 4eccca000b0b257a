//! Upper bounds of the histograms' buckets.

/// Whole merges: milliseconds for a few tickets, minutes for ten thousand under load, more if put off.
pub(super) const MERGE: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
    7200.0,
];

/// Locks: around the target of 50 ms, and up to the statement time-out.
pub(super) const LOCKS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// Rows in a chunk.
pub(super) const ROWS: &[f64] = &[
    1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
];
