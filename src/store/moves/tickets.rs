//! Tickets that are not archived, closed ones included.

use sqlx::PgConnection;

use super::{Chunk, Moved, Picked, Range, check_fence};
use crate::domain::{CcCounts, Pair, TicketCounts};
use crate::failpoint::failpoint;
use crate::store::Result;

/// Where a chunk of up to `limit` tickets ends that begins with the range. Locks nothing.
pub async fn pick_tickets(
    connection: &mut PgConnection,
    pair: Pair,
    range: Range,
    limit: i64,
) -> Result<Picked> {
    let picked = sqlx::query_as!(
        Picked,
        r#"
        SELECT count(*) AS "rows!", max(id) AS last
        FROM (
            SELECT id FROM helpdesk.tickets
            WHERE account_id = $1 AND requester_id = $2 AND id > $3 AND id <= $4
            ORDER BY id LIMIT $5
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

/// Moves a chunk of tickets and drops the two users' CCs on them: the target is the requester now (rule T5).
///
/// A row counts only while its requester is the source: what an agent moved away meanwhile is left alone
/// (rule T7). Log entries suppress triggers (rule T3); organization, authors and submitters stay (T6, T10).
///
/// Two statements, so that the second one sees what had been written when the first had all its locks, such as a CC
/// of the target by an agent who was editing the ticket. A CC that comes without touching the ticket waits for
/// nobody: it counts as added after the move, whose result it doesn't change; the source's are moved later.
pub async fn move_tickets(connection: &mut PgConnection, chunk: Chunk) -> Result<Moved> {
    let moved = sqlx::query!(
        r#"
        WITH moved AS (
            UPDATE helpdesk.tickets t
            SET requester_id = $3, updated_at = now()
            WHERE t.account_id = $1 AND t.requester_id = $2 AND t.id > $6 AND t.id <= $7
              AND EXISTS (
                  SELECT FROM user_merge.merges
                  WHERE account_id = $1 AND id = $4 AND fence = $5 AND state = 'running')
            RETURNING t.id, t.status
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT $1, id, 'requester_id', ($2::bigint)::text, ($3::bigint)::text, 'user_merge', $4, true
            FROM moved
        )
        SELECT coalesce(array_agg(id), '{}') AS "ids!",
               count(*) FILTER (WHERE status <> 'closed') AS "live!",
               count(*) FILTER (WHERE status = 'closed') AS "closed!"
        FROM moved
        "#,
        chunk.pair.account.get(),
        chunk.pair.source.get(),
        chunk.pair.target.get(),
        chunk.merge,
        chunk.fence,
        chunk.range.after,
        chunk.range.upto,
    )
    .fetch_one(&mut *connection)
    .await?;
    failpoint!(TicketsLocked);

    let tickets = TicketCounts {
        live: moved.live,
        closed: moved.closed,
        archived: 0,
    };
    finish(connection, chunk, &moved.ids, tickets).await
}

/// The CCs of what was moved, and the progress.
async fn finish(
    connection: &mut PgConnection,
    chunk: Chunk,
    ids: &[i64],
    tickets: TicketCounts,
) -> Result<Moved> {
    let done = sqlx::query!(
        r#"
        WITH moved AS MATERIALIZED (
            SELECT id FROM unnest($6::bigint[]) AS ids (id)
        ), sources AS (
            DELETE FROM helpdesk.ticket_ccs c
            WHERE c.account_id = $1 AND c.user_id = $2
              AND c.ticket_id BETWEEN (SELECT min(id) FROM moved) AND (SELECT max(id) FROM moved)
              -- As a value, not as a condition: then it is one hash, however many there are of either.
              AND (c.ticket_id IN (SELECT id FROM moved)) IS TRUE
            RETURNING c.ticket_id, c.user_id
        ), targets AS (
            DELETE FROM helpdesk.ticket_ccs c
            WHERE c.account_id = $1 AND c.user_id = $3
              AND c.ticket_id BETWEEN (SELECT min(id) FROM moved) AND (SELECT max(id) FROM moved)
              AND (c.ticket_id IN (SELECT id FROM moved)) IS TRUE
            RETURNING c.ticket_id, c.user_id
        ), dropped AS (
            SELECT ticket_id, user_id FROM sources UNION ALL SELECT ticket_id, user_id FROM targets
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT $1, ticket_id, 'cc', user_id::text, NULL, 'user_merge', $4, true FROM dropped
        ), progress AS (
            UPDATE user_merge.merges m
            SET live = m.live + $7, closed = m.closed + $8,
                ccs_deduplicated = m.ccs_deduplicated + (SELECT count(*) FROM dropped),
                updated_at = now()
            WHERE m.account_id = $1 AND m.id = $4 AND m.fence = $5 AND m.state = 'running'
            RETURNING m.id
        )
        SELECT EXISTS (SELECT FROM progress) AS "held!",
               (SELECT count(*) FROM dropped) AS "dropped!"
        "#,
        chunk.pair.account.get(),
        chunk.pair.source.get(),
        chunk.pair.target.get(),
        chunk.merge,
        chunk.fence,
        ids,
        tickets.live,
        tickets.closed,
    )
    .fetch_one(connection)
    .await?;
    let moved = Moved {
        rows: tickets.total(),
        tickets,
        ccs: CcCounts {
            moved: 0,
            deduplicated: done.dropped,
        },
    };
    check_fence(done.held, moved)
}
