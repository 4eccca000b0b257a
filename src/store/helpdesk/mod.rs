//! The help desk's tables: the users themselves. The worker reads and writes them, and never alters them.

mod facts;
mod finish;
mod lock;

pub use facts::{Facts, UserFacts, facts};
pub use finish::{finish, finish_without_source};
pub use lock::{lock_free, lock_pair};
