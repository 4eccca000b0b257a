//! Tickets that are not archived, closed ones included.

use sqlx::PgConnection;

use super::{Columns, Locks, Moved, Whole};
use crate::domain::{CcCounts, TicketCounts};
use crate::failpoint::failpoint;
use crate::store::{Error, Pairs, Result, count};

/// Locks the sources' tickets and holds back everything that refers to them: in the order of the pairs, their ids; of
/// each at most `limit`. A statement of its own: the next one sees what had been written when the locks were had, such
/// as a CC of the target that an agent adds while the merge waits for the ticket (rule T5).
pub async fn lock_all_tickets(
    connection: &mut PgConnection,
    pairs: &Pairs,
    limit: i64,
    locks: Locks,
) -> Result<Vec<Vec<i64>>> {
    let locked = match locks {
        Locks::Wait => {
            sqlx::query_scalar!(
                r#"SELECT ARRAY(
                       SELECT id FROM helpdesk.tickets
                       WHERE account_id = $1 AND requester_id BETWEEN source.id AND source.id
                       ORDER BY requester_id, id LIMIT $3 FOR UPDATE
                   ) AS "ids!"
                   FROM unnest($2::bigint[]) WITH ORDINALITY AS source (id, n) ORDER BY n"#,
                pairs.account,
                &pairs.sources,
                limit,
            )
            .fetch_all(connection)
            .await?
        }
        Locks::Skip => {
            sqlx::query_scalar!(
                r#"SELECT ARRAY(
                       SELECT id FROM helpdesk.tickets
                       WHERE account_id = $1 AND requester_id BETWEEN source.id AND source.id
                       ORDER BY requester_id, id LIMIT $3 FOR UPDATE SKIP LOCKED
                   ) AS "ids!"
                   FROM unnest($2::bigint[]) WITH ORDINALITY AS source (id, n) ORDER BY n"#,
                pairs.account,
                &pairs.sources,
                limit,
            )
            .fetch_all(connection)
            .await?
        }
    };
    Error::expect_rows("sources", count(pairs.len()), count(locked.len()))?;
    Ok(locked)
}

/// Moves tickets that are locked and drops the two users' CCs on them: the target is the requester now (rule T5).
///
/// A row counts only while its requester is the source: what an agent moved away meanwhile is left alone
/// (rule T7). Log entries suppress triggers (rule T3); organization, authors and submitters stay (T6, T10).
pub async fn move_all_tickets(
    connection: &mut PgConnection,
    wholes: &[Whole],
    ids: &[i64],
) -> Result<Vec<Moved>> {
    failpoint!(AllTicketsLocked);
    let Columns { pairs, merges } = Columns::of(wholes);
    let rows = sqlx::query!(
        r#"
        WITH moved AS (
            UPDATE helpdesk.tickets
            SET requester_id = ($3::bigint[])[array_position($2::bigint[], requester_id)], updated_at = now()
            WHERE account_id = $1 AND requester_id = ANY ($2) AND id = ANY ($5)
            RETURNING id, status, array_position($3, requester_id) AS n
        ), found AS MATERIALIZED (
            -- A look for each ticket by itself: the ids of several users' tickets lie far apart.
            SELECT c.ticket_id, c.user_id, m.n
            FROM moved m CROSS JOIN LATERAL (
                SELECT ticket_id, user_id FROM helpdesk.ticket_ccs
                WHERE account_id = $1 AND ticket_id BETWEEN m.id AND m.id AND user_id IN (($2)[m.n], ($3)[m.n])
                ORDER BY ticket_id OFFSET 0
            ) c
        ), dropped AS (
            DELETE FROM helpdesk.ticket_ccs c
            USING found f
            WHERE c.account_id = $1 AND c.ticket_id = f.ticket_id AND c.user_id = f.user_id
              AND c.ticket_id BETWEEN (SELECT min(ticket_id) FROM found) AND (SELECT max(ticket_id) FROM found)
            RETURNING c.ticket_id, c.user_id, f.n
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT $1, id, 'requester_id', (($2)[n])::text, (($3)[n])::text, 'user_merge', ($4::uuid[])[n], true
            FROM moved
            UNION ALL
            SELECT $1, ticket_id, 'cc', user_id::text, NULL, 'user_merge', ($4)[n], true FROM dropped
        )
        SELECT n AS "n!", count(*) FILTER (WHERE status <> 'closed') AS "live!",
               count(*) FILTER (WHERE status = 'closed') AS "closed!",
               count(*) FILTER (WHERE status IS NULL) AS "dropped!"
        FROM (SELECT n, status FROM moved UNION ALL SELECT n, NULL FROM dropped) AS done
        GROUP BY n
        "#,
        pairs.account,
        &pairs.sources,
        &pairs.targets,
        &merges,
        ids,
    )
    .fetch_all(connection)
    .await?;

    let moved = rows.into_iter().map(|row| {
        let tickets = TicketCounts {
            live: row.live,
            closed: row.closed,
            archived: 0,
        };
        let ccs = CcCounts {
            moved: 0,
            deduplicated: row.dropped,
        };
        (
            row.n,
            Moved {
                rows: tickets.total(),
                tickets,
                ccs,
            },
        )
    });
    Moved::each(wholes.len(), moved)
}
