//! The locks that make everything else certain.

use sqlx::PgConnection;

use crate::domain::{Pair, UserId};
use crate::store::{Error, Pairs, Result};

/// Locks both users until the end of the transaction, the lower id first, so that two merges can't wait for
/// each other (rules A and T9).
///
/// The source is locked FOR UPDATE: a new ticket or CC, or a ticket that becomes archived, takes FOR KEY SHARE on
/// it through its foreign key and waits. The target is only kept from changing (FOR NO KEY UPDATE): it goes
/// on opening tickets while it is merged into. What is read after this statement is therefore final.
pub async fn lock_pair(connection: &mut PgConnection, pair: Pair) -> Result<()> {
    sqlx::query!(
        r#"
        SELECT id AS "id!" FROM (
            SELECT id FROM helpdesk.users WHERE account_id = $1 AND id = $2 AND $2::bigint < $3::bigint FOR UPDATE
        ) lower_source
        UNION ALL
        SELECT id FROM (
            SELECT id FROM helpdesk.users WHERE account_id = $1 AND id = $3 FOR NO KEY UPDATE
        ) target
        UNION ALL
        SELECT id FROM (
            SELECT id FROM helpdesk.users WHERE account_id = $1 AND id = $2 AND $2::bigint > $3::bigint FOR UPDATE
        ) higher_source
        "#,
        pair.account.get(),
        pair.source.get(),
        pair.target.get(),
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// Locks the users of several pairs in the same way, but passes over those that somebody else has locked: who locks
/// many rows must not wait for one of them, nor make others wait meanwhile. Returns the users that it has. One that
/// isn't among them is locked by another, or doesn't exist.
pub async fn lock_free(connection: &mut PgConnection, pairs: &Pairs) -> Result<Vec<UserId>> {
    let locked = sqlx::query_scalar!(
        r#"
        SELECT id AS "id!" FROM (
            SELECT id FROM helpdesk.users WHERE account_id = $1 AND id = ANY ($2) FOR UPDATE SKIP LOCKED
        ) sources
        UNION ALL
        SELECT id FROM (
            SELECT id FROM helpdesk.users WHERE account_id = $1 AND id = ANY ($3) FOR NO KEY UPDATE SKIP LOCKED
        ) targets
        "#,
        pairs.account,
        &pairs.sources,
        &pairs.targets,
    )
    .fetch_all(connection)
    .await?;
    let user = |id: i64| UserId::try_from(id).map_err(|_| Error::Unreadable("user id"));
    locked.into_iter().map(user).collect()
}
