//! `user_merge.outbox`: messages that a commit has promised, until the broker has confirmed them (rule D2).

mod left;

pub use left::{backlog, claim, mark_published, mark_refused, prune};

use serde_json::Value;

use super::merges::Envelope;
use super::{Error, Result, count};
use crate::domain::{AccountId, MergeId};

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

/// What names a message's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The account whose merge it follows from.
    pub account: AccountId,
    /// The merge.
    pub merge: MergeId,
    /// Which of the merge's messages.
    pub id: i64,
}

/// A promised message.
#[derive(Debug, Clone, PartialEq)]
pub struct Promised {
    /// Its row.
    pub key: Key,
    /// Handed on from the request.
    pub correlation_id: Option<String>,
    /// Handed on likewise.
    pub traceparent: Option<String>,
    /// The message.
    pub draft: Draft,
}

/// Drafts by column, with what they take over from their requests.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub merges: Vec<MergeId>,
    pub destinations: Vec<&'static str>,
    pub routing_keys: Vec<&'a str>,
    pub message_ids: Vec<&'a str>,
    pub headers: Vec<Option<&'a Value>>,
    pub bodies: Vec<&'a str>,
    pub correlation_ids: Vec<Option<&'a str>>,
    pub traceparents: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(
        promises: impl IntoIterator<Item = (Envelope<'a>, MergeId, &'a Draft)>,
    ) -> Self {
        let mut columns = Self::default();
        for (envelope, merge, draft) in promises {
            columns.merges.push(merge);
            columns.destinations.push(draft.destination.label());
            columns.routing_keys.push(&draft.routing_key);
            columns.message_ids.push(&draft.message_id);
            columns.headers.push(draft.headers.as_ref());
            columns.bodies.push(&draft.body);
            columns.correlation_ids.push(envelope.correlation_id);
            columns.traceparents.push(envelope.traceparent);
        }
        columns
    }
}

impl Promised {
    /// Takes as many ids as there are drafts.
    pub(super) fn pair_up(
        envelope: Envelope<'_>,
        merge: MergeId,
        drafts: Vec<Draft>,
        ids: &mut impl Iterator<Item = i64>,
    ) -> Vec<Self> {
        let pairs = drafts.into_iter().zip(ids);
        let promised = pairs.map(|(draft, id)| Self {
            key: Key {
                account: envelope.request.account_id,
                merge,
                id,
            },
            correlation_id: envelope.correlation_id.map(str::to_owned),
            traceparent: envelope.traceparent.map(str::to_owned),
            draft,
        });
        promised.collect()
    }
}

/// Promises messages that belong to no merge of their own: a repeated outcome, a refused key (rules R1, R2).
pub async fn promise(
    connection: &mut sqlx::PgConnection,
    envelope: Envelope<'_>,
    merge: MergeId,
    drafts: Vec<Draft>,
    lease_seconds: f64,
) -> Result<Vec<Promised>> {
    let columns = Columns::of(drafts.iter().map(|draft| (envelope, merge, draft)));
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
        &columns.routing_keys as &[&str],
        &columns.message_ids as &[&str],
        &columns.headers as &[Option<&Value>],
        &columns.bodies as &[&str],
    )
    .fetch_all(connection)
    .await?;
    Error::expect_rows("outbox rows", count(drafts.len()), count(ids.len()))?;
    Ok(Promised::pair_up(
        envelope,
        merge,
        drafts,
        &mut ids.into_iter(),
    ))
}
