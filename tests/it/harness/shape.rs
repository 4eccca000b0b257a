//! The two shapes of a merge: a test of a rule runs its scenario in both.

use std::time::Duration;

use super::Desk;

/// How a merge is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Everything in one transaction: a small merge.
    OneTransaction,
    /// An admission, chunks of up to three rows, and a last transaction. Only for scenarios with more than
    /// three rows to move.
    Chunks,
}

impl Shape {
    pub const BOTH: [Self; 2] = [Self::OneTransaction, Self::Chunks];

    /// A help desk whose merges have this shape. They wait for locks longer than any test holds one: what a
    /// test forces does not depend on time.
    pub async fn desk(self) -> Desk {
        let mut desk = Desk::open().await;
        desk.settings.database.lock_timeout = Duration::from_secs(25);
        let rows = match self {
            Self::OneTransaction => 500,
            Self::Chunks => 3,
        };
        let chunk = &mut desk.settings.chunk;
        (chunk.initial, chunk.min, chunk.max) = (rows, rows, rows);
        desk
    }

    /// That all merges so far really had this shape: only a large one is ever held under a fencing number.
    pub async fn assert_was_used(self, desk: &Desk) {
        let (least, most) = (
            desk.number("SELECT min(fence) FROM user_merge.merges")
                .await,
            desk.number("SELECT max(fence) FROM user_merge.merges")
                .await,
        );
        match self {
            Self::OneTransaction => assert_eq!((least, most), (0, 0), "one transaction"),
            Self::Chunks => assert!(least > 0, "{self:?}: the scenario is too small to be cut"),
        }
    }
}
