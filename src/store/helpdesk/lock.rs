//! The lock that makes everything else certain.

use sqlx::PgConnection;

use crate::domain::Pair;
use crate::store::Result;

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
