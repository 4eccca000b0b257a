//! Promised messages with the merges that they name.

use sqlx::PgConnection;

use crate::domain::{AccountId, MergeId};
use crate::store::Result;

/// One message.
#[derive(Debug, Clone)]
pub struct OutboxFacts {
    /// The merge that it names, on record or not.
    pub merge: MergeId,
    /// It is not published, and has been waiting for longer than that may take.
    pub is_overdue: bool,
    /// For a deletion: AMQP's message id, and the body.
    pub deletion: Option<(String, String)>,
    /// Whose deletion it may ask for: the merge, if it is on record, completed and no repetition.
    pub owner: Option<Owner>,
}

/// The users of a merge that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user merged away.
    pub source: i64,
    /// The user that remained.
    pub target: i64,
}

/// A part of the outbox.
#[derive(Debug, Clone)]
pub struct OutboxBatch {
    /// The last message; `None` at the end.
    pub last: Option<(MergeId, i64)>,
    /// The messages.
    pub messages: Vec<OutboxFacts>,
}

/// The account's next messages, merge by merge.
pub async fn outbox_batch(
    connection: &mut PgConnection,
    account: AccountId,
    (merge, id): (MergeId, i64),
    limit: i64,
    stale_seconds: f64,
) -> Result<OutboxBatch> {
    let rows = sqlx::query!(
        r#"
        /* verify */
        WITH batch AS MATERIALIZED (
            SELECT id, merge_id, destination, message_id, body, created_at, published_at
            FROM user_merge.outbox
            WHERE account_id = $1 AND (merge_id, id) > ($2, $3) ORDER BY merge_id, id LIMIT $4
        )
        SELECT b.id, b.merge_id, b.destination = 'deletion' AS "is_deletion!", b.message_id,
               CASE WHEN b.destination = 'deletion' THEN b.body END AS "body?",
               b.published_at IS NULL AND b.created_at < now() - make_interval(secs => $5) AS "is_overdue!",
               m.source_user_id AS "source?", m.target_user_id AS "target?"
        FROM batch b
        LEFT JOIN LATERAL (
            -- The state is asked for outside: here it would lead to the index of completed merges.
            SELECT source_user_id, target_user_id,
                   state = 'completed' AND outcome ->> 'already_merged' IS DISTINCT FROM 'true' AS worked
            FROM user_merge.merges
            WHERE b.destination = 'deletion' AND account_id = $1 AND id = b.merge_id
            LIMIT 1
        ) m ON m.worked
        ORDER BY b.merge_id, b.id
        "#,
        account.get(),
        merge,
        id,
        limit,
        stale_seconds,
    )
    .fetch_all(connection)
    .await?;
    let last = rows.last().map(|row| (row.merge_id, row.id));
    let messages = rows.into_iter().map(|row| OutboxFacts {
        merge: row.merge_id,
        is_overdue: row.is_overdue,
        deletion: row
            .body
            .filter(|_| row.is_deletion)
            .map(|body| (row.message_id, body)),
        owner: row
            .source
            .zip(row.target)
            .map(|(source, target)| Owner { source, target }),
    });
    Ok(OutboxBatch {
        last,
        messages: messages.collect(),
    })
}
