//! What an operator asks: where is this merge?

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgPool;

use crate::domain::AccountId;
use crate::store::Result;

/// A merge as `user-merge status` shows it: ids, counts and times.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Status {
    /// The merge.
    pub merge_id: uuid::Uuid,
    /// The key it was asked for with.
    pub idempotency_key: String,
    /// The account.
    pub account_id: i64,
    /// The user merged away.
    pub source_user_id: i64,
    /// The user that remains.
    pub target_user_id: i64,
    /// `running`, `completed`, `rejected` or `failed`.
    pub state: String,
    /// The lane it came by.
    pub lane: String,
    /// Tries that failed.
    pub attempts: i32,
    /// The last error's label.
    pub last_error: Option<String>,
    /// Tickets moved so far.
    pub tickets_moved: i64,
    /// CC rows moved or dropped so far.
    pub ccs_changed: i64,
    /// Tickets, CCs and e-mail addresses that came late and were moved on (rule D4).
    pub late: i64,
    /// How often its request was enqueued again because it stood still.
    pub enqueued_again: i32,
    /// When that was last.
    pub enqueued_again_at: Option<DateTime<Utc>>,
    /// Messages of this merge that the broker has not confirmed yet.
    pub messages_pending: i64,
    /// When the worker first took the request.
    pub accepted_at: DateTime<Utc>,
    /// When anything last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was finished.
    pub completed_at: Option<DateTime<Utc>>,
    /// The event that announced its outcome.
    pub outcome: Option<Value>,
}

/// Finds merges by id or by key; without an account the same key may belong to several.
pub async fn status(
    pool: &PgPool,
    key_or_id: &str,
    account: Option<AccountId>,
) -> Result<Vec<Status>> {
    let found = sqlx::query_as!(
        Status,
        r#"
        SELECT m.id AS merge_id, m.idempotency_key, m.account_id, m.source_user_id, m.target_user_id, m.state,
               m.lane, m.attempts, m.last_error, m.live + m.closed + m.archived AS "tickets_moved!",
               m.ccs_moved + m.ccs_deduplicated AS "ccs_changed!", m.late,
               m.enqueued_again, m.enqueued_again_at,
               (SELECT count(*) FROM user_merge.outbox o
                WHERE o.account_id = m.account_id AND o.merge_id = m.id AND o.published_at IS NULL
               ) AS "messages_pending!",
               m.accepted_at, m.updated_at, m.completed_at, m.outcome
        FROM user_merge.merges m
        WHERE (m.idempotency_key = $1 OR m.id = $2) AND ($3::bigint IS NULL OR m.account_id = $3)
        ORDER BY m.accepted_at
        LIMIT 100
        "#,
        key_or_id,
        key_or_id.parse::<uuid::Uuid>().ok(),
        account.map(AccountId::get),
    )
    .fetch_all(pool)
    .await?;
    Ok(found)
}
