//! The outcome event: how a request ended, published and kept, so that it can be repeated (rule R1).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::wire::{Version, to_json};
use crate::domain::{
    AccountId, CcCounts, IdempotencyKey, MergeId, MergeRequest, ProfileCounts, Rejection,
    TicketCounts, UserId,
};

mod kind;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use kind::EventType;

/// Which merge an event is about, and when it ran; times are UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeRun {
    /// The merge's id.
    pub merge_id: MergeId,
    /// How often it was tried, this time included; from 1.
    pub attempts: i32,
    /// When the request was taken on.
    pub accepted_at: DateTime<Utc>,
    /// When it ended, in whichever way.
    pub completed_at: DateTime<Utc>,
}

/// Why a merge was given up (rule R7). Labels and codes only: an error's text may quote data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A stable label in snake case.
    pub reason: String,
    /// The database's five-character SQLSTATE, where it was the database that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9A-Z]{5}$"))]
    pub sqlstate: Option<String>,
}

/// How a merge request ended. Counts and kinds only, no personal data. `merge.completed` has `tickets`,
/// `ccs` and `profile`; `merge.rejected` has `rejection`; `merge.failed` has `failure`, and `tickets` and
/// `ccs` as far as they were moved. Later versions may add fields: ignore those you don't know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Outcome event", extend("allOf" = kind::required_by_type()))]
pub struct OutcomeEvent {
    /// The version of this schema.
    schema_version: Version,
    /// How the request ended; the routing key too.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The merge; where `already_merged`, the one that did the work.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub merge_id: MergeId,
    /// The request's own key.
    #[serde(deserialize_with = "key")]
    pub idempotency_key: IdempotencyKey,
    /// The help-desk tenant.
    pub account_id: AccountId,
    /// The user that is merged away.
    pub source_user_id: UserId,
    /// The user that remains.
    pub target_user_id: UserId,
    /// Who asked, as the request says it: at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// The pair had been merged for an earlier request, whose counts and times these are (rules A3, R3).
    pub already_merged: bool,
    /// Tickets that have the target as requester now (rule T1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tickets: Option<TicketCounts>,
    /// CC rows of the source, by what became of them (rules T4 and T5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ccs: Option<CcCounts>,
    /// What the target's profile gained, and what was lost with the source's (rules P1 to P16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileCounts>,
    /// Why the two may not be merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// Why the merge was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How often the merge was tried; from 1.
    #[schemars(range(min = 1))]
    pub attempts: i32,
    /// When the request was taken on, in UTC.
    pub accepted_at: DateTime<Utc>,
    /// When it ended, in UTC.
    pub completed_at: DateTime<Utc>,
}

impl OutcomeEvent {
    /// The merge is done.
    #[must_use]
    pub fn completed(
        request: &MergeRequest,
        run: MergeRun,
        tickets: TicketCounts,
        ccs: CcCounts,
        profile: ProfileCounts,
    ) -> Self {
        Self {
            tickets: Some(tickets),
            ccs: Some(ccs),
            profile: Some(profile),
            ..Self::bare(EventType::Completed, request, run)
        }
    }

    /// The two may not be merged; nothing was changed.
    #[must_use]
    pub fn rejected(request: &MergeRequest, run: MergeRun, rejection: Rejection) -> Self {
        Self {
            rejection: Some(rejection),
            ..Self::bare(EventType::Rejected, request, run)
        }
    }

    /// The merge was given up after so many attempts; what was moved so far stays moved (rule R7).
    #[must_use]
    pub fn failed(
        request: &MergeRequest,
        run: MergeRun,
        failure: Failure,
        tickets: TicketCounts,
        ccs: CcCounts,
    ) -> Self {
        Self {
            tickets: Some(tickets),
            ccs: Some(ccs),
            failure: Some(failure),
            ..Self::bare(EventType::Failed, request, run)
        }
    }

    /// Answers a new key for a pair that this event says is merged (rules A3 and R3): the counts, times
    /// and `merge_id` of the merge that did the work, the key and `requested_by` of the new request.
    ///
    /// Only for a completed event of the same source. The target is the new request's: where the first
    /// target was merged on, the source leads to that merge's target now (rule D3). A repetition under the
    /// same key (rule R1) is this event as it stands.
    #[must_use]
    pub fn repeated_for(&self, request: &MergeRequest) -> Self {
        debug_assert_eq!(self.account_id, request.account_id);
        debug_assert_eq!(self.source_user_id, request.source_user_id);
        debug_assert_eq!(self.event_type, EventType::Completed);
        Self {
            idempotency_key: request.idempotency_key.clone(),
            target_user_id: request.target_user_id,
            requested_by: request.requested_by.clone(),
            already_merged: true,
            ..self.clone()
        }
    }

    /// The AMQP `message_id`: `<type>:<record>`. The record is the row that keeps this outcome, not the
    /// merge: a repeated event has another event's `merge_id`, and is still a message of its own.
    ///
    /// A merge may fail, be replayed and fail again: each failure is news, and has its time in the id.
    #[must_use]
    pub fn message_id(&self, record: Uuid) -> String {
        let id = format!("{}:{record}", self.event_type);
        if self.event_type == EventType::Failed {
            format!("{id}:{}", self.completed_at.timestamp_micros())
        } else {
            id
        }
    }

    /// The routing key on the topic exchange: the type.
    #[must_use]
    pub const fn routing_key(&self) -> &'static str {
        self.event_type.routing_key()
    }

    /// The body: compact JSON, the fields in the contract's order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    fn bare(event_type: EventType, request: &MergeRequest, run: MergeRun) -> Self {
        Self {
            schema_version: Version,
            event_type,
            merge_id: run.merge_id,
            idempotency_key: request.idempotency_key.clone(),
            account_id: request.account_id,
            source_user_id: request.source_user_id,
            target_user_id: request.target_user_id,
            requested_by: request.requested_by.clone(),
            already_merged: false,
            tickets: None,
            ccs: None,
            profile: None,
            rejection: None,
            failure: None,
            attempts: run.attempts,
            accepted_at: run.accepted_at,
            completed_at: run.completed_at,
        }
    }
}

/// The domain's key has no `Deserialize`, so that no message is read without its checks.
fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IdempotencyKey, D::Error> {
    let key = String::deserialize(deserializer)?;
    IdempotencyKey::new(key).map_err(serde::de::Error::custom)
}
