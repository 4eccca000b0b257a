//! The end of a merge: its state, its recorded outcome and the messages it promises, in one statement.

use serde_json::Value;
use sqlx::PgConnection;

use super::{Envelope, Progress, Record, State};
use crate::domain::Reason;
use crate::store::outbox::{Draft, Promised};
use crate::store::{Error, Result};

/// How a merge ends.
#[derive(Debug, Clone)]
pub struct Settlement<'a> {
    /// The request.
    pub envelope: Envelope<'a>,
    /// The merge row; it is inserted if it isn't there.
    pub record: Record,
    /// Completed, rejected or failed.
    pub state: State,
    /// What was moved in all.
    pub progress: Progress,
    /// Why it was refused.
    pub rejection: Option<Reason>,
    /// A stable word for why it failed.
    pub last_error: Option<&'a str>,
    /// The event that announces it, kept to be repeated (rule R1).
    pub outcome: &'a Value,
}

/// Writes the end of a merge and, in the same statement, the messages that follow from it (rules D1, D2).
/// A failed merge that has moved something goes on holding its users: half a merge must not be overtaken.
///
/// # Errors
/// [`Error::Fenced`] where another worker holds the merge or has finished it.
pub async fn settle(
    connection: &mut PgConnection,
    settlement: &Settlement<'_>,
    drafts: Vec<Draft>,
    lease_seconds: f64,
) -> Result<Vec<Promised>> {
    let Settlement {
        envelope,
        record,
        state,
        progress,
        ..
    } = settlement;
    let request = envelope.request;
    let columns = Draft::columns(&drafts);
    let row = sqlx::query!(
        r#"
        WITH merge AS (
            INSERT INTO user_merge.merges AS m
                (account_id, id, idempotency_key, source_user_id, target_user_id, requested_by, reason, lane,
                 correlation_id, traceparent, state, holds_users, fence, attempts, last_error,
                 live, closed, archived, ccs_moved, ccs_deduplicated, rejection, outcome, completed_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                    $16, $17, $18, $19, $20, $21, $22, CASE WHEN $11 <> 'failed' THEN now() END)
            ON CONFLICT (account_id, id) DO UPDATE
            SET state = excluded.state, holds_users = excluded.holds_users, attempts = excluded.attempts,
                last_error = excluded.last_error, live = excluded.live, closed = excluded.closed,
                archived = excluded.archived, ccs_moved = excluded.ccs_moved,
                ccs_deduplicated = excluded.ccs_deduplicated, rejection = excluded.rejection,
                outcome = excluded.outcome, completed_at = excluded.completed_at, updated_at = now()
            WHERE m.fence = $13 AND m.state IN ('running', 'failed')
            RETURNING id
        ), promised AS (
            INSERT INTO user_merge.outbox
                (account_id, merge_id, destination, routing_key, message_id, headers, body,
                 correlation_id, traceparent, claimed_until)
            SELECT $1, $2, d.destination, d.routing_key, d.message_id, d.headers, d.body,
                   $9, $10, now() + make_interval(secs => $23)
            FROM unnest($24::text[], $25::text[], $26::text[], $27::jsonb[], $28::text[])
                 WITH ORDINALITY AS d (destination, routing_key, message_id, headers, body, n)
            WHERE EXISTS (SELECT FROM merge)
            ORDER BY d.n
            RETURNING id
        )
        SELECT (SELECT count(*) FROM merge) AS "merges!",
               (SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM promised) AS "ids!"
        "#,
        request.account_id.get(),
        record.id,
        request.idempotency_key.as_str(),
        request.source_user_id.get(),
        request.target_user_id.get(),
        request.requested_by,
        request.reason,
        envelope.lane,
        envelope.correlation_id,
        envelope.traceparent,
        state.label(),
        *state == State::Failed && progress.has_moved(),
        record.fence,
        record.attempts,
        settlement.last_error,
        progress.tickets.live,
        progress.tickets.closed,
        progress.tickets.archived,
        progress.ccs.moved,
        progress.ccs.deduplicated,
        settlement.rejection.map(Reason::label),
        settlement.outcome,
        lease_seconds,
        &columns.destinations as &[&str],
        &columns.routing_keys,
        &columns.message_ids,
        &columns.headers as &[Option<Value>],
        &columns.bodies,
    )
    .fetch_one(connection)
    .await?;
    if row.merges != 1 {
        return Err(Error::Fenced);
    }
    Promised::pair_up(*envelope, drafts, row.ids)
}
