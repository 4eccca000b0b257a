//! The first transaction: what is on record, what the rules say, and, for a small merge, all the rest.

use super::{Ending, Merger, Report, announce, name};
use crate::domain::{Application, MergeId, Reason, Rejection, Verdict, admit};
use crate::failpoint::failpoint;
use crate::store::helpdesk::{UserFacts, facts, lock_pair};
use crate::store::merges::{
    Earlier, Envelope, Held, Progress, Record, Recorded, Standing, State, canonical_user, earlier,
    hold, look_up,
};
use crate::store::{Error, Result, Transaction};

/// Where a request stands after its first transaction.
pub(super) enum Admission {
    /// It has its ending.
    Settled(Report),
    /// It is admitted, and too large for one transaction.
    Large(Held),
}

impl Merger {
    pub(super) async fn admit(&self, envelope: Envelope<'_>) -> Result<Admission> {
        let mut tx = self.pool.begin().await?;
        failpoint!(FirstBegun);
        let admission = self.first_transaction(&mut tx, envelope).await?;
        tx.commit().await?;
        failpoint!(FirstCommitted);
        Ok(admission)
    }

    async fn first_transaction(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
    ) -> Result<Admission> {
        let request = envelope.request;
        let pair = request.pair();
        lock_pair(tx, pair).await?;
        failpoint!(FirstLocked);
        let standing = look_up(tx, request).await?;
        failpoint!(FirstLookedUp);
        let record = record_of(&standing, envelope);
        name(record.id);

        // What is on record decides first; a merge that was admitted is not asked again (rule R4).
        if let Some(recorded) = &standing.recorded {
            if recorded.pair != pair {
                return self
                    .refuse_key(tx, envelope, &standing)
                    .await
                    .map(Admission::Settled);
            }
            match recorded.state {
                State::Completed | State::Rejected => {
                    return self
                        .repeat(tx, envelope, recorded)
                        .await
                        .map(Admission::Settled);
                }
                State::Running | State::Failed if recorded.holds_users => {
                    return take(tx, recorded.record.id, envelope).await;
                }
                State::Running | State::Failed => {}
            }
        }

        let limit = i64::from(self.rules.ticket_limit);
        let facts = facts(tx, pair, limit.max(self.size.rows()) + 1).await?;
        failpoint!(FirstFactsRead);
        let earlier = match &facts.source {
            Some(source) if source.candidate().merged_into.is_none() => None,
            _ => earlier(tx, pair).await?,
        };
        let verdict = admit(&Application {
            source_id: pair.source,
            target_id: pair.target,
            source: facts.source.as_ref().map(UserFacts::candidate),
            target: facts.target.as_ref().map(UserFacts::candidate),
            // A source without a row can't say where it leads to by now; the record can.
            recorded_target: earlier.as_ref().map(|earlier| {
                if earlier.leads_to(pair.target) {
                    pair.target
                } else {
                    earlier.target
                }
            }),
            signs_on_by_token: facts.signs_on_by_token,
            conflicting_merge: standing.conflicting,
            ticket_limit: limit,
        });
        let settled = match verdict {
            Verdict::PutOff => Report::of(record.id),
            Verdict::Reject(rejection) => {
                self.reject(tx, envelope, record, &standing, rejection)
                    .await?
            }
            Verdict::AlreadyMerged => {
                self.already_merged(tx, envelope, record, &standing, earlier)
                    .await?
            }
            Verdict::Admit if self.rows_to_move(&facts) > self.size.rows() => {
                return take(tx, record.id, envelope).await;
            }
            Verdict::Admit => {
                // A small merge: everything, in this transaction.
                let held = Held {
                    record,
                    progress: Progress::default(),
                };
                self.finish(tx, envelope, &held, standing.now, &facts)
                    .await?
            }
        };
        Ok(Admission::Settled(settled))
    }

    /// R1: the outcome on record, once more, word for word.
    async fn repeat(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
        recorded: &Recorded,
    ) -> Result<Report> {
        let event = recorded
            .outcome
            .as_ref()
            .and_then(announce::read)
            .ok_or(Error::Unreadable("outcome"))?;
        let record = recorded.record.id;
        let draft = announce::event(&event, record);
        let promised = self.promise(tx, envelope, record, draft).await?;
        failpoint!(RepeatPromised);
        Ok(Report {
            ending: Ending::Repeated,
            promised,
            ..Report::of(record)
        })
    }

    /// R2: the key is another request's, which stays as it is.
    async fn refuse_key(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
        standing: &Standing,
    ) -> Result<Report> {
        let reason = Reason::IdempotencyKeyReused;
        // No row can hold this refusal: the key is taken. An id made from the request is the same whenever
        // it is delivered again, so that consumers can tell a repeat.
        name(announce::id_of(envelope.request));
        let record = Record {
            id: announce::id_of(envelope.request),
            accepted_at: standing.now,
            fence: 0,
            attempts: 0,
        };
        let event = announce::rejected(envelope, record, standing.now, reason.into());
        let promised = self
            .promise(tx, envelope, record.id, announce::event(&event, record.id))
            .await?;
        failpoint!(RefusalPromised);
        Ok(Report {
            ending: Ending::Rejected(reason),
            promised,
            ..Report::of(record.id)
        })
    }

    /// Rules A1 to A9: a normal outcome, recorded and announced.
    async fn reject(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
        record: Record,
        standing: &Standing,
        mut rejection: Rejection,
    ) -> Result<Report> {
        if let Some(user) = &mut rejection.canonical_user_id {
            // Whoever it was merged into may have been merged on, by whomever.
            *user = canonical_user(tx, envelope.request.account_id, *user).await?;
        }
        let event = announce::rejected(envelope, record, standing.now, rejection);
        let end = announce::End {
            state: State::Rejected,
            rejection: Some(rejection.reason),
            last_error: None,
        };
        let promised = self
            .settle(
                tx,
                envelope,
                record,
                Progress::default(),
                end,
                &event,
                Vec::new(),
            )
            .await?;
        failpoint!(RejectionWritten);
        Ok(Report {
            ending: Ending::Rejected(rejection.reason),
            promised,
            ..Report::of(record.id)
        })
    }

    /// A3 and R3: a success without work; the outcome of the merge that did it is repeated.
    async fn already_merged(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
        record: Record,
        standing: &Standing,
        earlier: Option<Earlier>,
    ) -> Result<Report> {
        let pair = envelope.request.pair();
        let event = earlier
            .filter(|earlier| earlier.leads_to(pair.target))
            .and_then(|earlier| announce::read(&earlier.outcome))
            .map_or_else(
                || announce::merged_by_others(envelope, record, standing.now),
                |event| event.repeated_for(envelope.request),
            );
        let end = announce::End {
            state: State::Completed,
            rejection: None,
            last_error: None,
        };
        let promised = self
            .settle(
                tx,
                envelope,
                record,
                Progress::default(),
                end,
                &event,
                Vec::new(),
            )
            .await?;
        failpoint!(AlreadyMergedWritten);
        Ok(Report {
            ending: Ending::AlreadyMerged,
            promised,
            ..Report::of(record.id)
        })
    }
}

/// Takes a large merge; what it moves is committed chunk by chunk.
async fn take(tx: &mut Transaction, merge: MergeId, envelope: Envelope<'_>) -> Result<Admission> {
    let held = hold(tx, merge, envelope).await?;
    failpoint!(MergeHeld);
    Ok(Admission::Large(held))
}

/// The row that a first try left behind, or a new one.
fn record_of(standing: &Standing, envelope: Envelope<'_>) -> Record {
    standing.recorded.as_ref().map_or_else(
        || Record {
            id: envelope.new_id,
            accepted_at: standing.now,
            fence: 0,
            attempts: 0,
        },
        |recorded| Record {
            // A replay after a failure counts its tries anew (rule R7).
            attempts: match recorded.state {
                State::Failed => 0,
                _ => recorded.record.attempts,
            },
            ..recorded.record
        },
    )
}
