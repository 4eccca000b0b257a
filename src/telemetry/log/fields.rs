//! The names of all fields on our own log lines. A field that isn't listed here is not shown: personal
//! data can't get into the logs by the way.

macro_rules! fields {
    ($($name:literal: $meaning:literal;)*) => {
        /// Every field and its meaning.
        pub const FIELDS: &[(&str, &str)] = &[$(($name, $meaning)),*];
    };
}

fields! {
    "merge.id": "The merge, as in the table `merges` and in every message that follows from it.";
    "account.id": "The help-desk account.";
    "source.id": "The source user.";
    "target.id": "The target user.";
    "lane": "`interactive` or `bulk`.";
    "attempt": "Which time the message is taken up, from 1.";
    "fence": "The fencing number under which this worker holds the merge.";
    "phase": "Where in the merge it is.";
    "outcome": "How a request was settled.";
    "reason": "The reason code of a rejection or a dead letter.";
    "cause": "The kind of an error: a code, no text.";
    "error": "An error with what caused it.";
    "measured": "What slows merges down: seconds, sessions, or MiB a second.";
    "allowed": "From where on it slows them down.";
    "retryable": "Whether the error may pass.";
    "delay_ms": "How long until the next try.";
    "elapsed_ms": "How long it took.";
    "seconds": "How long it took, of what may take minutes.";
    "moved": "A number of tickets and CCs that the sweep moved on.";
    "times": "How often a merge's request was enqueued again.";
    "tickets": "A number of tickets.";
    "ccs": "A number of CCs.";
    "rows": "A number of rows.";
    "chunk.rows": "The size of the next chunk.";
    "messages": "A number of messages.";
    "connection": "Which broker connection: `consuming` or `publishing`.";
    "queue": "A queue's name.";
    "exchange": "An exchange's name.";
    "destination": "Where a message goes: `lane`, `retry`, `dead`, `deletion`, `event` or `request`.";
    "redelivered": "Whether the broker delivered the message before.";
    "bytes": "A size in bytes.";
    "setting": "A setting's name.";
    "address": "Where the process listens.";
    "signal": "The signal that stops the process.";
    "in_flight": "Merges being worked on.";
    "version": "The version of this program or of a server.";
    "task": "One of the process' loops.";
}

/// Whether a field of that name may be shown.
pub(super) fn listed(name: &str) -> bool {
    FIELDS.iter().any(|(listed, _)| *listed == name)
}
