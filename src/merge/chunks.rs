//! Moving a large merge, chunk by chunk, without a lock on the source (rules T1, T4, T8, T9).

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tracing::debug;

use super::ground::Ground;
use super::relation::Relation;
use super::{Ending, Merger, Report, Step, Until};
use crate::failpoint::failpoint;
use crate::retry::Tries;
use crate::store::merges::{Envelope, Held, Progress};
use crate::store::moves::{Chunk, Moved, Range};
use crate::store::{Connection, Result, begin_unsynced};
use crate::telemetry::metric;

/// A large merge at work.
#[derive(Clone, Copy)]
struct Work<'a> {
    ground: &'a Ground,
    /// Of all its chunks, but for the range.
    chunk: Chunk,
    until: &'a Until,
    /// What this run has moved elsewhere.
    moved: Progress,
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
        let pair = envelope.request.pair();
        let chunk = Chunk {
            pair,
            merge: held.record.id,
            fence: held.record.fence,
            range: Range::ALL,
            archived_ccs: self.rules.move_archived_ccs,
        };
        for relation in Relation::all(self.rules.move_archived_ccs) {
            // Until a look from the first id to the last finds nothing. After a large one that look takes its
            // time: the index still has what was moved. Better here than in the last transaction, under its locks.
            loop {
                let ground = Ground::new(relation, pair);
                let moved = self
                    .cover(Work {
                        ground: &ground,
                        chunk,
                        until,
                        moved: report.moved,
                    })
                    .await?;
                report.moved += moved;
                if let Some(pause) = ground.pause() {
                    return Ok(Some(pause));
                }
                if !moved.has_moved() {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Once over the whole ground, on two lanes side by side where a connection is to spare: over ranges of their own
    /// they don't meet, but for a moment at the end of a chunk, in the merge's own row.
    async fn cover(&self, work: Work<'_>) -> Result<Progress> {
        let second = self.spare.try_acquire();
        let lanes = (0..=usize::from(second.is_ok())).map(async |_| {
            let lane = AssertUnwindSafe(self.lane(work)).catch_unwind().await;
            if !matches!(lane, Ok(Ok(_))) {
                work.ground.leave(None);
            }
            lane
        });
        // Each comes to its own end, whatever becomes of the other: a transaction is never left halfway.
        let mut moved = Progress::default();
        for lane in join_all(lanes).await {
            moved += lane.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(moved)
    }

    /// One chunk after the other. What may pass is tried again here, with fewer rows, so that a long merge doesn't
    /// spend its attempts on a busy moment.
    async fn lane(&self, work: Work<'_>) -> Result<Progress> {
        let Work { ground, until, .. } = work;
        let mut moved = Progress::default();
        let mut tries = self.tries();
        while !ground.is_left() {
            until.tell(Step::Tried);
            match self.next_chunk(work).await {
                Ok(None) => break,
                Ok(Some((chunk, took))) => {
                    until.tell(Step::Committed);
                    moved += chunk;
                    tries = self.tries();
                    let mut all = work.moved;
                    all += moved;
                    until.rest(took).await;
                    if let Some(pause) = until.pause(&all) {
                        ground.leave(Some(pause));
                    }
                }
                Err(error) => {
                    if !error.is_worth_another_try() || !tries.again().await {
                        return Err(error);
                    }
                    metric::retries(error.class());
                    self.size.halve();
                }
            }
        }
        Ok(moved)
    }

    /// Claims a chunk and moves it, and says how long that took; `None` where nothing is left.
    async fn next_chunk(
        &self,
        Work { ground, chunk, .. }: Work<'_>,
    ) -> Result<Option<(Moved, Duration)>> {
        let mut connection = self.pool.acquire().await?;
        let limit = self.size.rows();
        let Some(range) = ground.claim(&mut connection, limit).await? else {
            return Ok(None);
        };
        let chunk = Chunk { range, ..chunk };
        let moved = self
            .one_chunk(&mut connection, ground.relation, chunk, limit)
            .await;
        if moved.is_err() {
            ground.give_back(range).await;
        }
        moved.map(Some)
    }

    /// One chunk is one short transaction. Its commit doesn't wait for the disk: should the server lose it, then
    /// rows, log and progress alike, and they are moved again (rules T8, R4). Before anybody hears that the merge is
    /// completed, the last transaction's commit has waited for all of them.
    async fn one_chunk(
        &self,
        connection: &mut Connection,
        relation: Relation,
        chunk: Chunk,
        limit: i64,
    ) -> Result<(Moved, Duration)> {
        let mut tx = begin_unsynced(connection).await?;
        let began = Instant::now();
        failpoint!(ChunkBegun);
        let moved = relation.move_chunk(&mut tx, chunk).await?;
        failpoint!(ChunkMoved);
        tx.commit().await?;
        failpoint!(ChunkCommitted);
        let took = began.elapsed();
        measure(took, moved);
        self.size.observe(limit, moved.rows, took);
        Ok((moved, took))
    }

    fn tries(&self) -> Tries {
        Tries::new(self.retry.immediate, self.retry.base)
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
