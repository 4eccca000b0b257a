//! Every metric: its name, type, unit, labels and help text in one list, from which come the functions
//! that record, the description for Prometheus, and the table in the README.
//!
//! A label's value is always a `&'static str`: the text is in the program, so it is neither personal
//! nor unbounded.

mod buckets;
mod install;
mod macros;

use std::time::Duration;

pub use install::{InstallError, describe_all, install, recorder};
pub use macros::Held;

use macros::{bounds, kind, metrics, record};

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word for it in Prometheus.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it counts or measures in.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// The upper bounds of its buckets, where it is a histogram.
    pub buckets: &'static [f64],
}

// How each is recorded: `one` adds 1, `sum` adds a number, `held` counts what is alive, `flag` is 1 or
// 0, `level` and `age` are set, `time` and `size` are put into buckets.
metrics! {
    one requests(lane, outcome) = "user_merge_requests_total", "requests",
        "Requests settled, by how they ended.";
    one rejections(reason) = "user_merge_rejections_total", "merges",
        "Merges rejected, by reason code.";
    time merge_seconds(lane) = "user_merge_merge_seconds", "seconds" / MERGE,
        "Time from taking a request off its queue to the last commit of its merge.";
    sum tickets_moved(store) = "user_merge_tickets_moved_total", "tickets",
        "Tickets that got the target as requester; store: live, closed, archived.";
    sum ccs(result) = "user_merge_ccs_total", "ccs",
        "CCs of merged users; result: moved, deduplicated.";
    time chunk_seconds() = "user_merge_chunk_seconds", "seconds" / LOCKS,
        "Time for which one chunk held its locks.";
    size chunk_rows() = "user_merge_chunk_rows", "rows" / ROWS,
        "Rows that one chunk moved.";
    one retries(cause) = "user_merge_retries_total", "tries",
        "Tries repeated within the worker after an error that may pass.";
    one put_off(cause) = "user_merge_put_off_total", "messages",
        "Messages put into a retry queue.";
    one dead_letters(reason) = "user_merge_dead_letters_total", "messages",
        "Messages put into the dead-letter queue.";
    one outbox_published(destination) = "user_merge_outbox_published_total", "messages",
        "Messages from the outbox that the broker confirmed; destination: deletion, event, dead, request.";
    level outbox_pending() = "user_merge_outbox_pending", "messages",
        "Messages in the outbox that are not confirmed yet.";
    age outbox_oldest_seconds() = "user_merge_outbox_oldest_seconds", "seconds",
        "Age of the oldest of them; 0 if there is none.";
    sum late_tickets() = "user_merge_late_tickets_total", "tickets",
        "Tickets, CCs and e-mail addresses that reached a user after the merge and were moved on by the sweep.";
    sum stranded() = "user_merge_stranded_total", "merges",
        "Merges that stood still and were enqueued again.";
    flag keeper() = "user_merge_keeper", "boolean",
        "1 while this worker keeps the outbox, the sweep and the search for merges that stand still.";
    one broker_failures(connection, cause) = "user_merge_broker_failures_total", "failures",
        "Broker connections lost or refused.";
    one stale_acks() = "user_merge_stale_acks_total", "acknowledgements",
        "Acknowledgements for a channel that was gone: the message comes again.";
    held in_flight(lane) = "user_merge_in_flight", "merges",
        "Merges being worked on.";
    flag consuming(lane) = "user_merge_consuming", "boolean",
        "1 while the lane's queue is consumed.";
    flag breaker_open(lane) = "user_merge_breaker_open", "boolean",
        "1 while the lane's breaker is open: no message is taken.";
    sum breaker_openings(lane, cause) = "user_merge_breaker_openings_total", "openings",
        "How often the lane's breaker opened, and over which error.";
    flag slowed(reason) = "user_merge_slowed", "boolean",
        "1 while merges are slowed down for this reason, if they are not interactive and small.";
    level bulk_hands() = "user_merge_bulk_hands", "hands",
        "Hands of the bulk lane that may be busy now; 0 while it is held back.";
    sum paused_seconds(lane) = "user_merge_paused_seconds_total", "seconds",
        "Time for which large merges left the database alone between their chunks.";
    one fenced() = "user_merge_fenced_total", "chunks",
        "Chunks given up because another worker had taken the merge over.";
    flag build_info(version) = "user_merge_build_info", "boolean",
        "Always 1; the label is the version.";
}

#[cfg(test)]
mod tests;
