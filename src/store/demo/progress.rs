//! What the demo asks while the worker runs, and how long the merges took.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::Result;

/// Whether the merge under this key is admitted and unfinished: others of its users wait (rule A10).
pub async fn is_held(connection: &mut PgConnection, account: i64, key: &str) -> Result<bool> {
    let held = sqlx::query_scalar!(
        r#"/* demo */ SELECT EXISTS (SELECT FROM user_merge.merges
                          WHERE account_id = $1 AND idempotency_key = $2 AND holds_users) AS "held!""#,
        account,
        key,
    )
    .fetch_one(connection)
    .await?;
    Ok(held)
}

/// From the first request taken up to the last outcome.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first request was taken up.
    pub began: DateTime<Utc>,
    /// The last outcome was recorded.
    pub ended: DateTime<Utc>,
    /// Merges completed in between, those that had nothing to do left out.
    pub merges: i64,
    /// Tickets that they moved.
    pub tickets: i64,
    /// CCs that they moved or dropped.
    pub ccs: i64,
}

/// The span of those of these keys that did something.
pub async fn span(
    connection: &mut PgConnection,
    accounts: &[i64],
    keys: &[String],
) -> Result<Option<Span>> {
    let found = sqlx::query!(
        r#"
        /* demo */
        SELECT min(accepted_at) AS began, max(completed_at) AS ended, count(*) AS "merges!",
               coalesce(sum(live + closed + archived), 0)::bigint AS "tickets!",
               coalesce(sum(ccs_moved + ccs_deduplicated), 0)::bigint AS "ccs!"
        FROM user_merge.merges
        WHERE account_id = ANY ($1) AND idempotency_key = ANY ($2) AND state = 'completed'
          AND NOT (outcome ->> 'already_merged')::boolean
        "#,
        accounts,
        keys,
    )
    .fetch_one(connection)
    .await?;
    Ok(found.began.zip(found.ended).map(|(began, ended)| Span {
        began,
        ended,
        merges: found.merges,
        tickets: found.tickets,
        ccs: found.ccs,
    }))
}
