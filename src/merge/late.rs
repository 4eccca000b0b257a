//! What reaches a merged user after the merge is moved on (rule D4).

use tracing::warn;

use super::sweep::Source;
use super::{Merger, Report};
use crate::failpoint::failpoint;
use crate::store::helpdesk::{facts, lock_pair};
use crate::store::merges::Progress;
use crate::store::moves::{Locks, Whole};
use crate::store::tombstones::{
    Cursor, Late, count_late, move_late_emails, next_batch, still_points,
};
use crate::store::{Pairs, Result};

impl Merger {
    /// Looks at the next merged users and moves on what has reached them since. Returns how many tickets,
    /// CCs and e-mail addresses that was, and where to go on; `None` at the end of a round.
    ///
    /// # Errors
    /// Where the database is away. A user that can't be had now is passed over until the next round.
    pub async fn move_late(
        &self,
        after: Option<Cursor>,
        window_seconds: f64,
        batch: i64,
    ) -> Result<(i64, Option<Cursor>)> {
        let batch = next_batch(
            &self.pool,
            after,
            window_seconds,
            batch,
            self.rules.move_archived_ccs,
        )
        .await?;
        let mut moved = 0;
        for late in batch.late {
            match self.move_late_of(late).await {
                Ok(count) => moved += count,
                Err(error) if error.is_outage() => return Err(error),
                // One that is busy, or broken, must not keep all after it waiting: its turn comes again.
                Err(error) => warn!(
                    merge.id = %late.merge,
                    cause = error.class(),
                    "a merged user can't be looked after in this round: {error}"
                ),
            }
        }
        Ok((moved, batch.next))
    }

    async fn move_late_of(&self, late: Late) -> Result<i64> {
        let Late { merge, pair } = late;
        let mut tx = self.pool.begin().await?;
        lock_pair(&mut tx, pair).await?;
        failpoint!(LateLocked);
        // Between the look and the lock the target may have been merged itself; the next round knows.
        if !still_points(&mut tx, pair).await? {
            tx.rollback().await?;
            return Ok(0);
        }
        let facts = facts(&mut tx, &Pairs::new([pair]), self.size.rows()).await?;
        let source = facts.into_iter().next().and_then(|facts| facts.source);
        let mut report = Report::of(merge);
        if let Some(facts) = &source {
            let whole = Whole { pair, merge };
            let swept = self
                .sweep(&mut tx, &[Source { whole, facts }], Locks::Wait)
                .await?;
            swept
                .into_iter()
                .flatten()
                .for_each(|moved| report.moved += moved);
        }
        let Progress { tickets, ccs } = report.moved;
        let emails = move_late_emails(&mut tx, pair).await?;
        let moved = tickets.total() + ccs.moved + ccs.deduplicated + emails;
        if moved > 0 {
            count_late(&mut tx, pair.account, merge, moved).await?;
        }
        failpoint!(LateMoved);
        tx.commit().await?;
        failpoint!(LateCommitted);
        Ok(moved)
    }
}
