//! Questions to the tables whose answer must be nought, whatever was merged.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::Result;

/// Rows that must not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Tickets whose requester is merged, archived ones too (rule T1).
    pub tickets: i64,
    /// CCs of merged users on tickets that are not archived (rule T4).
    pub ccs: i64,
    /// The same on archived ones.
    pub archived_ccs: i64,
    /// E-mail addresses of merged users (rule P4).
    pub emails: i64,
    /// Merged users that lead to another merged user, or to nobody (rule D3).
    pub hops: i64,
    /// Merged users for whom `canonical_user` names another one than the row does.
    pub canonical: i64,
    /// Messages that were promised and not confirmed (rule D2).
    pub unpublished: i64,
    /// Merges that still hold their users.
    pub held: i64,
}

/// Asks all of them for some accounts.
pub async fn findings(connection: &mut PgConnection, accounts: &[i64]) -> Result<Findings> {
    let found = sqlx::query_as!(
        Findings,
        r#"
        /* demo */
        WITH merged AS MATERIALIZED (
            SELECT account_id, id, merged_into FROM helpdesk.users
            WHERE account_id = ANY ($1) AND merged_into IS NOT NULL
        )
        SELECT
            (SELECT count(*) FROM merged m JOIN helpdesk.tickets t
                ON t.account_id = m.account_id AND t.requester_id = m.id)
            + (SELECT count(*) FROM merged m JOIN helpdesk.archived_tickets t
                ON t.account_id = m.account_id AND t.requester_id = m.id) AS "tickets!",
            (SELECT count(*) FROM merged m JOIN helpdesk.ticket_ccs c
                ON c.account_id = m.account_id AND c.user_id = m.id) AS "ccs!",
            (SELECT count(*) FROM merged m JOIN helpdesk.archived_ticket_ccs c
                ON c.account_id = m.account_id AND c.user_id = m.id) AS "archived_ccs!",
            (SELECT count(*) FROM merged m JOIN helpdesk.user_identities i
                ON i.account_id = m.account_id AND i.user_id = m.id AND i.kind = 'email') AS "emails!",
            (SELECT count(*) FROM merged m LEFT JOIN helpdesk.users u
                ON u.account_id = m.account_id AND u.id = m.merged_into
             WHERE u.id IS NULL OR u.merged_into IS NOT NULL) AS "hops!",
            (SELECT count(*) FROM merged m
             WHERE user_merge.canonical_user(m.account_id, m.id) IS DISTINCT FROM m.merged_into) AS "canonical!",
            (SELECT count(*) FROM user_merge.outbox o
             WHERE o.account_id = ANY ($1) AND o.published_at IS NULL) AS "unpublished!",
            (SELECT count(*) FROM user_merge.merges m
             WHERE m.account_id = ANY ($1) AND m.holds_users) AS "held!"
        "#,
        accounts,
    )
    .fetch_one(connection)
    .await?;
    Ok(found)
}

/// A merge as it is on record.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its account.
    pub account: i64,
    /// Its key.
    pub key: String,
    /// The merge.
    pub id: Uuid,
    /// Who was merged away.
    pub source: i64,
    /// `running`, `completed`, `rejected` or `failed`.
    pub state: String,
    /// The reason code.
    pub rejection: Option<String>,
    /// There was nothing left to do (rules A3 and R3).
    pub already_merged: bool,
    /// Tickets that it says it moved.
    pub tickets: i64,
    /// CCs that it says it moved or dropped.
    pub ccs: i64,
}

/// All merges of some accounts.
pub async fn recorded(connection: &mut PgConnection, accounts: &[i64]) -> Result<Vec<Recorded>> {
    let found = sqlx::query_as!(
        Recorded,
        r#"
        /* demo */
        SELECT account_id AS account, idempotency_key AS key, id, source_user_id AS source, state, rejection,
               coalesce((outcome ->> 'already_merged')::boolean, false) AS "already_merged!",
               live + closed + archived AS "tickets!", ccs_moved + ccs_deduplicated AS "ccs!"
        FROM user_merge.merges WHERE account_id = ANY ($1)
        "#,
        accounts,
    )
    .fetch_all(connection)
    .await?;
    Ok(found)
}
