//! Taking a merge, and counting the tries that failed.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Envelope, Progress, Record};
use crate::domain::{CcCounts, MergeId, TicketCounts};
use crate::store::{Error, Result};

/// A merge that this worker holds, until another one takes it over.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Which one, and the number it is held under.
    pub record: Record,
    /// What was moved already (rule R4).
    pub progress: Progress,
}

/// Takes an admitted merge: a new one, or one that a crash or a time slice left unfinished. Raises the
/// fencing number, so that whoever held it before does nothing from now on (rule R5).
///
/// # Errors
/// [`Error::Fenced`] where the merge is finished by now, or the key is another pair's.
pub async fn hold(
    connection: &mut PgConnection,
    id: MergeId,
    envelope: Envelope<'_>,
) -> Result<Held> {
    let request = envelope.request;
    let row = sqlx::query_as!(
        HeldRow,
        r#"
        INSERT INTO user_merge.merges AS m
            (account_id, id, idempotency_key, source_user_id, target_user_id, requested_by, reason, lane,
             correlation_id, traceparent, state, holds_users, fence)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'running', true, 1)
        ON CONFLICT (account_id, idempotency_key) DO UPDATE
        SET state = 'running', holds_users = true, fence = m.fence + 1, updated_at = now(),
            -- A replay after a failure gets the whole number of tries again (rule R7).
            attempts = CASE WHEN m.state = 'failed' THEN 0 ELSE m.attempts END
        WHERE m.source_user_id = $4 AND m.target_user_id = $5 AND m.state IN ('running', 'failed')
        RETURNING id, fence, attempts, accepted_at, live, closed, archived, ccs_moved, ccs_deduplicated
        "#,
        request.account_id.get(),
        id,
        request.idempotency_key.as_str(),
        request.source_user_id.get(),
        request.target_user_id.get(),
        request.requested_by,
        request.reason,
        envelope.lane,
        envelope.correlation_id,
        envelope.traceparent,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(Error::Fenced)?;
    Ok(row.into())
}

/// Counts a try that failed, in the database, where no crash forgets it. `None` where the merge is finished
/// by now, is no longer held under `fence`, or the key is another pair's: then there is nothing to count.
///
/// Nor is there where the try came to no `fence`, and somebody else has the merge in hand (rule R5): who held it has
/// moved something within the last `silence_seconds`, and has not failed since.
pub async fn record_failure(
    connection: &mut PgConnection,
    envelope: Envelope<'_>,
    fence: Option<i64>,
    silence_seconds: f64,
    error: &str,
) -> Result<Option<Held>> {
    let request = envelope.request;
    let row = sqlx::query_as!(
        HeldRow,
        r#"
        INSERT INTO user_merge.merges AS m
            (account_id, id, idempotency_key, source_user_id, target_user_id, requested_by, reason, lane,
             correlation_id, traceparent, state, attempts, last_error, failed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'running', 1, $11, now())
        ON CONFLICT (account_id, idempotency_key) DO UPDATE
        SET state = 'running', attempts = CASE WHEN m.state = 'failed' THEN 1 ELSE m.attempts + 1 END,
            last_error = $11, updated_at = now(), failed_at = now()
        WHERE m.source_user_id = $4 AND m.target_user_id = $5 AND m.state IN ('running', 'failed')
          AND CASE WHEN $12::bigint IS NOT NULL THEN m.fence = $12
              ELSE NOT (m.holds_users AND m.state = 'running'
                        AND m.updated_at > now() - make_interval(secs => $13)
                        AND m.updated_at > coalesce(m.failed_at, '-infinity'))
              END
        RETURNING id, fence, attempts, accepted_at, live, closed, archived, ccs_moved, ccs_deduplicated
        "#,
        request.account_id.get(),
        envelope.new_id,
        request.idempotency_key.as_str(),
        request.source_user_id.get(),
        request.target_user_id.get(),
        request.requested_by,
        request.reason,
        envelope.lane,
        envelope.correlation_id,
        envelope.traceparent,
        error,
        fence,
        silence_seconds,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Held::from))
}

struct HeldRow {
    id: MergeId,
    fence: i64,
    attempts: i32,
    accepted_at: DateTime<Utc>,
    live: i64,
    closed: i64,
    archived: i64,
    ccs_moved: i64,
    ccs_deduplicated: i64,
}

impl From<HeldRow> for Held {
    fn from(row: HeldRow) -> Self {
        let HeldRow {
            id,
            accepted_at,
            fence,
            attempts,
            live,
            closed,
            archived,
            ..
        } = row;
        Self {
            record: Record {
                id,
                accepted_at,
                fence,
                attempts,
            },
            progress: Progress {
                tickets: TicketCounts {
                    live,
                    closed,
                    archived,
                },
                ccs: CcCounts {
                    moved: row.ccs_moved,
                    deduplicated: row.ccs_deduplicated,
                },
            },
        }
    }
}
