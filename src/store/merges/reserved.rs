//! What an operator asks before throwing a request away.

use sqlx::postgres::PgPool;

use crate::domain::AccountId;
use crate::store::Result;

/// Whether an unfinished merge under this key has users reserved: only the same request, sent again, frees them.
pub async fn is_reserved(pool: &PgPool, account: AccountId, key: &str) -> Result<bool> {
    let is_reserved = sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT FROM user_merge.merges
            WHERE account_id = $1 AND idempotency_key = $2 AND holds_users
        ) AS "is_reserved!"
        "#,
        account.get(),
        key,
    )
    .fetch_one(pool)
    .await?;
    Ok(is_reserved)
}
