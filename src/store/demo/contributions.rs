//! What people wrote and liked in the help centre: it stays with them (rule P14).

use sqlx::PgConnection;

use crate::store::Result;

/// Adds votes, subscriptions, posts and comments for the users above `base`.
pub async fn add_contributions(
    connection: &mut PgConnection,
    accounts: &[i64],
    base: i64,
) -> Result<()> {
    sqlx::query!(
        r#"
        /* demo */
        WITH people AS MATERIALIZED (
            SELECT account_id, id, id - $2 AS n FROM helpdesk.users
            WHERE account_id = ANY ($1) AND id > $2
        ), votes AS (
            INSERT INTO helpdesk.article_votes (account_id, id, user_id, article_id, value)
            SELECT account_id, n, id, 1 + n % 60, CASE WHEN n % 4 = 0 THEN -1 ELSE 1 END FROM people WHERE n % 2 = 0
        ), subscriptions AS (
            INSERT INTO helpdesk.article_subscriptions (account_id, id, user_id, article_id)
            SELECT account_id, n, id, 1 + n % 60 FROM people WHERE n % 3 = 0
        ), posts AS (
            INSERT INTO helpdesk.community_posts (account_id, id, user_id, title)
            SELECT account_id, n, id, 'How do I change the address of order ' || n || '?' FROM people WHERE n % 6 = 0
        )
        INSERT INTO helpdesk.community_comments (account_id, id, user_id, post_id, body)
        SELECT account_id, n, id, n / 6 * 6, 'In your profile, under orders.' FROM people WHERE n % 4 = 0 AND n > 5
        "#,
        accounts,
        base,
    )
    .execute(connection)
    .await?;
    Ok(())
}
