//! The messages that follow from an ending, and the statement that promises them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::Merger;
use crate::domain::{MergeId, MergeRequest, Pair, ProfileCounts, Reason, Rejection};
use crate::message::{DeletionRequest, Failure, MergeRun, OutcomeEvent};
use crate::store::merges::{Envelope, Progress, Record, Settlement, State, settle};
use crate::store::outbox::{Destination, Draft, Promised, promise};
use crate::store::{Error, Result, Transaction};

/// How the row ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub state: State,
    pub rejection: Option<Reason>,
    pub last_error: Option<&'a str>,
}

impl Merger {
    /// Writes the end of a merge with the event that announces it and whatever else follows.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is one column group of the row that ends"
    )]
    pub(super) async fn settle(
        &self,
        tx: &mut Transaction,
        envelope: Envelope<'_>,
        record: Record,
        progress: Progress,
        end: End<'_>,
        event: &OutcomeEvent,
        mut drafts: Vec<Draft>,
    ) -> Result<Vec<Promised>> {
        drafts.push(self::event(event, record.id));
        let outcome = serde_json::to_value(event).map_err(|_| Error::Unreadable("outcome"))?;
        let End {
            state,
            rejection,
            last_error,
        } = end;
        let settlement = Settlement {
            envelope,
            record,
            state,
            progress,
            rejection,
            last_error,
            outcome: &outcome,
        };
        settle(tx, &settlement, drafts, self.lease.as_secs_f64()).await
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
