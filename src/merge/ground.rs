//! The ground that chunks cover side by side: one relation of one merge, from the first id to the last.

use std::sync::OnceLock;

use tokio::sync::Mutex;

use super::Ending;
use super::relation::Relation;
use crate::domain::Pair;
use crate::store::moves::Range;
use crate::store::{Connection, Result};

/// What of a relation is still to be looked at, and whether anybody should.
pub(super) struct Ground {
    pub(super) relation: Relation,
    pair: Pair,
    /// Ranges that nobody has claimed, the next one last. Locked while the next chunk's end is looked for.
    open: Mutex<Vec<Range>>,
    /// Set once no further chunk is to begin: for a pause, or, without one, because something went wrong.
    end: OnceLock<Option<Ending>>,
}

impl Ground {
    pub(super) fn new(relation: Relation, pair: Pair) -> Self {
        Self {
            relation,
            pair,
            open: Mutex::new(vec![Range::ALL]),
            end: OnceLock::new(),
        }
    }

    /// Claims the next `limit` rows that are there, or what there is; `None` where nothing is left to claim.
    pub(super) async fn claim(
        &self,
        connection: &mut Connection,
        limit: i64,
    ) -> Result<Option<Range>> {
        let mut open = self.open.lock().await;
        while let Some(&range) = open.last() {
            let picked = self
                .relation
                .pick(connection, self.pair, range, limit)
                .await?;
            open.pop();
            let Some(last) = picked.last else { continue };
            if picked.rows >= limit && last < range.upto {
                open.push(Range {
                    after: last,
                    ..range
                });
            }
            return Ok(Some(Range {
                upto: last,
                ..range
            }));
        }
        Ok(None)
    }

    /// Gives a claimed range back, to be claimed after all others: what stands in its way may be gone by then.
    pub(super) async fn give_back(&self, range: Range) {
        self.open.lock().await.insert(0, range);
    }

    /// No further chunk begins; those at work come to their end.
    pub(super) fn leave(&self, why: Option<Ending>) {
        // Whoever was first has said why.
        let _ = self.end.set(why);
    }

    pub(super) fn is_left(&self) -> bool {
        self.end.get().is_some()
    }

    /// The pause for which it was left.
    pub(super) fn pause(&self) -> Option<Ending> {
        self.end.get().copied().flatten()
    }
}
