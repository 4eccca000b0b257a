//! What commits have left in the outbox: claimed by the relay, published, refused, and in the end removed.
//!
//! Whether a row is published is tested by `IS TRUE` where rows are named, so that the index of what is pending doesn't
//! serve: it has an entry of every message since it was last vacuumed, and the planner takes it for all but empty.

use sqlx::postgres::PgPool;

use super::{Destination, Draft, Key, Promised};
use crate::domain::{AccountId, MergeId};
use crate::store::{Error, Result};

/// Claims messages that nobody is publishing: what a crash left behind. They are this caller's until the
/// lease ends, then they may be claimed again; a message can go out twice, and never not at all. Whatever has
/// waited longest comes first, so that one that fails again and again holds up no other.
///
/// Kinds that this version doesn't know are left to one that does.
pub async fn claim(pool: &PgPool, limit: i64, lease_seconds: f64) -> Result<Vec<Promised>> {
    let rows = sqlx::query!(
        r#"
        UPDATE user_merge.outbox o
        SET claimed_until = now() + make_interval(secs => $2)
        FROM (
            SELECT account_id, merge_id, id FROM user_merge.outbox
            WHERE published_at IS NULL AND claimed_until < now() AND destination = ANY($3::text[])
            ORDER BY claimed_until
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        ) due
        WHERE o.account_id = due.account_id AND o.merge_id = due.merge_id AND o.id = due.id
        RETURNING o.account_id, o.merge_id, o.id, o.destination, o.routing_key, o.message_id, o.correlation_id,
                  o.traceparent, o.headers, o.body
        "#,
        limit,
        lease_seconds,
        &Destination::ALL.map(Destination::label) as &[&str],
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Promised {
                key: Key {
                    account: AccountId::try_from(row.account_id)
                        .map_err(|_| Error::Unreadable("account id"))?,
                    merge: row.merge_id,
                    id: row.id,
                },
                correlation_id: row.correlation_id,
                traceparent: row.traceparent,
                draft: Draft {
                    destination: Destination::parse(&row.destination)?,
                    routing_key: row.routing_key,
                    message_id: row.message_id,
                    headers: row.headers,
                    body: row.body,
                },
            })
        })
        .collect()
}

/// Marks messages that the broker has confirmed.
pub async fn mark_published(pool: &PgPool, published: &[Key]) -> Result<()> {
    let (accounts, merges, ids) = columns(published);
    sqlx::query!(
        r#"
        UPDATE user_merge.outbox o
        SET published_at = now()
        FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS done (account_id, merge_id, id)
        WHERE o.account_id = done.account_id AND o.merge_id = done.merge_id AND o.id = done.id
          AND (o.published_at IS NULL) IS TRUE
        "#,
        &accounts,
        &merges,
        &ids,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Puts messages off that the broker refused: twice as long each time, from one lease up to an hour.
pub async fn mark_refused(pool: &PgPool, refused: &[Key], lease_seconds: f64) -> Result<()> {
    let (accounts, merges, ids) = columns(refused);
    sqlx::query!(
        r#"
        UPDATE user_merge.outbox o
        SET refusals = o.refusals + 1,
            claimed_until = now() + make_interval(secs => least($4 * power(2, least(o.refusals, 20)), 3600))
        FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS sent_back (account_id, merge_id, id)
        WHERE o.account_id = sent_back.account_id AND o.merge_id = sent_back.merge_id AND o.id = sent_back.id
          AND (o.published_at IS NULL) IS TRUE
        "#,
        &accounts,
        &merges,
        &ids,
        lease_seconds,
    )
    .execute(pool)
    .await?;
    Ok(())
}

fn columns(keys: &[Key]) -> (Vec<i64>, Vec<MergeId>, Vec<i64>) {
    keys.iter()
        .map(|key| (key.account.get(), key.merge, key.id))
        .collect()
}

/// Removes a batch of messages that were published longer ago than they are kept, and says how many.
pub async fn prune(pool: &PgPool, keep_seconds: f64, limit: i64) -> Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM user_merge.outbox o
        USING (
            SELECT account_id, merge_id, id FROM user_merge.outbox
            WHERE published_at < now() - make_interval(secs => $1) AND destination <> 'deletion'
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ) old
        WHERE o.account_id = old.account_id AND o.merge_id = old.merge_id AND o.id = old.id
        "#,
        keep_seconds,
        limit,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// How many messages wait to be published, and for how long the oldest has been waiting, in seconds.
pub async fn backlog(pool: &PgPool) -> Result<(i64, f64)> {
    let row = sqlx::query!(
        r#"
        SELECT count(*) AS "pending!",
               coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS "oldest!"
        FROM user_merge.outbox WHERE published_at IS NULL
        "#,
    )
    .fetch_one(pool)
    .await?;
    Ok((row.pending, row.oldest))
}
