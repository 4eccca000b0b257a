//! The last transaction (rules T9, P and D).

use chrono::{DateTime, Utc};

use super::{Ending, Merger, Report, announce};
use crate::domain::{ProfileCounts, ProfileRules, combine};
use crate::failpoint::failpoint;
use crate::store::helpdesk::{Facts, facts, finish, finish_without_source, lock_pair};
use crate::store::merges::{Envelope, Held, Progress, State, look_up};
use crate::store::outbox::Draft;
use crate::store::{Error, Result, Transaction};

impl Merger {
    /// Ends a large merge. `None` where so much has come meanwhile that it wouldn't be a short transaction:
    /// then there is more to drain first.
    pub(super) async fn complete(
        &self,
        envelope: Envelope<'_>,
        held: &Held,
        report: &mut Report,
    ) -> Result<Option<Ending>> {
        let pair = envelope.request.pair();
        let mut tx = self.pool.begin().await?;
        failpoint!(LastBegun);
        lock_pair(&mut tx, pair).await?;
        failpoint!(LastLocked);
        let standing = look_up(&mut tx, envelope.request).await?;
        let recorded = standing.recorded.filter(|recorded| {
            recorded.record.fence == held.record.fence && recorded.state == State::Running
        });
        let recorded = recorded.ok_or(Error::Fenced)?;
        failpoint!(LastLookedUp);

        let facts = facts(&mut tx, pair, self.size.rows() + 1).await?;
        failpoint!(LastFactsRead);
        if self.rows_to_move(&facts) > self.size.rows() {
            tx.rollback().await?;
            return Ok(None);
        }
        let held = Held {
            record: recorded.record,
            progress: recorded.progress,
        };
        let last = self
            .finish(&mut tx, envelope, &held, standing.now, &facts)
            .await?;
        tx.commit().await?;
        failpoint!(LastCommitted);
        report.moved += last.moved;
        report.promised = last.promised;
        Ok(Some(last.ending))
    }

    /// Moves what is left, then writes profile, tombstone, outcome and outbox. The caller holds the locks
    /// and commits. `held.progress` is what earlier chunks moved.
    pub(super) async fn finish(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
        held: &Held,
        now: DateTime<Utc>,
        facts: &Facts,
    ) -> Result<Report> {
        let pair = envelope.request.pair();
        // Somebody deleted the source although its merge wasn't finished: there is no profile left to merge, and no
        // tombstone to leave. Behind foreign keys nothing else can be left either; without them something may.
        if facts.source.is_none() && held.progress.has_moved() {
            let profile = ProfileCounts {
                emails_added: finish_without_source(tx, pair, self.rules.move_archived_ccs).await?,
                ..ProfileCounts::default()
            };
            let progress = held.progress;
            let promised = self
                .promise_outcome(tx, envelope, held, now, progress, profile)
                .await?;
            return Ok(Report {
                promised,
                ending: Ending::Completed,
                ..Report::of(held.record.id)
            });
        }
        let (Some(source), Some(target)) = (&facts.source, &facts.target) else {
            return Err(Error::Leftover(
                "a merge whose source or target row is gone",
            ));
        };
        let moved = self.sweep(tx, pair, held.record.id, source).await?;
        failpoint!(SourceSwept);
        let mut progress = held.progress;
        progress += moved;

        let rules = ProfileRules {
            multiple_organizations: facts.multiple_organizations,
            carry_social_identities: self.rules.carry_social_identities,
        };
        let change = combine(&source.profile(), &target.profile(), rules);
        finish(tx, pair, &change, self.rules.move_archived_ccs).await?;
        failpoint!(ProfileWritten);

        let promised = self
            .promise_outcome(tx, envelope, held, now, progress, change.counts)
            .await?;
        failpoint!(MergeSettled);
        Ok(Report {
            merge: held.record.id,
            ending: Ending::Completed,
            moved,
            promised,
        })
    }

    async fn promise_outcome(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
        held: &Held,
        now: DateTime<Utc>,
        progress: Progress,
        profile: ProfileCounts,
    ) -> Result<Vec<crate::store::outbox::Promised>> {
        let event = announce::completed(envelope, held.record, now, progress, profile);
        let deletion: Draft = announce::deletion(envelope.request.pair(), held.record.id, now);
        let end = announce::End {
            state: State::Completed,
            rejection: None,
            last_error: None,
        };
        self.settle(
            tx,
            envelope,
            held.record,
            progress,
            end,
            &event,
            vec![deletion],
        )
        .await
    }

    /// What there is to move under the settings.
    pub(super) fn rows_to_move(&self, facts: &Facts) -> i64 {
        facts.source.as_ref().map_or(0, |source| {
            let archived_ccs = if self.rules.move_archived_ccs {
                source.archived_ccs
            } else {
                0
            };
            source.tickets + source.archived_tickets + source.ccs + archived_ccs
        })
    }
}
