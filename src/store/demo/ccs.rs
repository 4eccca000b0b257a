//! CCs, among them all collisions of rule T5 for each pair of duplicates.

use sqlx::PgConnection;

use super::Account;
use crate::store::Result;

/// Adds CCs to the tickets of each account: a passer-by on every fourth ticket; a pair's other half, or its
/// requester itself, on the pair's own tickets; one half or both on somebody else's.
pub async fn add_ccs(connection: &mut PgConnection, accounts: &[Account], base: i64) -> Result<()> {
    let ids: Vec<i64> = accounts.iter().map(|account| account.id).collect();
    let people: Vec<i64> = accounts.iter().map(|account| account.people).collect();
    let pairs: Vec<i64> = accounts.iter().map(|account| account.pairs).collect();
    sqlx::query!(
        r#"
        /* demo */
        INSERT INTO helpdesk.ticket_ccs (account_id, ticket_id, user_id)
        SELECT a.id, t.id, cc.person
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS a (id, people, pairs)
        JOIN helpdesk.tickets t ON t.account_id = a.id
        CROSS JOIN LATERAL (
            SELECT t.requester_id - $4::bigint BETWEEN 1 AND 2 * a.pairs AS paired,
                   t.requester_id + CASE WHEN (t.requester_id - $4) % 2 = 0 THEN -1 ELSE 1 END AS other,
                   1 + t.id % greatest(a.pairs, 1) AS p,
                   -- Those of the largest users have few: each holds up a merge of whoever is copied.
                   CASE WHEN t.requester_id > $4 THEN 4 ELSE 50 END AS every
        ) AS who
        CROSS JOIN LATERAL (VALUES
            (t.id % who.every = 0, $4::bigint + 1 + t.id * 31 % a.people),
            (who.paired AND t.id % 3 = 0, who.other),
            (who.paired AND t.id % 5 = 0, t.requester_id),
            (who.every = 4 AND NOT who.paired AND a.pairs > 0 AND t.id % 7 < 2, $4::bigint + 2 * who.p),
            (who.every = 4 AND NOT who.paired AND a.pairs > 0 AND t.id % 7 = 1, $4::bigint + 2 * who.p - 1)
        ) AS cc (wanted, person)
        WHERE cc.wanted
        ON CONFLICT DO NOTHING
        "#,
        &ids,
        &people,
        &pairs,
        base,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        /* demo */
        INSERT INTO helpdesk.archived_ticket_ccs (account_id, ticket_id, user_id)
        SELECT a.id, t.id, cc.person
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS a (id, people, pairs)
        JOIN helpdesk.archived_tickets t ON t.account_id = a.id
        CROSS JOIN LATERAL (VALUES
            (t.id % 4 = 0, $4::bigint + 1 + t.id * 31 % a.people),
            (a.pairs > 0 AND t.id % 9 = 0, $4::bigint + 1 + t.id % (2 * greatest(a.pairs, 1)))
        ) AS cc (wanted, person)
        WHERE cc.wanted
        ON CONFLICT DO NOTHING
        "#,
        &ids,
        &people,
        &pairs,
        base,
    )
    .execute(connection)
    .await?;
    Ok(())
}
