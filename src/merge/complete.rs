//! The last transaction (rules T9, P and D).

use chrono::{DateTime, Utc};

use super::announce::{End, Ended};
use super::sweep::Source;
use super::{Ending, Merger, Report, announce};
use crate::domain::{ProfileChange, ProfileCounts, ProfileRules, combine};
use crate::failpoint::failpoint;
use crate::store::helpdesk::{Facts, facts, finish, finish_without_source, lock_pair};
use crate::store::merges::{Envelope, Held, Progress, State, look_up};
use crate::store::moves::{Locks, Whole};
use crate::store::{Error, Pairs, Result, Transaction};

/// A merge whose end may be written: it was admitted, and both users are locked.
pub(super) struct Admitted<'a> {
    pub envelope: Envelope<'a>,
    pub held: Held,
    /// The transaction's time.
    pub now: DateTime<Utc>,
    pub facts: Facts,
}

impl<'a> Admitted<'a> {
    fn completed(&self, progress: Progress, moved: Progress, profile: ProfileCounts) -> Ended<'a> {
        let Held { record, .. } = self.held;
        let pair = self.envelope.request.pair();
        Ended {
            envelope: self.envelope,
            record,
            progress,
            moved,
            end: End::Completed,
            event: announce::completed(self.envelope, record, self.now, progress, profile),
            drafts: vec![announce::deletion(pair, record.id, self.now)],
        }
    }
}

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
        let standing = look_up(&mut tx, &[envelope.request]).await?;
        let standing = standing.into_iter().next().ok_or(Error::Fenced)?;
        let recorded = standing.recorded.filter(|recorded| {
            recorded.record.fence == held.record.fence && recorded.state == State::Running
        });
        let recorded = recorded.ok_or(Error::Fenced)?;
        failpoint!(LastLookedUp);

        let facts = facts(&mut tx, &Pairs::new([pair]), self.size.rows() + 1).await?;
        let facts = facts.into_iter().next().unwrap_or_default();
        failpoint!(LastFactsRead);
        if self.rows_to_move(&facts) > self.size.rows() {
            tx.rollback().await?;
            return Ok(None);
        }
        let merge = Admitted {
            envelope,
            held: Held {
                record: recorded.record,
                progress: recorded.progress,
            },
            now: standing.now,
            facts,
        };
        let ended = if merge.facts.source.is_none() && merge.held.progress.has_moved() {
            self.finish_without_source(&mut tx, merge).await?
        } else {
            let finished = self.finish(&mut tx, vec![merge], Locks::Wait).await?;
            finished.into_iter().flatten().next().ok_or(Error::Fenced)?
        };
        let settled = self.settle(&mut tx, vec![ended]).await?;
        tx.commit().await?;
        failpoint!(LastCommitted);
        Ok(settled.into_iter().next().map(|last| {
            report.moved += last.moved;
            report.promised = last.promised;
            last.ending
        }))
    }

    /// Moves what is left, then writes profiles and tombstones; the endings are for the caller to write, who holds
    /// the locks and commits. `held.progress` is what earlier chunks moved. In the merges' order; `None` for one
    /// that [`Merger::sweep`] left as it was.
    pub(super) async fn finish<'a>(
        &self,
        tx: &mut Transaction,
        merges: Vec<Admitted<'a>>,
        locks: Locks,
    ) -> Result<Vec<Option<Ended<'a>>>> {
        if merges.is_empty() {
            return Ok(Vec::new());
        }
        let mut sources = Vec::new();
        for merge in &merges {
            let (Some(facts), Some(_)) = (&merge.facts.source, &merge.facts.target) else {
                return Err(Error::Leftover(
                    "a merge whose source or target row is gone",
                ));
            };
            let (pair, merge) = (merge.envelope.request.pair(), merge.held.record.id);
            let whole = Whole { pair, merge };
            sources.push(Source { whole, facts });
        }
        let swept = self.sweep(tx, &sources, locks).await?;
        failpoint!(SourceSwept);

        let (mut pairs, mut changes) = (Vec::new(), Vec::new());
        let mut ended = Vec::new();
        for (merge, moved) in merges.iter().zip(swept) {
            ended.push(moved.map(|moved| {
                let change = self.change(&merge.facts);
                let mut progress = merge.held.progress;
                progress += moved;
                let end = merge.completed(progress, moved, change.counts.clone());
                pairs.push(merge.envelope.request.pair());
                changes.push(change);
                end
            }));
        }
        if !pairs.is_empty() {
            let pairs = Pairs::new(pairs);
            finish(tx, &pairs, &changes, self.rules.move_archived_ccs).await?;
            failpoint!(ProfileWritten);
        }
        Ok(ended)
    }

    /// Somebody deleted the source although its merge wasn't finished: there is no profile left to merge, and no
    /// tombstone to leave. Behind foreign keys nothing else can be left either; without them something may.
    async fn finish_without_source<'a>(
        &self,
        tx: &mut Transaction,
        merge: Admitted<'a>,
    ) -> Result<Ended<'a>> {
        let pair = merge.envelope.request.pair();
        let profile = ProfileCounts {
            emails_added: finish_without_source(tx, pair, self.rules.move_archived_ccs).await?,
            ..ProfileCounts::default()
        };
        Ok(merge.completed(merge.held.progress, Progress::default(), profile))
    }

    /// Rules P.
    fn change(&self, facts: &Facts) -> ProfileChange {
        let rules = ProfileRules {
            multiple_organizations: facts.multiple_organizations,
            carry_social_identities: self.rules.carry_social_identities,
        };
        match (&facts.source, &facts.target) {
            (Some(source), Some(target)) => combine(source.profile(), target.profile(), rules),
            _ => ProfileChange::default(),
        }
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
