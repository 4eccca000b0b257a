//! The ticket event log, in its own order: nothing says that it has an index by merge.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::{AccountId, MergeId};
use crate::store::Result;

/// An entry that a merge wrote.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// The merge that it names.
    pub merge: MergeId,
    /// Its ticket.
    pub ticket: i64,
    /// `requester_id` or `cc`.
    pub field: String,
    /// Whose it was, as the log has it.
    pub old: Option<String>,
    /// Whose it is now.
    pub new: Option<String>,
    /// It fires no trigger (rule T3).
    pub suppresses_triggers: bool,
    /// The time of the transaction that wrote it.
    pub created_at: DateTime<Utc>,
}

/// A part of the log.
#[derive(Debug, Clone)]
pub struct LogBatch {
    /// How many entries were looked at.
    pub rows: i64,
    /// The last one's number; `None` at the end of the log.
    pub last: Option<i64>,
    /// Those of merges.
    pub entries: Vec<LogEntry>,
}

/// Looks at the account's next `limit` entries, whoever wrote them.
pub async fn log_batch(
    connection: &mut PgConnection,
    account: AccountId,
    after: i64,
    limit: i64,
) -> Result<LogBatch> {
    let rows = sqlx::query!(
        r#"
        /* verify */
        WITH batch AS MATERIALIZED (
            SELECT id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers, created_at
            FROM helpdesk.ticket_events WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3
        )
        SELECT edge.rows AS "rows!", edge.last AS "last?", e.merge_id AS "merge_id?", e.ticket_id AS "ticket_id?",
               e.field AS "field?", e.old_value, e.new_value, e.suppress_triggers AS "suppress_triggers?",
               e.created_at AS "created_at?"
        FROM (SELECT count(*) AS rows, max(id) AS last FROM batch) edge
        LEFT JOIN batch e ON e.via = 'user_merge' AND e.merge_id IS NOT NULL
        ORDER BY e.id
        "#,
        account.get(),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let edge = rows.first().map(|row| (row.rows, row.last));
    let (rows_seen, last) = edge.unwrap_or_default();
    let entries = rows.into_iter().filter_map(|row| {
        Some(LogEntry {
            merge: row.merge_id?,
            ticket: row.ticket_id?,
            field: row.field?,
            old: row.old_value,
            new: row.new_value,
            suppresses_triggers: row.suppress_triggers?,
            created_at: row.created_at?,
        })
    });
    Ok(LogBatch {
        rows: rows_seen,
        last,
        entries: entries.collect(),
    })
}
