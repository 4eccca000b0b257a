//! CCs on tickets that are not archived, closed ones included (rule T4).

use sqlx::PgConnection;

use super::{Chunk, Moved, Picked, Range, check_fence};
use crate::domain::{CcCounts, Pair, TicketCounts};
use crate::store::Result;

/// Where a chunk of up to `limit` CCs ends that begins with the range. Locks nothing.
pub async fn pick_ccs(
    connection: &mut PgConnection,
    pair: Pair,
    range: Range,
    limit: i64,
) -> Result<Picked> {
    let picked = sqlx::query_as!(
        Picked,
        r#"
        SELECT count(*) AS "rows!", max(ticket_id) AS last
        FROM (
            SELECT ticket_id FROM helpdesk.ticket_ccs
            WHERE account_id = $1 AND user_id = $2 AND ticket_id > $3 AND ticket_id <= $4
            ORDER BY ticket_id LIMIT $5
        ) AS next
        "#,
        pair.account.get(),
        pair.source.get(),
        range.after,
        range.upto,
        limit,
    )
    .fetch_one(connection)
    .await?;
    Ok(picked)
}

/// Moves a chunk of CCs. Each row is decided by itself (rule T5): where one of the two is the
/// requester, or the target is copied already, the source's row goes; everywhere else the target takes its
/// place. Made as a delete and an insert that yields to an existing row, because an update would fail where
/// somebody copies the target at this moment.
pub async fn move_ccs(connection: &mut PgConnection, chunk: Chunk) -> Result<Moved> {
    let done = sqlx::query!(
        r#"
        WITH picked AS MATERIALIZED (
            SELECT ticket_id FROM helpdesk.ticket_ccs
            WHERE account_id = $1 AND user_id = $2 AND ticket_id > $6 AND ticket_id <= $7
              AND EXISTS (
                  SELECT FROM user_merge.merges
                  WHERE account_id = $1 AND id = $4 AND fence = $5 AND state = 'running')
            ORDER BY ticket_id
            FOR UPDATE
        ), seen AS MATERIALIZED (
            -- Shared lock: the requester can't change between this look and the commit.
            SELECT t.id, t.requester_id
            FROM (SELECT ticket_id FROM picked ORDER BY ticket_id) AS one
            CROSS JOIN LATERAL (
                SELECT id, requester_id FROM helpdesk.tickets
                WHERE account_id = $1 AND id = one.ticket_id
                FOR SHARE
            ) AS t
        ), taken AS (
            DELETE FROM helpdesk.ticket_ccs c
            WHERE c.account_id = $1 AND c.user_id = $2
              AND c.ticket_id > $6 AND c.ticket_id <= (SELECT max(ticket_id) FROM picked)
            RETURNING c.ticket_id
        ), given AS (
            INSERT INTO helpdesk.ticket_ccs (account_id, ticket_id, user_id)
            SELECT $1, taken.ticket_id, $3
            FROM taken LEFT JOIN seen ON seen.id = taken.ticket_id
            WHERE seen.requester_id IS NULL OR seen.requester_id NOT IN ($2, $3)
            ON CONFLICT DO NOTHING
            RETURNING ticket_id
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT $1, taken.ticket_id, 'cc', ($2::bigint)::text,
                   CASE WHEN given.ticket_id IS NOT NULL THEN ($3::bigint)::text END, 'user_merge', $4, true
            FROM taken LEFT JOIN given ON given.ticket_id = taken.ticket_id
        ), progress AS (
            UPDATE user_merge.merges m
            SET ccs_moved = m.ccs_moved + (SELECT count(*) FROM given),
                ccs_deduplicated = m.ccs_deduplicated
                    + (SELECT count(*) FROM taken) - (SELECT count(*) FROM given),
                updated_at = now()
            WHERE m.account_id = $1 AND m.id = $4 AND m.fence = $5 AND m.state = 'running'
            RETURNING m.id
        )
        SELECT
            EXISTS (SELECT FROM progress) AS "held!",
            (SELECT count(*) FROM taken) AS "taken!",
            (SELECT count(*) FROM given) AS "given!"
        "#,
        chunk.pair.account.get(),
        chunk.pair.source.get(),
        chunk.pair.target.get(),
        chunk.merge,
        chunk.fence,
        chunk.range.after,
        chunk.range.upto,
    )
    .fetch_one(connection)
    .await?;

    let ccs = CcCounts {
        moved: done.given,
        deduplicated: done.taken - done.given,
    };
    check_fence(
        done.held,
        Moved {
            rows: done.taken,
            tickets: TicketCounts::default(),
            ccs,
        },
    )
}
