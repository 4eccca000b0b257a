//! CCs on archived tickets: they stay, unless the setting asks for them (rule T4).

use sqlx::PgConnection;

use super::{Columns, Moved, Whole, moved_ccs};
use crate::store::Result;

/// Moves the sources' CCs on archived tickets, at most `limit` in all. Each row is decided by itself (rule T5): where one of the two is the
/// requester, or the target is copied already, the source's row goes; everywhere else the target takes its
/// place. Made as a delete and an insert that yields to an existing row, because an update would fail where
/// somebody copies the target at this moment.
pub async fn move_all_archived_ccs(
    connection: &mut PgConnection,
    wholes: &[Whole],
    limit: i64,
) -> Result<Vec<Moved>> {
    let Columns { pairs, merges } = Columns::of(wholes);
    let rows = sqlx::query!(
        r#"
        WITH picked AS MATERIALIZED (
            SELECT ticket_id FROM helpdesk.archived_ticket_ccs
            WHERE account_id = $1 AND user_id = ANY ($2)
            ORDER BY ticket_id LIMIT $5
            FOR UPDATE
        ), seen AS MATERIALIZED (
            -- Shared lock: the requester can't change between this look and the commit.
            SELECT t.id, t.requester_id
            FROM (SELECT DISTINCT ticket_id FROM picked ORDER BY ticket_id) AS one
            CROSS JOIN LATERAL (
                SELECT id, requester_id FROM helpdesk.archived_tickets
                WHERE account_id = $1 AND id = one.ticket_id
                FOR SHARE
            ) AS t
        ), taken AS (
            DELETE FROM helpdesk.archived_ticket_ccs c
            WHERE c.account_id = $1 AND c.user_id = ANY ($2) AND c.ticket_id <= (SELECT max(ticket_id) FROM picked)
            RETURNING c.ticket_id, array_position($2, c.user_id) AS n
        ), given AS (
            INSERT INTO helpdesk.archived_ticket_ccs (account_id, ticket_id, user_id)
            SELECT $1, taken.ticket_id, ($3::bigint[])[taken.n]
            FROM taken LEFT JOIN seen ON seen.id = taken.ticket_id
            WHERE seen.requester_id IS NULL OR seen.requester_id NOT IN (($2)[taken.n], ($3)[taken.n])
            ON CONFLICT DO NOTHING
            RETURNING ticket_id, array_position($3, user_id) AS n
        ), done AS (
            SELECT taken.ticket_id, taken.n, given.n IS NOT NULL AS is_given
            FROM taken LEFT JOIN given ON given.ticket_id = taken.ticket_id AND given.n = taken.n
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT $1, ticket_id, 'cc', (($2)[n])::text, CASE WHEN is_given THEN (($3)[n])::text END,
                   'user_merge', ($4::uuid[])[n], true
            FROM done
        )
        SELECT n AS "n!", count(*) AS "taken!", count(*) FILTER (WHERE is_given) AS "given!" FROM done GROUP BY n
        "#,
        pairs.account,
        &pairs.sources,
        &pairs.targets,
        &merges,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().map(|row| (row.n, row.taken, row.given));
    moved_ccs(wholes.len(), rows)
}
