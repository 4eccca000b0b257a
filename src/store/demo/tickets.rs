//! Tickets: a few for everybody, very many for some, and those that the demo shows one by one.

use sqlx::PgConnection;

use crate::store::Result;

/// Ids of everybody's tickets begin above this; the others' begin with their requester's id.
const EVERYBODYS: i64 = 100_000_000;

/// Adds 2 to 18 tickets for each end user who is not merged, but for some: new to closed, and archived. They lie
/// in the tables in the order of their making, not of their requesters, as they would.
pub async fn add_tickets(
    connection: &mut PgConnection,
    accounts: &[i64],
    subjects: &[&str],
    without: &[i64],
) -> Result<()> {
    sqlx::query!(
        r#"
        /* demo */
        WITH planned AS MATERIALIZED (
            SELECT u.account_id, u.id AS requester, u.organization_id, j,
                   $2 + row_number() OVER (PARTITION BY u.account_id
                                           ORDER BY (u.id * 7919 + j * 104729) % 1000003, u.id, j) AS id,
                   ($3::text[])[1 + (u.id * 3 + j * 5) % cardinality($3::text[])] AS subject,
                   date_trunc('day', now()) - make_interval(days => (j * 20 + u.id % 20)::int) AS day
            FROM helpdesk.users u CROSS JOIN LATERAL generate_series(1, 2 + u.id * 7919 % 17) AS j
            WHERE u.account_id = ANY ($1) AND u.role = 'end_user' AND u.merged_into IS NULL
              AND u.id <> ALL ($4)
        ), live AS (
            INSERT INTO helpdesk.tickets
                (account_id, id, requester_id, submitter_id, assignee_id, organization_id, status, subject,
                 created_at, updated_at)
            SELECT account_id, id, requester, CASE WHEN j % 4 = 0 THEN 2 ELSE requester END, 1 + id % 3,
                   organization_id, (ARRAY['new', 'open', 'pending', 'hold', 'solved', 'closed'])[1 + (id % 6)],
                   subject, day, day + interval '5 hours'
            FROM planned WHERE id % 10 < 6 ORDER BY id
        )
        INSERT INTO helpdesk.archived_tickets
            (account_id, id, requester_id, submitter_id, assignee_id, organization_id, status, subject,
             created_at, updated_at, archived_at)
        SELECT account_id, id, requester, requester, 1 + id % 3, organization_id, 'closed', subject,
               day - interval '1 year', day - interval '11 months', day - interval '7 months'
        FROM planned WHERE id % 10 >= 6 ORDER BY id
        "#,
        accounts,
        EVERYBODYS,
        subjects as &[&str],
        without,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds exactly so many tickets for one user: half of them archived, a fifth closed (rule A8).
pub async fn add_many_tickets(
    connection: &mut PgConnection,
    account: i64,
    requester: i64,
    count: i64,
) -> Result<()> {
    sqlx::query!(
        r#"
        /* demo */
        WITH planned AS MATERIALIZED (
            SELECT $2::bigint * 100000 + n AS id, n, date_trunc('day', now()) - make_interval(hours => n::int) AS day
            FROM generate_series(1, $3::bigint) AS n
        ), live AS (
            INSERT INTO helpdesk.tickets
                (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
            SELECT $1, id, $2, $2, CASE WHEN n % 10 < 2 THEN 'closed' ELSE 'open' END, 'Return no. ' || n, day, day
            FROM planned WHERE n % 10 < 5 ORDER BY id
        )
        INSERT INTO helpdesk.archived_tickets
            (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
        SELECT $1, id, $2, $2, 'closed', 'Return no. ' || n, day, day FROM planned WHERE n % 10 >= 5 ORDER BY id
        "#,
        account,
        requester,
        count,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A ticket that is shown.
#[derive(Debug, Clone, Copy)]
pub struct NewTicket {
    /// Its id.
    pub id: i64,
    /// Whose it is.
    pub requester: i64,
    /// A status, or `archived`.
    pub status: &'static str,
    /// What it's about.
    pub subject: &'static str,
    /// Who is copied.
    pub ccs: &'static [i64],
}

/// Adds tickets with their CCs.
pub async fn add_known_tickets(
    connection: &mut PgConnection,
    account: i64,
    tickets: &[NewTicket],
) -> Result<()> {
    let ids: Vec<i64> = tickets.iter().map(|ticket| ticket.id).collect();
    let requesters: Vec<i64> = tickets.iter().map(|ticket| ticket.requester).collect();
    let statuses: Vec<&str> = tickets.iter().map(|ticket| ticket.status).collect();
    let subjects: Vec<&str> = tickets.iter().map(|ticket| ticket.subject).collect();
    sqlx::query!(
        r#"
        /* demo */
        WITH known AS (
            SELECT id, requester, status, subject, date_trunc('day', now()) - interval '30 days' AS day
            FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[]) AS t (id, requester, status, subject)
        ), live AS (
            INSERT INTO helpdesk.tickets
                (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
            SELECT $1, id, requester, requester, status, subject, day, day FROM known WHERE status <> 'archived'
        )
        INSERT INTO helpdesk.archived_tickets
            (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
        SELECT $1, id, requester, requester, 'closed', subject, day, day FROM known WHERE status = 'archived'
        "#,
        account,
        &ids,
        &requesters,
        &statuses as &[&str],
        &subjects as &[&str],
    )
    .execute(&mut *connection)
    .await?;
    let ccs = tickets
        .iter()
        .flat_map(|ticket| ticket.ccs.iter().map(|&user| (ticket.id, user)));
    let (copied, users): (Vec<i64>, Vec<i64>) = ccs.unzip();
    sqlx::query!(
        r#"
        /* demo */
        WITH live AS (
            INSERT INTO helpdesk.ticket_ccs (account_id, ticket_id, user_id)
            SELECT $1, c.ticket, c.person FROM unnest($2::bigint[], $3::bigint[]) AS c (ticket, person)
            JOIN helpdesk.tickets t ON t.account_id = $1 AND t.id = c.ticket
        )
        INSERT INTO helpdesk.archived_ticket_ccs (account_id, ticket_id, user_id)
        SELECT $1, c.ticket, c.person FROM unnest($2::bigint[], $3::bigint[]) AS c (ticket, person)
        JOIN helpdesk.archived_tickets t ON t.account_id = $1 AND t.id = c.ticket
        "#,
        account,
        &copied,
        &users,
    )
    .execute(connection)
    .await?;
    Ok(())
}
