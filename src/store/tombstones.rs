//! Merged users whose rows are still there: what still reaches them is moved on (rule D4).

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgPool;

use super::{Error, Result};
use crate::domain::{AccountId, MergeId, Pair, UserId};

/// Where a round over the tombstones has come to: the time and the id of the last merge looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    completed_at: DateTime<Utc>,
    account: i64,
    id: MergeId,
}

/// A part of a round.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Merges whose source got something after the merge.
    pub late: Vec<Late>,
    /// Where to go on; `None` at the end of the round.
    pub next: Option<Cursor>,
}

/// A merge whose source got something after it was completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// The merge that made it a tombstone.
    pub merge: MergeId,
    /// The tombstone, and who it is today (rule D3).
    pub pair: Pair,
}

/// Looks at the next `limit` merges completed within the window, by index only: their sources' tickets,
/// archived tickets, CCs and e-mail addresses. `archived_ccs`: whether those on archived tickets are to move too (rule T4).
pub async fn next_batch(
    pool: &PgPool,
    after: Option<Cursor>,
    window_seconds: f64,
    limit: i64,
    archived_ccs: bool,
) -> Result<Batch> {
    let rows = sqlx::query!(
        r#"
        SELECT m.account_id, m.id, m.source_user_id, m.completed_at AS "completed_at!",
               u.merged_into AS "today?",
               -- Not EXISTS, which the planner might answer by a hash of all tickets there are; and a range with an
               -- order, so that it takes the index that begins with account and user, whatever it believes.
               u.id IS NOT NULL AND coalesce(
                   (SELECT true FROM helpdesk.tickets t
                    WHERE t.account_id = m.account_id
                      AND t.requester_id BETWEEN m.source_user_id AND m.source_user_id
                    ORDER BY t.requester_id LIMIT 1),
                   (SELECT true FROM helpdesk.archived_tickets t
                    WHERE t.account_id = m.account_id
                      AND t.requester_id BETWEEN m.source_user_id AND m.source_user_id
                    ORDER BY t.requester_id LIMIT 1),
                   (SELECT true FROM helpdesk.ticket_ccs c
                    WHERE c.account_id = m.account_id AND c.user_id BETWEEN m.source_user_id AND m.source_user_id
                    ORDER BY c.user_id LIMIT 1),
                   CASE WHEN $6 THEN (
                       SELECT true FROM helpdesk.archived_ticket_ccs c
                       WHERE c.account_id = m.account_id AND c.user_id BETWEEN m.source_user_id AND m.source_user_id
                       ORDER BY c.user_id LIMIT 1) END,
                   (SELECT true FROM helpdesk.user_identities i
                    WHERE i.account_id = m.account_id AND i.user_id BETWEEN m.source_user_id AND m.source_user_id
                      AND i.kind = 'email'
                    ORDER BY i.user_id LIMIT 1),
                   false
               ) AS "late!"
        FROM user_merge.merges m
        LEFT JOIN helpdesk.users u
          ON u.account_id = m.account_id AND u.id = m.source_user_id AND u.merged_into IS NOT NULL
         -- What comes late is the merge's that did the work, not that of a request for the same pair after it.
         AND m.outcome ->> 'already_merged' IS DISTINCT FROM 'true'
        WHERE m.state = 'completed'
          -- One comparison, so that it is where the index begins: a batch late in the round costs what the first does.
          AND (m.completed_at, m.account_id, m.id)
              > (greatest($1::timestamptz, now() - make_interval(secs => $4)), $2, $3)
        ORDER BY m.completed_at, m.account_id, m.id
        LIMIT $5
        "#,
        after.map(|cursor| cursor.completed_at),
        after.map_or(0, |cursor| cursor.account),
        after.map_or(MergeId::nil(), |cursor| cursor.id),
        window_seconds,
        limit,
        archived_ccs,
    )
    .fetch_all(pool)
    .await?;

    let full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
    let next = rows.last().filter(|_| full).map(|row| Cursor {
        completed_at: row.completed_at,
        account: row.account_id,
        id: row.id,
    });
    let late = rows
        .into_iter()
        .filter(|row| row.late)
        .filter_map(|row| {
            row.today
                .map(|today| (row.id, row.account_id, row.source_user_id, today))
        })
        .map(|(merge, account, source, target)| {
            let user = |id| UserId::try_from(id).map_err(|_| Error::Unreadable("user id"));
            let account =
                AccountId::try_from(account).map_err(|_| Error::Unreadable("account id"))?;
            Ok(Late {
                merge,
                pair: Pair {
                    account,
                    source: user(source)?,
                    target: user(target)?,
                },
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Batch { late, next })
}

/// Whether the pair is still one: the source merged into this very target. Called with both locked.
pub async fn still_points(connection: &mut PgConnection, pair: Pair) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT FROM helpdesk.users WHERE account_id = $1 AND id = $2 AND merged_into = $3
        ) AS "still!"
        "#,
        pair.account.get(),
        pair.source.get(),
        pair.target.get(),
    )
    .fetch_one(connection)
    .await?;
    Ok(found)
}

/// Moves e-mail addresses that came late, as secondary ones like the merge's own (rule P4). Says how many.
pub async fn move_late_emails(connection: &mut PgConnection, pair: Pair) -> Result<i64> {
    let done = sqlx::query!(
        r#"
        UPDATE helpdesk.user_identities SET user_id = $3, is_primary = false, updated_at = now()
        WHERE account_id = $1 AND user_id = $2 AND kind = 'email'
        "#,
        pair.account.get(),
        pair.source.get(),
        pair.target.get(),
    )
    .execute(connection)
    .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
}

/// Adds to the count of what came late.
pub async fn count_late(
    connection: &mut PgConnection,
    account: AccountId,
    merge: MergeId,
    moved: i64,
) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE user_merge.merges SET late = late + $3, updated_at = now() WHERE account_id = $1 AND id = $2",
        account.get(),
        merge,
        moved,
    )
    .execute(connection)
    .await?;
    Error::expect_rows(
        "late count",
        1,
        i64::try_from(done.rows_affected()).unwrap_or(i64::MAX),
    )
}
