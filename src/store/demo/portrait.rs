//! One user as a person would look at it, values and all: only ever of users that the demo made up.

use sqlx::PgConnection;

use crate::store::Result;

/// A user's profile and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Portrait {
    /// Its name.
    pub name: String,
    /// Addresses, the primary one first.
    pub emails: Vec<String>,
    /// Numbers, the primary one first.
    pub phones: Vec<String>,
    /// X accounts.
    pub x: Vec<String>,
    /// Names of its organizations, the default one first.
    pub organizations: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Agents' notes.
    pub notes: Option<String>,
    /// Its language.
    pub locale: Option<String>,
    /// Who it is today, once merged.
    pub merged_into: Option<i64>,
    /// Tickets that it requests, new to solved.
    pub live: i64,
    /// Closed ones.
    pub closed: i64,
    /// Archived ones.
    pub archived: i64,
    /// Tickets that are not archived and on which it is copied.
    pub ccs: i64,
}

/// Looks at one user.
pub async fn portrait(connection: &mut PgConnection, account: i64, user: i64) -> Result<Portrait> {
    let found = sqlx::query_as!(
        Portrait,
        r#"
        /* demo */
        SELECT u.name, u.tags, u.notes, u.locale, u.merged_into,
               ARRAY(SELECT value FROM helpdesk.user_identities i
                     WHERE i.account_id = $1 AND i.user_id = $2 AND i.kind = 'email'
                     ORDER BY i.is_primary DESC, i.id) AS "emails!",
               ARRAY(SELECT value FROM helpdesk.user_identities i
                     WHERE i.account_id = $1 AND i.user_id = $2 AND i.kind = 'phone'
                     ORDER BY i.is_primary DESC, i.id) AS "phones!",
               ARRAY(SELECT value FROM helpdesk.user_identities i
                     WHERE i.account_id = $1 AND i.user_id = $2 AND i.kind = 'x' ORDER BY i.id) AS "x!",
               ARRAY(SELECT o.name FROM helpdesk.organization_memberships m
                     JOIN helpdesk.organizations o ON o.account_id = $1 AND o.id = m.organization_id
                     WHERE m.account_id = $1 AND m.user_id = $2
                     ORDER BY m.is_default DESC, o.id) AS "organizations!",
               (SELECT count(*) FROM helpdesk.tickets t
                WHERE t.account_id = $1 AND t.requester_id = $2 AND t.status <> 'closed') AS "live!",
               (SELECT count(*) FROM helpdesk.tickets t
                WHERE t.account_id = $1 AND t.requester_id = $2 AND t.status = 'closed') AS "closed!",
               (SELECT count(*) FROM helpdesk.archived_tickets t
                WHERE t.account_id = $1 AND t.requester_id = $2) AS "archived!",
               (SELECT count(*) FROM helpdesk.ticket_ccs c
                WHERE c.account_id = $1 AND c.user_id = $2) AS "ccs!"
        FROM helpdesk.users u WHERE u.account_id = $1 AND u.id = $2
        "#,
        account,
        user,
    )
    .fetch_one(connection)
    .await?;
    Ok(found)
}

/// One of the tickets that are shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ShownTicket {
    /// What it's about.
    pub subject: String,
    /// Its status, or `archived`.
    pub status: String,
    /// Whose it is.
    pub requester: i64,
    /// Who is copied.
    pub ccs: Vec<i64>,
}

/// Looks at some tickets of one account, in the order of their ids.
pub async fn shown_tickets(
    connection: &mut PgConnection,
    account: i64,
    ids: &[i64],
) -> Result<Vec<ShownTicket>> {
    let found = sqlx::query_as!(
        ShownTicket,
        r#"
        /* demo */
        SELECT subject AS "subject!", status AS "status!", requester_id AS "requester!", ccs AS "ccs!"
        FROM (
            SELECT id, subject, status, requester_id,
                   ARRAY(SELECT user_id FROM helpdesk.ticket_ccs c
                         WHERE c.account_id = $1 AND c.ticket_id = t.id ORDER BY user_id) AS ccs
            FROM helpdesk.tickets t WHERE account_id = $1 AND id = ANY ($2)
            UNION ALL
            SELECT id, subject, 'archived', requester_id,
                   ARRAY(SELECT user_id FROM helpdesk.archived_ticket_ccs c
                         WHERE c.account_id = $1 AND c.ticket_id = t.id ORDER BY user_id)
            FROM helpdesk.archived_tickets t WHERE account_id = $1 AND id = ANY ($2)
        ) AS shown
        ORDER BY id
        "#,
        account,
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(found)
}
