//! Where there is anything to look at, and how much.

use sqlx::PgConnection;

use crate::domain::AccountId;
use crate::store::{Error, Result};

/// The next accounts that have merges or messages on record, in order; each is one step in two indexes.
pub async fn accounts_after(
    connection: &mut PgConnection,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<AccountId>> {
    let found = sqlx::query_scalar!(
        r#"
        /* verify */
        WITH RECURSIVE step (id, n) AS (
            SELECT $1::bigint, 0::bigint
            UNION ALL
            SELECT least(
                (SELECT m.account_id FROM user_merge.merges m
                 WHERE m.account_id > step.id ORDER BY m.account_id LIMIT 1),
                (SELECT o.account_id FROM user_merge.outbox o
                 WHERE o.account_id > step.id ORDER BY o.account_id LIMIT 1)
            ), step.n + 1
            FROM step WHERE step.id IS NOT NULL AND step.n < $2
        )
        SELECT id AS "id!" FROM step WHERE n > 0 AND id IS NOT NULL ORDER BY n
        "#,
        after.map_or(0, AccountId::get),
        limit,
    )
    .fetch_all(connection)
    .await?;
    found
        .into_iter()
        .map(|id| AccountId::try_from(id).map_err(|_| Error::Unreadable("account id")))
        .collect()
}

/// The number of the account's last log entry: how far there is to go.
pub async fn last_log_entry(
    connection: &mut PgConnection,
    account: AccountId,
) -> Result<Option<i64>> {
    let last = sqlx::query_scalar!(
        r#"
        /* verify */
        SELECT id FROM helpdesk.ticket_events WHERE account_id = $1 ORDER BY id DESC LIMIT 1
        "#,
        account.get(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(last)
}
