//! The rows of some accounts, read whole: once before the merges and once after.
//!
//! What no rule lets a merge change is read as one number, a hash: that it is the same is all there is to know.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::Result;

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRow {
    /// Its account.
    pub account: i64,
    /// Its id.
    pub id: i64,
    /// Which table it is in.
    pub archived: bool,
    /// Whose it is.
    pub requester: i64,
    /// When it was last changed.
    pub touched: DateTime<Utc>,
    /// All other columns (rules T6 and T10).
    pub rest: i64,
}

/// A CC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CcRow {
    /// Its account.
    pub account: i64,
    /// Whether its ticket is archived.
    pub archived: bool,
    /// The ticket.
    pub ticket: i64,
    /// Who is copied.
    pub user: i64,
}

/// An identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRow {
    /// Its account.
    pub account: i64,
    /// Its id.
    pub id: i64,
    /// Whose it is.
    pub user: i64,
    /// `email`, `phone` and so on.
    pub kind: String,
    /// Whether it is the first of its kind.
    pub is_primary: bool,
    /// A phone number's digits, with the country's code in front: the demo writes no other.
    pub digits: Option<String>,
    /// Value and verified flag.
    pub rest: i64,
}

/// A membership.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MembershipRow {
    /// Its account.
    pub account: i64,
    /// The member.
    pub user: i64,
    /// The organization.
    pub organization: i64,
    /// Whether it is the member's first.
    pub is_default: bool,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Its account.
    pub account: i64,
    /// Its id.
    pub id: i64,
    /// Its default organization.
    pub organization: Option<i64>,
    /// Who it is today, once merged.
    pub merged_into: Option<i64>,
    /// When it was last changed.
    pub touched: DateTime<Utc>,
    /// All other columns.
    pub rest: i64,
}

/// An entry of the ticket event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Its account.
    pub account: i64,
    /// The ticket.
    pub ticket: i64,
    /// `requester_id` or `cc`.
    pub field: String,
    /// Who it was.
    pub old: Option<String>,
    /// Who it is.
    pub new: Option<String>,
    /// What wrote it.
    pub via: String,
    /// The merge.
    pub merge: Option<Uuid>,
    /// Whether it fires no trigger (rule T3).
    pub silent: bool,
}

/// Everything of some accounts.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Both tables.
    pub tickets: Vec<TicketRow>,
    /// Both tables.
    pub ccs: Vec<CcRow>,
    /// All of them.
    pub identities: Vec<IdentityRow>,
    /// All of them.
    pub memberships: Vec<MembershipRow>,
    /// All of them.
    pub users: Vec<UserRow>,
    /// All of it.
    pub log: Vec<LogRow>,
    /// The help centre's four tables: name, rows, hash.
    pub contributions: Vec<(String, i64, String)>,
}

/// Reads the accounts as they are at one moment.
pub async fn rows(connection: &mut PgConnection, accounts: &[i64]) -> Result<Rows> {
    let tickets = sqlx::query_as!(
        TicketRow,
        r#"
        /* demo */
        SELECT account_id AS "account!", id AS "id!", false AS "archived!", requester_id AS "requester!",
               updated_at AS "touched!", hashtextextended(concat_ws('|', submitter_id, assignee_id,
                   coalesce(organization_id, 0), status, subject, created_at), 0) AS "rest!"
        FROM helpdesk.tickets WHERE account_id = ANY ($1)
        UNION ALL
        SELECT account_id, id, true, requester_id, updated_at, hashtextextended(concat_ws('|', submitter_id,
                   assignee_id, coalesce(organization_id, 0), status, subject, created_at, archived_at), 0)
        FROM helpdesk.archived_tickets WHERE account_id = ANY ($1)
        ORDER BY 1, 2, 3
        "#,
        accounts,
    )
    .fetch_all(&mut *connection)
    .await?;
    let ccs = sqlx::query_as!(
        CcRow,
        r#"
        /* demo */
        SELECT account_id AS "account!", false AS "archived!", ticket_id AS "ticket!", user_id AS "user!"
        FROM helpdesk.ticket_ccs WHERE account_id = ANY ($1)
        UNION ALL
        SELECT account_id, true, ticket_id, user_id
        FROM helpdesk.archived_ticket_ccs WHERE account_id = ANY ($1)
        "#,
        accounts,
    )
    .fetch_all(&mut *connection)
    .await?;
    let identities = sqlx::query_as!(
        IdentityRow,
        r#"
        /* demo */
        SELECT account_id AS account, id, user_id AS "user", kind, is_primary,
               CASE WHEN kind = 'phone' THEN regexp_replace(regexp_replace(value, '\D', '', 'g'), '^00', '') END
                   AS digits,
               hashtextextended(concat_ws('|', value, verified), 0) AS "rest!"
        FROM helpdesk.user_identities WHERE account_id = ANY ($1)
        ORDER BY account_id, id
        "#,
        accounts,
    )
    .fetch_all(&mut *connection)
    .await?;
    let memberships = sqlx::query_as!(
        MembershipRow,
        r#"/* demo */ SELECT account_id AS account, user_id AS "user", organization_id AS organization, is_default
           FROM helpdesk.organization_memberships WHERE account_id = ANY ($1)"#,
        accounts,
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(Rows {
        tickets,
        ccs,
        identities,
        memberships,
        users: users(connection, accounts).await?,
        log: log(connection, accounts).await?,
        contributions: contributions(connection, accounts).await?,
    })
}

async fn users(connection: &mut PgConnection, accounts: &[i64]) -> Result<Vec<UserRow>> {
    let users = sqlx::query_as!(
        UserRow,
        r#"
        /* demo */
        SELECT account_id AS account, id, organization_id AS organization, merged_into, updated_at AS touched,
               hashtextextended((to_jsonb(u) - '{organization_id,merged_into,merged_at,updated_at}'::text[])::text, 0)
                   AS "rest!"
        FROM helpdesk.users u WHERE account_id = ANY ($1)
        ORDER BY account_id, id
        "#,
        accounts,
    )
    .fetch_all(connection)
    .await?;
    Ok(users)
}

async fn log(connection: &mut PgConnection, accounts: &[i64]) -> Result<Vec<LogRow>> {
    let log = sqlx::query_as!(
        LogRow,
        r#"
        /* demo */
        SELECT account_id AS account, ticket_id AS ticket, field, old_value AS old, new_value AS new, via,
               merge_id AS merge, suppress_triggers AS silent
        FROM helpdesk.ticket_events WHERE account_id = ANY ($1)
        "#,
        accounts,
    )
    .fetch_all(connection)
    .await?;
    Ok(log)
}

async fn contributions(
    connection: &mut PgConnection,
    accounts: &[i64],
) -> Result<Vec<(String, i64, String)>> {
    let tables = sqlx::query!(
        r#"
        /* demo */
        SELECT kind AS "kind!", count(*) AS "count!", sum(hashtextextended(content, 0))::text AS "hash!"
        FROM (
            SELECT 'votes' AS kind, account_id, v::text AS content FROM helpdesk.article_votes v
            UNION ALL
            SELECT 'subscriptions', account_id, s::text FROM helpdesk.article_subscriptions s
            UNION ALL
            SELECT 'posts', account_id, p::text FROM helpdesk.community_posts p
            UNION ALL
            SELECT 'comments', account_id, c::text FROM helpdesk.community_comments c
        ) AS contributions
        WHERE account_id = ANY ($1)
        GROUP BY kind ORDER BY kind
        "#,
        accounts,
    )
    .fetch_all(connection)
    .await?;
    Ok(tables
        .into_iter()
        .map(|table| (table.kind, table.count, table.hash))
        .collect())
}
