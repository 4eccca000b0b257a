//! Archived tickets: the same as live ones, except that their CCs stay unless the setting moves them (rule T4).

use sqlx::PgConnection;

use super::{Chunk, Moved, check_fence};
use crate::domain::{CcCounts, TicketCounts};
use crate::failpoint::failpoint;
use crate::store::Result;

/// Moves up to a chunk of archived tickets and drops, where archived CCs move, those of the two users on them.
///
/// A row counts only while its requester is the source: what an agent moved away meanwhile is left alone
/// (rule T7). Log entries suppress triggers (rule T3); organization, authors and submitters stay (T6, T10).
pub async fn move_archived_tickets(connection: &mut PgConnection, chunk: Chunk) -> Result<Moved> {
    let ids = lock(connection, chunk).await?;
    if ids.is_empty() {
        return Ok(Moved::default());
    }
    failpoint!(ArchivedTicketsLocked);
    let done = sqlx::query!(
        r#"
        WITH held AS MATERIALIZED (
            SELECT FROM user_merge.merges
            WHERE account_id = $1 AND id = $4 AND fence = $5 AND state = 'running'
            FOR UPDATE
        ), picked AS MATERIALIZED (
            SELECT id FROM unnest($6::bigint[]) AS locked (id)
            WHERE $5::bigint IS NULL OR EXISTS (SELECT FROM held)
        ), moved AS (
            UPDATE helpdesk.archived_tickets t
            SET requester_id = $3, updated_at = now()
            WHERE t.account_id = $1 AND t.requester_id = $2
              AND t.id BETWEEN (SELECT min(id) FROM picked) AND (SELECT max(id) FROM picked)
              AND t.id = ANY (ARRAY(SELECT id FROM picked))
            RETURNING t.id
        ), sources AS (
            DELETE FROM helpdesk.archived_ticket_ccs c
            WHERE $7 AND c.account_id = $1 AND c.user_id = $2
              AND c.ticket_id BETWEEN (SELECT min(id) FROM moved) AND (SELECT max(id) FROM moved)
              AND c.ticket_id = ANY (ARRAY(SELECT id FROM moved))
            RETURNING c.ticket_id, c.user_id
        ), targets AS (
            DELETE FROM helpdesk.archived_ticket_ccs c
            WHERE $7 AND c.account_id = $1 AND c.user_id = $3
              AND c.ticket_id BETWEEN (SELECT min(id) FROM moved) AND (SELECT max(id) FROM moved)
              AND c.ticket_id = ANY (ARRAY(SELECT id FROM moved))
            RETURNING c.ticket_id, c.user_id
        ), dropped AS (
            SELECT ticket_id, user_id FROM sources UNION ALL SELECT ticket_id, user_id FROM targets
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT $1, id, 'requester_id', ($2::bigint)::text, ($3::bigint)::text, 'user_merge', $4, true
            FROM moved
            UNION ALL
            SELECT $1, ticket_id, 'cc', user_id::text, NULL, 'user_merge', $4, true FROM dropped
        ), progress AS (
            UPDATE user_merge.merges m
            SET archived = m.archived + (SELECT count(*) FROM moved),
                ccs_deduplicated = m.ccs_deduplicated + (SELECT count(*) FROM dropped),
                updated_at = now()
            WHERE m.account_id = $1 AND m.id = $4 AND m.fence = $5 AND EXISTS (SELECT FROM moved)
        )
        SELECT
            $5::bigint IS NULL OR EXISTS (SELECT FROM held) AS "held!",
            (SELECT count(*) FROM moved) AS "archived!",
            (SELECT count(*) FROM dropped) AS "dropped!"
        "#,
        chunk.pair.account.get(),
        chunk.pair.source.get(),
        chunk.pair.target.get(),
        chunk.merge,
        chunk.fence,
        &ids,
        chunk.archived_ccs,
    )
    .fetch_one(connection)
    .await?;

    let tickets = TicketCounts {
        archived: done.archived,
        ..TicketCounts::default()
    };
    let ccs = CcCounts {
        moved: 0,
        deduplicated: done.dropped,
    };
    check_fence(
        done.held,
        Moved {
            rows: tickets.total(),
            tickets,
            ccs,
        },
    )
}

/// Picks the chunk's archived tickets and holds back everything that refers to them. A statement of its own: the next
/// one sees what had been written when the locks were had, such as a CC of the target that an agent adds while
/// the merge waits for the ticket (rule T5).
async fn lock(connection: &mut PgConnection, chunk: Chunk) -> Result<Vec<i64>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM helpdesk.archived_tickets WHERE account_id = $1 AND requester_id = $2
         ORDER BY id LIMIT $3 FOR UPDATE",
        chunk.pair.account.get(),
        chunk.pair.source.get(),
        chunk.limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}
