//! `user_merge.outbox`: messages that a commit has promised, until the broker has confirmed them (rule D2).

mod left;

pub use left::{backlog, claim, mark_published, mark_refused, prune};

use serde_json::Value;

use super::merges::Envelope;
use super::{Error, Result};
use crate::domain::AccountId;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The deletion pipeline's queue.
    Deletion,
    /// The exchange for outcomes.
    Event,
    /// The dead-letter queue.
    Dead,
    /// A lane's queue: a request whose merge stood still.
    Request,
}

impl Destination {
    const ALL: [Self; 4] = [Self::Deletion, Self::Event, Self::Dead, Self::Request];

    /// As the table and the metrics have it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Deletion => "deletion",
            Self::Event => "event",
            Self::Dead => "dead",
            Self::Request => "request",
        }
    }

    fn parse(label: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|destination| destination.label() == label)
            .ok_or(Error::Unreadable("destination"))
    }
}

/// A message to be promised.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Where to.
    pub destination: Destination,
    /// For the events exchange; of a request its lane; empty for the other queues.
    pub routing_key: String,
    /// The same at each publish of this message: consumers tell repeats by it.
    pub message_id: String,
    /// Own headers, as a JSON object of strings.
    pub headers: Option<Value>,
    /// JSON.
    pub body: String,
}

/// A promised message with its number in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Promised {
    /// The account whose merge it follows from; part of the row's key.
    pub account: AccountId,
    /// The row.
    pub id: i64,
    /// Handed on from the request.
    pub correlation_id: Option<String>,
    /// Handed on likewise.
    pub traceparent: Option<String>,
    /// The message.
    pub draft: Draft,
}

pub(super) struct Columns {
    pub destinations: Vec<&'static str>,
    pub routing_keys: Vec<String>,
    pub message_ids: Vec<String>,
    pub headers: Vec<Option<Value>>,
    pub bodies: Vec<String>,
}

impl Draft {
    pub(super) fn columns(drafts: &[Self]) -> Columns {
        Columns {
            destinations: drafts
                .iter()
                .map(|draft| draft.destination.label())
                .collect(),
            routing_keys: drafts
                .iter()
                .map(|draft| draft.routing_key.clone())
                .collect(),
            message_ids: drafts
                .iter()
                .map(|draft| draft.message_id.clone())
                .collect(),
            headers: drafts.iter().map(|draft| draft.headers.clone()).collect(),
            bodies: drafts.iter().map(|draft| draft.body.clone()).collect(),
        }
    }
}

impl Promised {
    pub(super) fn pair_up(
        envelope: Envelope<'_>,
        drafts: Vec<Draft>,
        ids: Vec<i64>,
    ) -> Result<Vec<Self>> {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Error::expect_rows("outbox rows", count(drafts.len()), count(ids.len()))?;
        let promised = ids.into_iter().zip(drafts).map(|(id, draft)| Self {
            account: envelope.request.account_id,
            id,
            correlation_id: envelope.correlation_id.map(str::to_owned),
            traceparent: envelope.traceparent.map(str::to_owned),
            draft,
        });
        Ok(promised.collect())
    }
}

/// Promises messages that belong to no merge of their own: a repeated outcome, a refused key (rules R1, R2).
pub async fn promise(
    connection: &mut sqlx::PgConnection,
    envelope: Envelope<'_>,
    merge: crate::domain::MergeId,
    drafts: Vec<Draft>,
    lease_seconds: f64,
) -> Result<Vec<Promised>> {
    let columns = Draft::columns(&drafts);
    let ids = sqlx::query_scalar!(
        r#"
        INSERT INTO user_merge.outbox
            (account_id, merge_id, destination, routing_key, message_id, headers, body,
             correlation_id, traceparent, claimed_until)
        SELECT $1, $2, d.destination, d.routing_key, d.message_id, d.headers, d.body,
               $3, $4, now() + make_interval(secs => $5)
        FROM unnest($6::text[], $7::text[], $8::text[], $9::jsonb[], $10::text[])
             WITH ORDINALITY AS d (destination, routing_key, message_id, headers, body, n)
        ORDER BY d.n
        RETURNING id
        "#,
        envelope.request.account_id.get(),
        merge,
        envelope.correlation_id,
        envelope.traceparent,
        lease_seconds,
        &columns.destinations as &[&str],
        &columns.routing_keys,
        &columns.message_ids,
        &columns.headers as &[Option<Value>],
        &columns.bodies,
    )
    .fetch_all(connection)
    .await?;
    Promised::pair_up(envelope, drafts, ids)
}
