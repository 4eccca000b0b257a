//! `user_merge.outbox`: messages that a commit has promised, until the broker has confirmed them (rule D2).

use serde_json::Value;
use sqlx::postgres::PgPool;

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
}

impl Destination {
    /// As the table and the metrics have it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Deletion => "deletion",
            Self::Event => "event",
            Self::Dead => "dead",
        }
    }

    fn parse(label: &str) -> Result<Self> {
        [Self::Deletion, Self::Event, Self::Dead]
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
    /// For the events exchange; empty for queues.
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

/// Claims messages that nobody is publishing: what a crash left behind. They are this caller's until the
/// lease ends, then they may be claimed again; a message can go out twice, and never not at all.
pub async fn claim(pool: &PgPool, limit: i64, lease_seconds: f64) -> Result<Vec<Promised>> {
    let rows = sqlx::query!(
        r#"
        UPDATE user_merge.outbox o
        SET claimed_until = now() + make_interval(secs => $2)
        FROM (
            SELECT account_id, id FROM user_merge.outbox
            WHERE published_at IS NULL AND claimed_until < now()
            ORDER BY claimed_until
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        ) due
        WHERE o.account_id = due.account_id AND o.id = due.id
        RETURNING o.account_id, o.id, o.destination, o.routing_key, o.message_id, o.correlation_id,
                  o.traceparent, o.headers, o.body
        "#,
        limit,
        lease_seconds,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Promised {
                account: AccountId::try_from(row.account_id)
                    .map_err(|_| Error::Unreadable("account id"))?,
                id: row.id,
                correlation_id: row.correlation_id,
                traceparent: row.traceparent,
                draft: Draft {
                    destination: Destination::parse(&row.destination)?,
                    routing_key: row.routing_key,
                    message_id: row.message_id,
                    headers: row.headers,
                    body: row.body,
                },
            })
        })
        .collect()
}

/// Marks messages that the broker has confirmed.
pub async fn mark_published(pool: &PgPool, published: &[(AccountId, i64)]) -> Result<()> {
    let (accounts, ids): (Vec<i64>, Vec<i64>) = published
        .iter()
        .map(|&(account, id)| (account.get(), id))
        .unzip();
    sqlx::query!(
        r#"
        UPDATE user_merge.outbox o
        SET published_at = now()
        FROM unnest($1::bigint[], $2::bigint[]) AS done (account_id, id)
        WHERE o.account_id = done.account_id AND o.id = done.id AND o.published_at IS NULL
        "#,
        &accounts,
        &ids,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Removes a batch of messages that were published longer ago than they are kept, and says how many.
pub async fn prune(pool: &PgPool, keep_seconds: f64, limit: i64) -> Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM user_merge.outbox o
        USING (
            SELECT account_id, id FROM user_merge.outbox
            WHERE published_at < now() - make_interval(secs => $1) AND destination <> 'deletion'
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ) old
        WHERE o.account_id = old.account_id AND o.id = old.id
        "#,
        keep_seconds,
        limit,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// How many messages wait to be published, and for how long the oldest has been waiting, in seconds.
pub async fn backlog(pool: &PgPool) -> Result<(i64, f64)> {
    let row = sqlx::query!(
        r#"
        SELECT count(*) AS "pending!",
               coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS "oldest!"
        FROM user_merge.outbox WHERE published_at IS NULL
        "#,
    )
    .fetch_one(pool)
    .await?;
    Ok((row.pending, row.oldest))
}
