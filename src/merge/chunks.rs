//! Moving a large merge, chunk by chunk, without a lock on the source (rules T1, T4, T8, T9).

use std::time::{Duration, Instant};

use super::{Ending, Merger, Report, Step, Until};
use crate::domain::{MergeId, Pair};
use crate::failpoint::failpoint;
use crate::retry::Tries;
use crate::store::helpdesk::UserFacts;
use crate::store::merges::{Envelope, Held, Record};
use crate::store::moves::{
    Chunk, Moved, move_archived_ccs, move_archived_tickets, move_ccs, move_tickets,
};
use crate::store::{Connection, Result};
use crate::telemetry::metric;
use tracing::debug;

/// What is moved, in this order: a ticket's own requester is settled before its CCs (rule T5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Tickets,
    ArchivedTickets,
    Ccs,
    ArchivedCcs,
}

impl Relation {
    const ALL: [Self; 4] = [
        Self::Tickets,
        Self::ArchivedTickets,
        Self::Ccs,
        Self::ArchivedCcs,
    ];

    async fn move_chunk(self, connection: &mut Connection, chunk: Chunk) -> Result<Moved> {
        match self {
            Self::Tickets => move_tickets(connection, chunk).await,
            Self::ArchivedTickets => move_archived_tickets(connection, chunk).await,
            Self::Ccs => move_ccs(connection, chunk).await,
            Self::ArchivedCcs => move_archived_ccs(connection, chunk).await,
        }
    }

    pub(super) const fn rows(self, source: &UserFacts) -> i64 {
        match self {
            Self::Tickets => source.tickets,
            Self::ArchivedTickets => source.archived_tickets,
            Self::Ccs => source.ccs,
            Self::ArchivedCcs => source.archived_ccs,
        }
    }
}

impl Merger {
    /// Moves all that can be found, relation by relation. `Some` where the merge has to pause; `None` where
    /// the end was reached, as far as that can be known without the lock.
    pub(super) async fn drain(
        &self,
        envelope: Envelope<'_>,
        held: &Held,
        until: &Until,
        report: &mut Report,
    ) -> Result<Option<Ending>> {
        for relation in self.relations() {
            loop {
                let Record { id, fence, .. } = held.record;
                let chunk = self.chunk(envelope.request.pair(), id, Some(fence), self.size.rows());
                let (moved, is_drained) = self.timed_chunk(relation, chunk, until).await?;
                until.tell(Step::Committed);
                report.moved += moved;
                if let Some(pause) = until.pause(&report.moved) {
                    return Ok(Some(pause));
                }
                if is_drained {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// One chunk is one short transaction; says too whether it came to the end of the relation. What
    /// may pass is tried again here, with fewer rows, so that a long merge doesn't spend its attempts on a
    /// busy moment.
    async fn timed_chunk(
        &self,
        relation: Relation,
        chunk: Chunk,
        until: &Until,
    ) -> Result<(Moved, bool)> {
        let mut tries = Tries::new(self.retry.immediate, self.retry.base);
        loop {
            until.tell(Step::Tried);
            let limit = chunk.limit.min(self.size.rows());
            let error = match self.one_chunk(relation, Chunk { limit, ..chunk }).await {
                Err(error) if error.is_worth_another_try() => error,
                result => return result.map(|moved| (moved, moved.rows < limit)),
            };
            if !tries.again().await {
                return Err(error);
            }
            metric::retries(error.class());
            self.size.halve();
        }
    }

    async fn one_chunk(&self, relation: Relation, chunk: Chunk) -> Result<Moved> {
        let mut tx = self.pool.begin().await?;
        let began = Instant::now();
        failpoint!(ChunkBegun);
        let moved = relation.move_chunk(&mut tx, chunk).await?;
        failpoint!(ChunkMoved);
        tx.commit().await?;
        failpoint!(ChunkCommitted);
        let took = began.elapsed();
        measure(took, moved);
        self.size.observe(chunk.limit, moved.rows, took);
        Ok(moved)
    }

    pub(super) fn relations(&self) -> impl Iterator<Item = Relation> + use<> {
        let archived_ccs = self.rules.move_archived_ccs;
        Relation::ALL
            .into_iter()
            .filter(move |relation| *relation != Relation::ArchivedCcs || archived_ccs)
    }

    fn chunk(&self, pair: Pair, merge: MergeId, fence: Option<i64>, limit: i64) -> Chunk {
        Chunk {
            pair,
            merge,
            fence,
            limit,
            archived_ccs: self.rules.move_archived_ccs,
        }
    }
}

/// How long the chunk held its locks: from its start to its commit, or, within a transaction, to its end.
pub(super) fn measure(took: Duration, moved: Moved) {
    debug!(
        rows = moved.rows,
        seconds = took.as_secs_f64(),
        "moved a chunk"
    );
    metric::chunk_seconds(took);
    metric::chunk_rows(u32::try_from(moved.rows).unwrap_or(u32::MAX));
}
