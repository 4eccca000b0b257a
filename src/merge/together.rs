//! The door for several requests at once: one transaction for all that are small and in order (the lanes' batches).
//!
//! Whatever it can't do simply and surely it leaves to [`Merger::run`], request by request, so that there is one way
//! in which a merge waits, is put off, fails or goes on.

use std::collections::{BTreeMap, HashSet};

use tracing::debug;

use super::admit::Admission;
use super::{Merger, Report};
use crate::domain::{AccountId, Pair};
use crate::store::merges::Envelope;
use crate::telemetry::metric;

impl Merger {
    /// Runs several requests, those of an account in one transaction, each with an outcome of its own. `None` for one that has to go by
    /// itself, through [`Merger::run`]: nothing of it is done then, and it doesn't touch the others.
    ///
    /// Never fails: where the database does, nothing is committed but what has a report, and the rest is `None`.
    /// After an error that only some may be the cause of, halves are tried, down to pairs: the one at fault goes by
    /// itself, and perhaps a neighbour or two. Should a commit have succeeded although it was reported as failed, the
    /// next look finds it on record (rules R1 and R4).
    ///
    /// Never drop this future halfway, like that of [`Merger::run`].
    pub async fn run_together(&self, envelopes: &[Envelope<'_>]) -> Vec<Option<Report>> {
        let mut reports: Vec<Option<Report>> = envelopes.iter().map(|_| None).collect();
        let mut parts = by_account(envelopes);
        while let Some(part) = parts.pop() {
            if part.len() < 2 {
                continue;
            }
            let asked: Vec<_> = part.iter().map(|&place| envelopes[place]).collect();
            match self.first_of_many(&asked).await {
                Ok(admissions) => {
                    for (place, admission) in part.into_iter().zip(admissions) {
                        if let Admission::Settled(report) = admission {
                            reports[place] = Some(report);
                        }
                    }
                }
                // Nobody's fault: each finds out by itself when the database is there again.
                Err(error) if error.is_outage() => break,
                Err(error) => {
                    debug!(
                        cause = error.class(),
                        requests = part.len(),
                        "several requests are tried again in halves: {error}"
                    );
                    metric::retries(error.class());
                    let (one, other) = part.split_at(part.len() / 2);
                    parts.extend([one.to_vec(), other.to_vec()]);
                }
            }
        }
        reports
    }
}

/// The places of the requests, account by account: a transaction stays within one. Without those that have a user or a
/// key in common with one before them: what follows from the one must be seen by the other (rules A3, A4, A10, R1 and
/// R2).
fn by_account(envelopes: &[Envelope<'_>]) -> Vec<Vec<usize>> {
    let (mut users, mut keys) = (HashSet::new(), HashSet::new());
    let mut accounts: BTreeMap<AccountId, Vec<usize>> = BTreeMap::new();
    for (place, envelope) in envelopes.iter().enumerate() {
        let Pair {
            account,
            source,
            target,
        } = envelope.request.pair();
        // All are noted whatever comes of it: a third request that meets one of them has to wait as well.
        let is_new = [
            keys.insert((account, &envelope.request.idempotency_key)),
            users.insert((account, source)),
            users.insert((account, target)),
        ];
        if is_new == [true; 3] {
            accounts.entry(account).or_default().push(place);
        }
    }
    accounts.into_values().collect()
}
