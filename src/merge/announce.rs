//! The messages that follow from an ending, and the statement that promises them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Ending, Merger, Report};
use crate::domain::{MergeId, MergeRequest, Pair, ProfileCounts, Reason, Rejection};
use crate::failpoint::failpoint;
use crate::message::{DeletionRequest, Failure, MergeRun, OutcomeEvent};
use crate::store::merges::{Envelope, Progress, Record, Settlement, State, settle};
use crate::store::outbox::{Destination, Draft, Promised, promise};
use crate::store::{Result, Transaction};

/// How a merge ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'a> {
    Completed,
    /// By a merge before it (rules A3 and R3).
    AlreadyMerged,
    Rejected(Reason),
    /// A stable word says why.
    Failed(&'a str),
}

/// An ending that is to be written and announced.
pub(super) struct Ended<'a> {
    pub envelope: Envelope<'a>,
    pub record: Record,
    /// What was moved in all, and what of it in this run.
    pub progress: Progress,
    pub moved: Progress,
    pub end: End<'a>,
    pub event: OutcomeEvent,
    /// What follows from it besides the event.
    pub drafts: Vec<Draft>,
}

impl End<'_> {
    const fn state(self) -> State {
        match self {
            Self::Completed | Self::AlreadyMerged => State::Completed,
            Self::Rejected(_) => State::Rejected,
            Self::Failed(_) => State::Failed,
        }
    }

    /// A failure has no ending of its own: its run has none.
    const fn ending(self) -> Ending {
        match self {
            Self::Completed => Ending::Completed,
            Self::AlreadyMerged => Ending::AlreadyMerged,
            Self::Rejected(reason) => Ending::Rejected(reason),
            Self::Failed(_) => Ending::PutOff,
        }
    }
}

impl<'a> Ended<'a> {
    fn settlement(self) -> Settlement<'a> {
        let (rejection, last_error) = match self.end {
            End::Rejected(reason) => (Some(reason), None),
            End::Failed(error) => (None, Some(error)),
            End::Completed | End::AlreadyMerged => (None, None),
        };
        Settlement {
            envelope: self.envelope,
            record: self.record,
            state: self.end.state(),
            progress: self.progress,
            rejection,
            last_error,
            event: event(&self.event, self.record.id),
            drafts: self.drafts,
        }
    }
}

impl Merger {
    /// Writes endings, each with the event that announces it and whatever else follows, in one statement. The
    /// reports are in their order.
    pub(super) async fn settle(
        &self,
        tx: &mut Transaction,
        ended: Vec<Ended<'_>>,
    ) -> Result<Vec<Report>> {
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let ends: Vec<End<'_>> = ended.iter().map(|ended| ended.end).collect();
        let mut reports: Vec<Report> = ended
            .iter()
            .map(|ended| Report {
                ending: ended.end.ending(),
                moved: ended.moved,
                ..Report::of(ended.record.id)
            })
            .collect();
        let settlements = ended.into_iter().map(Ended::settlement).collect();
        let promised = settle(tx, settlements, self.lease.as_secs_f64()).await?;
        for (report, promised) in reports.iter_mut().zip(promised) {
            report.promised = promised;
        }
        written(&ends).await?;
        Ok(reports)
    }

    /// Promises a message that changes no merge.
    pub(super) async fn promise(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
        merge: MergeId,
        draft: Draft,
    ) -> Result<Vec<Promised>> {
        promise(tx, envelope, merge, vec![draft], self.lease.as_secs_f64()).await
    }
}

async fn written(ends: &[End<'_>]) -> Result<()> {
    if ends.iter().any(|end| matches!(end, End::Completed)) {
        failpoint!(MergeSettled);
    }
    if ends.iter().any(|end| matches!(end, End::Rejected(_))) {
        failpoint!(RejectionWritten);
    }
    if ends.iter().any(|end| matches!(end, End::AlreadyMerged)) {
        failpoint!(AlreadyMergedWritten);
    }
    Ok(())
}

/// Reads a recorded outcome back.
pub(super) fn read(outcome: &Value) -> Option<OutcomeEvent> {
    serde_json::from_value(outcome.clone()).ok()
}

/// The id of a refusal that no row holds: made from the request, so that a redelivery gets the same.
pub(super) fn id_of(request: &MergeRequest) -> MergeId {
    let pair = request.pair();
    let name = format!(
        "{}:{}:{}:{}",
        pair.account, pair.source, pair.target, request.idempotency_key
    );
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn run(record: Record, now: DateTime<Utc>) -> MergeRun {
    MergeRun {
        merge_id: record.id,
        attempts: record.attempts + 1,
        accepted_at: record.accepted_at,
        completed_at: now,
    }
}

/// `merge.completed`
pub(super) fn completed(
    envelope: Envelope<'_>,
    record: Record,
    now: DateTime<Utc>,
    progress: Progress,
    profile: ProfileCounts,
) -> OutcomeEvent {
    OutcomeEvent::completed(
        envelope.request,
        run(record, now),
        progress.tickets,
        progress.ccs,
        profile,
    )
}

/// `merge.completed` for a pair that somebody else merged: there is no record to repeat.
pub(super) fn merged_by_others(
    envelope: Envelope<'_>,
    record: Record,
    now: DateTime<Utc>,
) -> OutcomeEvent {
    completed(
        envelope,
        record,
        now,
        Progress::default(),
        ProfileCounts::default(),
    )
    .repeated_for(envelope.request)
}

/// `merge.rejected`
pub(super) fn rejected(
    envelope: Envelope<'_>,
    record: Record,
    now: DateTime<Utc>,
    rejection: Rejection,
) -> OutcomeEvent {
    OutcomeEvent::rejected(envelope.request, run(record, now), rejection)
}

/// `merge.failed`: `record.attempts` are all the tries there were.
pub(super) fn failed(
    envelope: Envelope<'_>,
    record: Record,
    now: DateTime<Utc>,
    failure: Failure,
    progress: Progress,
) -> OutcomeEvent {
    let run = MergeRun {
        attempts: record.attempts,
        ..run(record, now)
    };
    OutcomeEvent::failed(
        envelope.request,
        run,
        failure,
        progress.tickets,
        progress.ccs,
    )
}

/// An event as a message. A repeated one keeps the message id of the row that recorded it.
pub(super) fn event(event: &OutcomeEvent, record: MergeId) -> Draft {
    Draft {
        destination: Destination::Event,
        routing_key: event.routing_key().to_owned(),
        message_id: event.message_id(record),
        headers: None,
        body: text(event.encode()),
    }
}

/// Rule D2: the same key whenever it is sent.
pub(super) fn deletion(pair: Pair, merge: MergeId, merged_at: DateTime<Utc>) -> Draft {
    let request = DeletionRequest::new(pair.account, pair.source, pair.target, merge, merged_at);
    Draft {
        destination: Destination::Deletion,
        routing_key: String::new(),
        message_id: request.idempotency_key().to_owned(),
        headers: None,
        body: text(request.encode()),
    }
}

pub(super) fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("serde_json writes UTF-8")
}
