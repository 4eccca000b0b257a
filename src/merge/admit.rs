//! What the record and the rules say to one request: its next step.

use super::complete::Admitted;
use super::{Ending, Merger, Report, announce, name};
use crate::domain::{Application, MergeId, Reason, Rejection, Verdict, admit};
use crate::failpoint::failpoint;
use crate::store::helpdesk::{Facts, UserFacts};
use crate::store::merges::{
    Earlier, Envelope, Held, Progress, Record, Recorded, Standing, State, canonical_user, earlier,
    hold,
};
use crate::store::moves::Locks;
use crate::store::{Error, Result, Transaction};
use announce::{End, Ended};

/// Where a request stands after its first transaction.
pub(super) enum Admission {
    /// It has its ending.
    Settled(Report),
    /// It is admitted, and too large for one transaction.
    Large(Held),
    /// Nothing was done: it has to go by itself.
    Apart,
}

/// What is to be done for a request within its first transaction.
pub(super) enum Step<'a> {
    /// Nothing more.
    Is(Admission),
    /// A small merge: everything, in this transaction.
    Merge(Box<Admitted<'a>>),
    /// An ending is to be written.
    End(Box<Ended<'a>>),
}

impl Merger {
    /// What is on record decides first; a merge that was admitted is not asked again (rule R4).
    pub(super) async fn step<'a>(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'a>,
        standing: Standing,
        facts: Facts,
        locks: Locks,
    ) -> Result<Step<'a>> {
        let record = record_of(&standing, envelope);
        name_alone(record.id, locks);
        if let Some(recorded) = &standing.recorded {
            if recorded.pair != envelope.request.pair() {
                return self.refuse_key(tx, envelope, &standing, locks).await;
            }
            match recorded.state {
                State::Completed | State::Rejected => {
                    return self.repeat(tx, envelope, recorded).await;
                }
                State::Running | State::Failed if recorded.holds_users => {
                    return take(tx, recorded.record.id, envelope, locks).await;
                }
                State::Running | State::Failed => {}
            }
        }
        let earlier = match &facts.source {
            Some(source) if source.candidate().merged_into.is_none() => None,
            _ => earlier(tx, envelope.request.pair()).await?,
        };
        match self.verdict(envelope, &standing, &facts, earlier.as_ref()) {
            Verdict::PutOff => Ok(Step::Is(Admission::Settled(Report::of(record.id)))),
            Verdict::Reject(rejection) => reject(tx, envelope, record, &standing, rejection).await,
            Verdict::AlreadyMerged => Ok(already_merged(envelope, record, &standing, earlier)),
            Verdict::Admit if self.rows_to_move(&facts) > self.size.rows() => {
                take(tx, record.id, envelope, locks).await
            }
            Verdict::Admit => {
                let held = Held {
                    record,
                    progress: Progress::default(),
                };
                Ok(Step::Merge(Box::new(Admitted {
                    envelope,
                    held,
                    now: standing.now,
                    facts,
                })))
            }
        }
    }

    fn verdict(
        &self,
        envelope: Envelope<'_>,
        standing: &Standing,
        facts: &Facts,
        earlier: Option<&Earlier>,
    ) -> Verdict {
        let pair = envelope.request.pair();
        admit(&Application {
            source_id: pair.source,
            target_id: pair.target,
            source: facts.source.as_ref().map(UserFacts::candidate),
            target: facts.target.as_ref().map(UserFacts::candidate),
            // A source without a row can't say where it leads to by now; the record can.
            recorded_target: earlier.map(|earlier| {
                if earlier.leads_to(pair.target) {
                    pair.target
                } else {
                    earlier.target
                }
            }),
            signs_on_by_token: facts.signs_on_by_token,
            conflicting_merge: standing.conflicting,
            ticket_limit: i64::from(self.rules.ticket_limit),
        })
    }

    /// R1: the outcome on record, once more, word for word.
    async fn repeat<'a>(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'a>,
        recorded: &Recorded,
    ) -> Result<Step<'a>> {
        let event = recorded
            .outcome
            .as_ref()
            .and_then(announce::read)
            .ok_or(Error::Unreadable("outcome"))?;
        let record = recorded.record.id;
        let draft = announce::event(&event, record);
        let promised = self.promise(tx, envelope, record, draft).await?;
        failpoint!(RepeatPromised);
        Ok(Step::Is(Admission::Settled(Report {
            ending: Ending::Repeated,
            promised,
            ..Report::of(record)
        })))
    }

    /// R2: the key is another request's, which stays as it is.
    async fn refuse_key<'a>(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'a>,
        standing: &Standing,
        locks: Locks,
    ) -> Result<Step<'a>> {
        let reason = Reason::IdempotencyKeyReused;
        // No row can hold this refusal: the key is taken. An id made from the request is the same whenever
        // it is delivered again, so that consumers can tell a repeat.
        let record = Record {
            id: announce::id_of(envelope.request),
            accepted_at: standing.now,
            fence: 0,
            attempts: 0,
        };
        name_alone(record.id, locks);
        let event = announce::rejected(envelope, record, standing.now, reason.into());
        let draft = announce::event(&event, record.id);
        let promised = self.promise(tx, envelope, record.id, draft).await?;
        failpoint!(RefusalPromised);
        Ok(Step::Is(Admission::Settled(Report {
            ending: Ending::Rejected(reason),
            promised,
            ..Report::of(record.id)
        })))
    }
}

/// Rules A1 to A9: a normal outcome, recorded and announced.
async fn reject<'a>(
    tx: &mut Transaction,
    envelope: Envelope<'a>,
    record: Record,
    standing: &Standing,
    mut rejection: Rejection,
) -> Result<Step<'a>> {
    if let Some(user) = &mut rejection.canonical_user_id {
        // Whoever it was merged into may have been merged on, by whomever.
        *user = canonical_user(tx, envelope.request.account_id, *user).await?;
    }
    Ok(Step::End(Box::new(Ended {
        envelope,
        record,
        progress: Progress::default(),
        moved: Progress::default(),
        end: End::Rejected(rejection.reason),
        event: announce::rejected(envelope, record, standing.now, rejection),
        drafts: Vec::new(),
    })))
}

/// A3 and R3: a success without work; the outcome of the merge that did it is repeated.
fn already_merged<'a>(
    envelope: Envelope<'a>,
    record: Record,
    standing: &Standing,
    earlier: Option<Earlier>,
) -> Step<'a> {
    let pair = envelope.request.pair();
    let event = earlier
        .filter(|earlier| earlier.leads_to(pair.target))
        .and_then(|earlier| announce::read(&earlier.outcome))
        .map_or_else(
            || announce::merged_by_others(envelope, record, standing.now),
            |event| event.repeated_for(envelope.request),
        );
    Step::End(Box::new(Ended {
        envelope,
        record,
        progress: Progress::default(),
        moved: Progress::default(),
        end: End::AlreadyMerged,
        event,
        drafts: Vec::new(),
    }))
}

/// Only where there is one merge in hand: on a line about several no merge has its name.
fn name_alone(merge: MergeId, locks: Locks) {
    if locks == Locks::Wait {
        name(merge);
    }
}

/// Takes a large merge; what it moves is committed chunk by chunk. Among several it stands apart.
async fn take<'a>(
    tx: &mut Transaction,
    merge: MergeId,
    envelope: Envelope<'a>,
    locks: Locks,
) -> Result<Step<'a>> {
    if locks == Locks::Skip {
        return Ok(Step::Is(Admission::Apart));
    }
    let held = hold(tx, merge, envelope).await?;
    failpoint!(MergeHeld);
    Ok(Step::Is(Admission::Large(held)))
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
