//! All SQL. The help desk's tables and the worker's own have rooms of their own; only a chunk of a move
//! touches both, because its rows, its log entries and the merge's progress belong together (rule T8).
//!
//! Functions take the connection they run on: the caller owns the transaction. Every statement is bounded
//! by `account_id`, except for those that look after all accounts at once: `tests/it/structure/statements.rs` lists them.

pub mod demo;
pub mod error;
pub mod helpdesk;
pub mod keeper;
pub mod merges;
pub mod migrate;
pub mod moves;
pub mod outbox;
pub mod pace;
mod pairs;
mod pool;
pub mod tombstones;
pub mod verify;

pub use error::Error;
pub use pairs::Pairs;
pub use pool::{
    Connection, Options, Pool, Transaction, address, answers, begin_in_haste, begin_unsynced,
    connect, is_reachable, try_connect,
};

/// What a statement of this room gives back.
pub type Result<T> = std::result::Result<T, Error>;

/// A number of rows as the database counts them.
fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
