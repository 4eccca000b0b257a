//! Ordinary users, some of them twice: the duplicate comes right after its person, under another spelling.

use sqlx::PgConnection;

use super::Account;
use crate::store::Result;

/// Adds the people of each account. Ids begin at `base + 1`; of the first `2 * pairs`, each second one is the
/// duplicate of the one before. The same numbers always make the same people.
pub async fn add_people(
    connection: &mut PgConnection,
    accounts: &[Account],
    base: i64,
    first_names: &[&str],
    last_names: &[&str],
) -> Result<()> {
    let ids: Vec<i64> = accounts.iter().map(|account| account.id).collect();
    let people: Vec<i64> = accounts.iter().map(|account| account.people).collect();
    let pairs: Vec<i64> = accounts.iter().map(|account| account.pairs).collect();
    let token: Vec<bool> = accounts
        .iter()
        .map(|account| {
            account
                .sign_on
                .iter()
                .any(|way| matches!(*way, "jwt" | "saml"))
        })
        .collect();
    sqlx::query!(
        r#"
        /* demo */
        INSERT INTO helpdesk.users
            (account_id, id, name, verified, suspended, direct_line, locale, time_zone, organization_id, tags,
             details, notes, photo_url, user_fields, external_id, created_at, updated_at)
        SELECT
            a.id, $5 + n.i,
            CASE WHEN NOT who.twin THEN who.first || ' ' || who.last
                 WHEN who.p % 3 = 0 THEN left(who.first, 1) || '. ' || who.last
                 WHEN who.p % 3 = 1 THEN who.first || ' ' || upper(who.last)
                 ELSE lower(who.first || ' ' || who.last) END,
            n.i % 7 <> 0, n.i % 97 = 0,
            CASE WHEN who.p % 6 = 0 THEN '+1 646 555 01' || lpad((who.p % 100)::text, 2, '0') END,
            (ARRAY['en-GB', 'fr-FR', 'de-DE', 'es-ES', 'pt-BR', 'pl-PL', 'ja-JP'])[1 + n.i % 7],
            (ARRAY['Europe/London', 'Europe/Paris', 'America/New_York', 'Asia/Tokyo'])[1 + n.i % 4],
            CASE WHEN n.i % 3 <> 0 THEN 1 + (who.p * 3 + n.i % 2) % 12 END,
            CASE n.i % 5 WHEN 0 THEN '{newsletter,returning}'::text[] WHEN 1 THEN '{vip}' WHEN 2 THEN '{trial}'
                         ELSE '{}' END,
            CASE WHEN n.i % 8 = 0 THEN 'Prefers to be called in the afternoon.' END,
            CASE WHEN n.i % 9 = 0 THEN 'Asked twice for an invoice; check the other record.' END,
            CASE WHEN n.i % 4 = 0 THEN 'https://example.com/photos/' || who.p || '.png' END,
            CASE WHEN n.i % 6 = 0 THEN jsonb_build_object('plan', 'basic', 'seats', who.p % 9) ELSE '{}' END,
            -- Rule A9: with such sign-on a pair has none, or a blank one, which counts as none.
            CASE WHEN who.paired AND a.token THEN CASE WHEN n.i % 4 = 0 THEN '  ' END
                 WHEN n.i % 5 = 0 THEN 'crm-' || n.i END,
            day.day - make_interval(days => (900 - n.i % 800)::int), day.day - make_interval(days => (n.i % 90)::int)
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[]) AS a (id, people, pairs, token)
        CROSS JOIN date_trunc('day', now()) AS day
        CROSS JOIN LATERAL generate_series(1, a.people) AS n (i)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN n.i <= 2 * a.pairs THEN (n.i + 1) / 2 ELSE n.i - a.pairs END AS p,
                   n.i <= 2 * a.pairs AS paired
        ) AS person
        CROSS JOIN LATERAL (
            SELECT person.p, person.paired, person.paired AND n.i % 2 = 0 AS twin,
                   ($6::text[])[1 + (person.p * 7 + a.id) % cardinality($6::text[])] AS first,
                   ($7::text[])[1 + (person.p * 11 + a.id) % cardinality($7::text[])] AS last
        ) AS who
        "#,
        &ids,
        &people,
        &pairs,
        &token,
        base,
        first_names as &[&str],
        last_names as &[&str],
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        /* demo */
        INSERT INTO helpdesk.organization_memberships (account_id, user_id, organization_id, is_default)
        SELECT u.account_id, u.id, u.organization_id, true
        FROM helpdesk.users u
        WHERE u.account_id = ANY ($1) AND u.id > $2 AND u.organization_id IS NOT NULL
        UNION ALL
        SELECT u.account_id, u.id, 1 + (u.organization_id + u.id % 5) % 12, false
        FROM helpdesk.users u JOIN helpdesk.accounts a ON a.id = u.account_id
        WHERE u.account_id = ANY ($1) AND u.id > $2 AND a.multiple_organizations AND u.id % 2 = 0
          AND u.organization_id <> 1 + (u.organization_id + u.id % 5) % 12
        "#,
        &ids,
        base,
    )
    .execute(connection)
    .await?;
    Ok(())
}
