//! The first transaction, for one request or for several: what is on record, what the rules say, and, for a small
//! merge, all the rest. Several differ from one in that nothing is waited for: a request for which that would take
//! anything out of the ordinary stands apart, untouched, and goes by itself.

use std::collections::HashSet;

use super::Merger;
use super::admit::{Admission, Step};
use super::complete::Admitted;
use crate::domain::{Pair, UserId};
use crate::failpoint::failpoint;
use crate::store::helpdesk::{Facts, facts, lock_free, lock_pair};
use crate::store::merges::{Envelope, look_up};
use crate::store::moves::Locks;
use crate::store::{Pairs, Result, Transaction, begin_in_haste};

impl Merger {
    /// One request: it waits for its users' locks.
    pub(super) async fn first_of_one(&self, envelope: Envelope<'_>) -> Result<Admission> {
        let admissions = self.first_transaction(&[envelope], Locks::Wait).await?;
        Ok(admissions.into_iter().next().unwrap_or(Admission::Apart))
    }

    /// Several requests of one account, whose users and keys are all different, in their order.
    pub(super) async fn first_of_many(&self, envelopes: &[Envelope<'_>]) -> Result<Vec<Admission>> {
        self.first_transaction(envelopes, Locks::Skip).await
    }

    async fn first_transaction(
        &self,
        envelopes: &[Envelope<'_>],
        locks: Locks,
    ) -> Result<Vec<Admission>> {
        let mut tx = match locks {
            Locks::Wait => self.pool.begin().await?,
            Locks::Skip => begin_in_haste(&self.pool).await?,
        };
        match self.all_in_first(&mut tx, envelopes, locks).await {
            Ok(admissions) => {
                tx.commit().await?;
                failpoint!(FirstCommitted);
                Ok(admissions)
            }
            Err(error) => {
                // Dropped, it would end a little later, and a half that is tried next pass over its locks.
                drop(tx.rollback().await);
                Err(error)
            }
        }
    }

    async fn all_in_first(
        &self,
        tx: &mut Transaction,
        envelopes: &[Envelope<'_>],
        locks: Locks,
    ) -> Result<Vec<Admission>> {
        let requests: Vec<_> = envelopes.iter().map(|envelope| envelope.request).collect();
        let pairs: Vec<Pair> = requests.iter().map(|request| request.pair()).collect();
        failpoint!(FirstBegun);
        let locked = Locked::take(tx, &pairs, locks).await?;
        failpoint!(FirstLocked);
        let standings = look_up(tx, &requests).await?;
        failpoint!(FirstLookedUp);
        let open = std::iter::zip(&standings, &pairs)
            .filter(|(standing, pair)| !standing.decides(**pair))
            .map(|(_, pair)| *pair);
        let mut facts = self.facts(tx, &Pairs::new(open)).await?.into_iter();
        failpoint!(FirstFactsRead);

        let mut steps = Vec::new();
        for (envelope, standing) in envelopes.iter().zip(standings) {
            let pair = envelope.request.pair();
            let facts = if standing.decides(pair) {
                None
            } else {
                facts.next()
            };
            let is_ours = facts.as_ref().is_none_or(|facts| locked.has(pair, facts));
            steps.push(if is_ours {
                let facts = facts.unwrap_or_default();
                self.step(tx, *envelope, standing, facts, locks).await?
            } else {
                Step::Is(Admission::Apart)
            });
        }
        self.finish_admitted(tx, &mut steps, locks).await?;
        self.write(tx, steps).await
    }

    async fn facts(&self, tx: &mut Transaction, pairs: &Pairs) -> Result<Vec<Facts>> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let cap = i64::from(self.rules.ticket_limit).max(self.size.rows()) + 1;
        facts(tx, pairs, cap).await
    }

    /// The small merges among the steps: moved and finished, all in the same statements.
    async fn finish_admitted(
        &self,
        tx: &mut Transaction,
        steps: &mut [Step<'_>],
        locks: Locks,
    ) -> Result<()> {
        let mut places = Vec::new();
        let mut admitted: Vec<Admitted<'_>> = Vec::new();
        // All of them together hold their locks for no longer than a chunk may.
        let mut room = self.size.most();
        for (place, step) in steps.iter_mut().enumerate() {
            match std::mem::replace(step, Step::Is(Admission::Apart)) {
                Step::Merge(merge) => {
                    let rows = self.rows_to_move(&merge.facts);
                    if rows > room && locks == Locks::Skip {
                        continue; // it stands apart
                    }
                    room -= rows;
                    places.push(place);
                    admitted.push(*merge);
                }
                other => *step = other,
            }
        }
        let finished = self.finish(tx, admitted, locks).await?;
        for (place, ended) in places.into_iter().zip(finished) {
            if let Some(ended) = ended {
                steps[place] = Step::End(Box::new(ended));
            }
        }
        Ok(())
    }

    /// Writes all endings in one statement.
    async fn write(&self, tx: &mut Transaction, steps: Vec<Step<'_>>) -> Result<Vec<Admission>> {
        let mut ended = Vec::new();
        let mut admissions = Vec::new();
        for step in steps {
            admissions.push(match step {
                Step::Is(admission) => Some(admission),
                Step::End(end) => {
                    ended.push(*end);
                    None
                }
                // Never: they were finished before.
                Step::Merge(_) => Some(Admission::Apart),
            });
        }
        let mut reports = self.settle(tx, ended).await?.into_iter();
        let settled = |admission: Option<Admission>| {
            admission
                .or_else(|| reports.next().map(Admission::Settled))
                .unwrap_or(Admission::Apart)
        };
        Ok(admissions.into_iter().map(settled).collect())
    }
}

/// Which users this transaction has locked.
enum Locked {
    /// All that exist: it waited for them.
    All,
    /// These.
    Some(HashSet<UserId>),
}

impl Locked {
    async fn take(tx: &mut Transaction, pairs: &[Pair], locks: Locks) -> Result<Self> {
        if locks == Locks::Skip {
            let pairs = Pairs::new(pairs.iter().copied());
            return Ok(Self::Some(
                lock_free(tx, &pairs).await?.into_iter().collect(),
            ));
        }
        for pair in pairs {
            lock_pair(tx, *pair).await?;
        }
        Ok(Self::All)
    }

    /// Whether whoever of the pair exists is locked. Who was seen after the lock and is not locked was so by others.
    fn has(&self, pair: Pair, facts: &Facts) -> bool {
        let Self::Some(users) = self else { return true };
        (facts.source.is_none() || users.contains(&pair.source))
            && (facts.target.is_none() || users.contains(&pair.target))
    }
}
