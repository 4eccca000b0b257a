//! Merges with what their records, users and messages say of each other.

use sqlx::PgConnection;

use crate::domain::{AccountId, MergeId};
use crate::store::Result;
use crate::store::merges::State;

/// From when on what counts, in seconds before now.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// An unfinished merge without progress, and an unpublished message, for longer than this have no owner.
    pub stale: f64,
    /// Messages that are not for deletion are surely still in the outbox for this long.
    pub kept: f64,
}

/// What a merge says it moved. Each chunk adds to it in the transaction that writes the log entries (rule T8), so
/// while it stays the same, so do they.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tickets, archived ones included.
    pub tickets: i64,
    /// CCs that the target took over.
    pub ccs_moved: i64,
    /// CCs that went.
    pub ccs_deduplicated: i64,
    /// Tickets, CCs and addresses moved on after the merge (rule D4).
    pub late: i64,
}

/// One merge.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is the answer to one question"
)]
pub struct MergeFacts {
    /// The merge.
    pub id: MergeId,
    /// The user merged away.
    pub source: i64,
    /// The user that remained.
    pub target: i64,
    /// Where it stands.
    pub state: State,
    /// Its users take part in it.
    pub holds_users: bool,
    /// It is the merge that made the source a tombstone, and no repetition of one (rule R3).
    pub did_the_work: bool,
    /// What it says it moved.
    pub counts: Counts,
    /// The last change is older than an unfinished merge may be.
    pub is_stale: bool,
    /// It ended so lately that its messages are still in the outbox.
    pub is_recent: bool,
    /// The recorded outcome is this merge's, and says the same.
    pub outcome_fits: bool,
    /// Its deletion messages.
    pub deletions: i64,
    /// Its event is in the outbox.
    pub has_event: bool,
    /// Its dead letter is.
    pub has_dead_letter: bool,
    /// The source's row is there and no deletion pipeline has touched it.
    pub has_source: bool,
    /// Whom the source's row names.
    pub merged_into: Option<i64>,
    /// The source leads to another user than the target does.
    pub leads_elsewhere: bool,
    /// A user that points to the source.
    pub follower: Option<i64>,
    /// An unfinished merge that one of its users must not be in at the same time (rule A10).
    pub conflicting: Option<MergeId>,
}

/// The account's next merges, by id.
#[allow(
    clippy::too_many_lines,
    reason = "one statement, and a name for each of its columns"
)]
pub async fn merges_batch(
    connection: &mut PgConnection,
    account: AccountId,
    after: MergeId,
    limit: i64,
    terms: Terms,
) -> Result<Vec<MergeFacts>> {
    let rows = sqlx::query!(
        r#"
        /* verify */
        WITH batch AS MATERIALIZED (
            -- By name: the reason that somebody typed is none of ours, nor may our role read it.
            SELECT m.id, m.account_id, m.idempotency_key, m.source_user_id, m.target_user_id, m.state, m.holds_users,
                   m.live, m.closed, m.archived, m.ccs_moved, m.ccs_deduplicated, m.late, m.rejection, m.outcome,
                   m.updated_at, m.completed_at,
                   m.state = 'completed' AND m.outcome ->> 'already_merged' IS DISTINCT FROM 'true' AS worked
            FROM user_merge.merges m
            WHERE m.account_id = $1 AND m.id > $2 ORDER BY m.id LIMIT $3
        )
        SELECT m.id, m.source_user_id, m.target_user_id, m.state, m.holds_users, m.worked AS "worked!",
               m.live + m.closed + m.archived AS "tickets!", m.ccs_moved, m.ccs_deduplicated, m.late,
               m.updated_at < now() - make_interval(secs => $4) AS "is_stale!",
               coalesce(m.completed_at, m.updated_at) > now() - make_interval(secs => $5) AS "is_recent!",
               m.state IN ('running', 'failed') OR m.completed_at IS NOT NULL AND coalesce(
                   m.outcome ->> 'type' = 'merge.' || m.state
                   AND m.outcome ->> 'idempotency_key' = m.idempotency_key
                   AND m.outcome ->> 'account_id' = m.account_id::text
                   AND m.outcome ->> 'source_user_id' = m.source_user_id::text
                   AND m.outcome ->> 'target_user_id' = m.target_user_id::text
                   AND m.outcome #>> '{rejection,reason}' IS NOT DISTINCT FROM m.rejection
                   AND (NOT m.worked OR m.outcome ->> 'merge_id' = m.id::text
                        AND m.outcome #>> '{tickets,live}' = m.live::text
                        AND m.outcome #>> '{tickets,closed}' = m.closed::text
                        AND m.outcome #>> '{tickets,archived}' = m.archived::text
                        AND m.outcome #>> '{ccs,moved}' = m.ccs_moved::text
                        AND m.outcome #>> '{ccs,deduplicated}' = m.ccs_deduplicated::text), false
               ) AS "outcome_fits!",
               sent.deletions AS "deletions!", sent.events > 0 AS "has_event!", sent.dead > 0 AS "has_dead!",
               source.id IS NOT NULL AND source.deleted_at IS NULL AS "has_source!",
               source.merged_into AS "merged_into?",
               -- Where the row names the target itself, both lead to the same user.
               CASE WHEN m.worked AND source.merged_into <> m.target_user_id AND first.id = m.id
                    THEN user_merge.canonical_user($1, m.target_user_id) IS NOT NULL
                         AND user_merge.canonical_user($1, m.source_user_id)
                             IS DISTINCT FROM user_merge.canonical_user($1, m.target_user_id)
                    ELSE false END AS "leads_elsewhere!",
               CASE WHEN m.worked THEN (
                   SELECT f.id FROM helpdesk.users f
                   WHERE f.account_id = $1 AND f.merged_into = m.source_user_id LIMIT 1
               ) END AS "follower?",
               CASE WHEN m.holds_users THEN coalesce((
                   SELECT o.id FROM user_merge.merges o
                   WHERE o.account_id = $1 AND o.source_user_id = m.source_user_id AND o.holds_users AND o.id <> m.id
                   LIMIT 1
               ), (
                   SELECT o.id FROM user_merge.merges o
                   WHERE o.account_id = $1 AND o.source_user_id = m.target_user_id AND o.holds_users AND o.id <> m.id
                   LIMIT 1
               ), (
                   SELECT o.id FROM user_merge.merges o
                   WHERE o.account_id = $1 AND o.target_user_id = m.source_user_id AND o.holds_users AND o.id <> m.id
                   LIMIT 1
               )) END AS "conflicting?"
        FROM batch m
        LEFT JOIN LATERAL (
            SELECT u.id, u.merged_into, u.deleted_at FROM helpdesk.users u
            WHERE u.account_id = $1 AND u.id = m.source_user_id LIMIT 1
        ) source ON true
        LEFT JOIN LATERAL (
            -- A source that was given back and merged again has several; the record can't say which counts.
            SELECT CASE WHEN count(*) = 1 THEN m.id END AS id FROM user_merge.merges o
            WHERE m.worked AND o.account_id = $1 AND o.source_user_id = m.source_user_id AND o.state = 'completed'
              AND o.outcome ->> 'already_merged' IS DISTINCT FROM 'true'
        ) first ON true
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE o.destination = 'deletion') AS deletions,
                   count(*) FILTER (WHERE o.destination = 'event') AS events,
                   count(*) FILTER (WHERE o.destination = 'dead') AS dead
            FROM user_merge.outbox o WHERE o.account_id = $1 AND o.merge_id = m.id
        ) sent
        ORDER BY m.id
        "#,
        account.get(),
        after,
        limit,
        terms.stale,
        terms.kept,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(MergeFacts {
                id: row.id,
                source: row.source_user_id,
                target: row.target_user_id,
                state: State::parse(&row.state)?,
                holds_users: row.holds_users,
                did_the_work: row.worked,
                counts: Counts {
                    tickets: row.tickets,
                    ccs_moved: row.ccs_moved,
                    ccs_deduplicated: row.ccs_deduplicated,
                    late: row.late,
                },
                is_stale: row.is_stale,
                is_recent: row.is_recent,
                outcome_fits: row.outcome_fits,
                deletions: row.deletions,
                has_event: row.has_event,
                has_dead_letter: row.has_dead,
                has_source: row.has_source,
                merged_into: row.merged_into,
                leads_elsewhere: row.leads_elsewhere,
                follower: row.follower,
                conflicting: row.conflicting,
            })
        })
        .collect()
}

/// What the account's next merges say they moved: to see which changed while the log was read.
pub async fn counts_batch(
    connection: &mut PgConnection,
    account: AccountId,
    after: MergeId,
    limit: i64,
) -> Result<Vec<(MergeId, Counts)>> {
    let rows = sqlx::query!(
        r#"
        /* verify */
        SELECT id, live + closed + archived AS "tickets!", ccs_moved, ccs_deduplicated, late
        FROM user_merge.merges WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3
        "#,
        account.get(),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let counts = rows.into_iter().map(|row| {
        let counts = Counts {
            tickets: row.tickets,
            ccs_moved: row.ccs_moved,
            ccs_deduplicated: row.ccs_deduplicated,
            late: row.late,
        };
        (row.id, counts)
    });
    Ok(counts.collect())
}
