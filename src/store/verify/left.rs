//! What belongs to a merged user although nothing should.

use sqlx::PgConnection;

use crate::domain::{AccountId, MergeId};
use crate::store::Result;

/// The source of a completed merge, with one of each kind that still is its own, and the target's addresses.
#[derive(Debug, Clone)]
pub struct Left {
    /// The merge.
    pub merge: MergeId,
    /// Its source.
    pub source: i64,
    /// Its target.
    pub target: i64,
    /// The sweep still looks after it (rule D4).
    pub is_looked_after: bool,
    /// A ticket that is not archived.
    pub ticket: Option<i64>,
    /// An archived one.
    pub archived_ticket: Option<i64>,
    /// A ticket on which the source is copied.
    pub cc: Option<i64>,
    /// An archived one, where those move too.
    pub archived_cc: Option<i64>,
    /// An e-mail identity.
    pub email: Option<i64>,
    /// An address that the target has twice (rule P4).
    pub email_twice: Option<i64>,
}

/// Looks at the sources of some merges, which the caller knows to be completed and tombstones. CCs on archived
/// tickets count only while the sweep looks after their user: the setting may have been another when it was merged.
pub async fn left_behind(
    connection: &mut PgConnection,
    account: AccountId,
    merges: &[MergeId],
    window_seconds: f64,
    archived_ccs: bool,
) -> Result<Vec<Left>> {
    let rows = sqlx::query_as!(
        Left,
        r#"
        /* verify */
        SELECT m.id AS "merge!", m.source_user_id AS "source!", m.target_user_id AS "target!",
               m.is_looked_after AS "is_looked_after!",
               (SELECT t.id FROM helpdesk.tickets t
                WHERE t.account_id = $1 AND t.requester_id = m.source_user_id LIMIT 1) AS "ticket?",
               (SELECT t.id FROM helpdesk.archived_tickets t
                WHERE t.account_id = $1 AND t.requester_id = m.source_user_id LIMIT 1) AS "archived_ticket?",
               (SELECT c.ticket_id FROM helpdesk.ticket_ccs c
                WHERE c.account_id = $1 AND c.user_id = m.source_user_id LIMIT 1) AS "cc?",
               CASE WHEN $4 AND m.is_looked_after THEN (
                   SELECT c.ticket_id FROM helpdesk.archived_ticket_ccs c
                   WHERE c.account_id = $1 AND c.user_id = m.source_user_id LIMIT 1) END AS "archived_cc?",
               -- OFFSET 0: a planner that knows nothing of the tenant takes the index by kind, with all its addresses.
               (SELECT own.id FROM (
                    SELECT i.id, i.kind FROM helpdesk.user_identities i
                    WHERE i.account_id = $1 AND i.user_id = m.source_user_id OFFSET 0) own
                WHERE own.kind = 'email' LIMIT 1) AS "email?",
               (SELECT max(own.id) FROM (
                    SELECT i.id, i.kind, i.value FROM helpdesk.user_identities i
                    WHERE i.account_id = $1 AND i.user_id = m.target_user_id OFFSET 0) own
                WHERE own.kind = 'email' GROUP BY lower(own.value) HAVING count(*) > 1 LIMIT 1) AS "email_twice?"
        FROM unnest($2::uuid[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT id, source_user_id, target_user_id,
                   completed_at > now() - make_interval(secs => $3) AS is_looked_after
            FROM user_merge.merges WHERE account_id = $1 AND id = wanted.id LIMIT 1
        ) m
        "#,
        account.get(),
        merges,
        window_seconds,
        archived_ccs,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
