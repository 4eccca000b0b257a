//! Merges that stand still: begun, unfinished, and nobody has a message for them.

use sqlx::postgres::PgPool;

use crate::domain::{AccountId, IdempotencyKey, MergeId, MergeRequest, UserId};
use crate::store::outbox::{Destination, Draft, Key, Promised};
use crate::store::{Error, Result};

/// A merge that is `running` by its row, and that nobody has touched for long.
#[derive(Debug, Clone)]
pub struct Stranded {
    /// The merge.
    pub merge: MergeId,
    /// What was asked, as it was recorded.
    pub request: MergeRequest,
    /// The lane it came by.
    pub lane: String,
    /// How often its request was enqueued again before.
    pub enqueued_again: i32,
    correlation_id: Option<String>,
    traceparent: Option<String>,
}

/// Finds the oldest merges that nobody has touched for `after_seconds`, and whose request was not enqueued again
/// lately: the pause between two copies of one request doubles each time, up to a day, since a deep queue may be
/// all that is between the merge and its message.
pub async fn stranded(pool: &PgPool, after_seconds: f64, limit: i64) -> Result<Vec<Stranded>> {
    let rows = sqlx::query!(
        r#"
        SELECT account_id, id, idempotency_key, source_user_id, target_user_id, requested_by, reason, lane,
               correlation_id, traceparent, enqueued_again
        FROM user_merge.merges
        WHERE state = 'running' AND updated_at < now() - make_interval(secs => $1)
          AND (enqueued_again_at IS NULL OR enqueued_again_at < now() - make_interval(secs =>
               least($1 * power(2, least(enqueued_again, 20)), greatest($1, 86400))))
        ORDER BY accepted_at, account_id, id
        LIMIT $2
        "#,
        after_seconds,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let user = |id| UserId::try_from(id).map_err(|_| Error::Unreadable("user id"));
            Ok(Stranded {
                merge: row.id,
                request: MergeRequest {
                    idempotency_key: IdempotencyKey::new(row.idempotency_key)
                        .map_err(|_| Error::Unreadable("idempotency key"))?,
                    account_id: AccountId::try_from(row.account_id)
                        .map_err(|_| Error::Unreadable("account id"))?,
                    source_user_id: user(row.source_user_id)?,
                    target_user_id: user(row.target_user_id)?,
                    requested_by: row.requested_by,
                    reason: row.reason,
                },
                lane: row.lane,
                enqueued_again: row.enqueued_again,
                correlation_id: row.correlation_id,
                traceparent: row.traceparent,
            })
        })
        .collect()
}

/// Marks the merge and promises its request once more, in one statement. `None` where somebody has touched it,
/// finished it or enqueued it again meanwhile: of two who find it at once, one enqueues it.
pub async fn enqueue_again(
    pool: &PgPool,
    stranded: &Stranded,
    body: String,
    after_seconds: f64,
    lease_seconds: f64,
) -> Result<Option<Promised>> {
    let Stranded { merge, request, .. } = stranded;
    let draft = Draft {
        destination: Destination::Request,
        routing_key: stranded.lane.clone(),
        message_id: request.idempotency_key.to_string(),
        headers: Some(serde_json::json!({
            "x-enqueued-again": (stranded.enqueued_again + 1).to_string(),
        })),
        body,
    };
    let id = sqlx::query_scalar!(
        r#"
        WITH marked AS (
            UPDATE user_merge.merges
            SET enqueued_again = enqueued_again + 1, enqueued_again_at = now()
            WHERE account_id = $1 AND id = $2 AND enqueued_again = $3
              AND state = 'running' AND updated_at < now() - make_interval(secs => $4)
            RETURNING correlation_id, traceparent
        )
        INSERT INTO user_merge.outbox
            (account_id, merge_id, destination, routing_key, message_id, headers, body,
             correlation_id, traceparent, claimed_until)
        SELECT $1, $2, $5, $6, $7, $8, $9, correlation_id, traceparent, now() + make_interval(secs => $10)
        FROM marked
        RETURNING id
        "#,
        request.account_id.get(),
        merge,
        stranded.enqueued_again,
        after_seconds,
        draft.destination.label(),
        draft.routing_key,
        draft.message_id,
        draft.headers,
        draft.body,
        lease_seconds,
    )
    .fetch_optional(pool)
    .await?;
    Ok(id.map(|id| Promised {
        key: Key {
            account: request.account_id,
            merge: *merge,
            id,
        },
        correlation_id: stranded.correlation_id.clone(),
        traceparent: stranded.traceparent.clone(),
        draft,
    }))
}

/// Whether this request's merge has ended, one way or the other: a copy of the request is done with then. What was
/// given up is a dead letter, for a person to decide about.
pub async fn is_settled(pool: &PgPool, request: &MergeRequest) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT FROM user_merge.merges
            WHERE account_id = $1 AND idempotency_key = $2 AND state <> 'running'
        ) AS "settled!"
        "#,
        request.account_id.get(),
        request.idempotency_key.as_str(),
    )
    .fetch_one(pool)
    .await?;
    Ok(found)
}
