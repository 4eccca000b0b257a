//! Addresses and numbers of ordinary users. All of them are kept for documentation by their registries:
//! example.com, example.org and example.net; 555-01xx, 1 99 00 xx xx and 20 7946 0xxx.

use sqlx::PgConnection;

use super::Account;
use crate::store::Result;

/// Adds them for all users above `base`. Some duplicates have their person's number, written differently.
pub async fn add_identities(
    connection: &mut PgConnection,
    accounts: &[Account],
    base: i64,
) -> Result<()> {
    let ids: Vec<i64> = accounts.iter().map(|account| account.id).collect();
    let pairs: Vec<i64> = accounts.iter().map(|account| account.pairs).collect();
    sqlx::query!(
        r#"
        /* demo */
        INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary, verified)
        SELECT u.account_id, u.id, i.kind, i.value, i.is_primary, u.verified AND i.is_primary
        FROM unnest($1::bigint[], $2::bigint[]) AS a (id, pairs)
        JOIN helpdesk.users u ON u.account_id = a.id AND u.id > $3
        CROSS JOIN LATERAL (
            SELECT u.id - $3 AS n,
                   CASE WHEN u.id - $3 <= 2 * a.pairs THEN (u.id - $3 + 1) / 2 ELSE u.id - $3 - a.pairs END AS p,
                   u.id - $3 <= 2 * a.pairs AND (u.id - $3) % 2 = 0 AS twin,
                   regexp_replace(translate(lower(u.name), 'áâäåãçéèêëíîïłñóôöøõšúûüýžż',
                                            'aaaaaceeeeiiilnoooooosuuuyzz'), '[^a-z]+', '.', 'g') AS handle
        ) AS who
        CROSS JOIN LATERAL (
            SELECT lpad((who.p % 100)::text, 2, '0') AS two, lpad((who.p * 37 % 10000)::text, 4, '0') AS four,
                   lpad((who.p % 1000)::text, 3, '0') AS three
        ) AS digits
        CROSS JOIN LATERAL (VALUES
            (who.n % 13 <> 0 OR NOT u.verified, 'email', who.handle || '.' || who.p || '@example.'
                || CASE WHEN who.twin THEN CASE who.p % 2 WHEN 0 THEN 'org' ELSE 'net' END ELSE 'com' END, true),
            (who.n % 5 = 0, 'email', who.handle || '.' || who.p || '@mail.example.'
                || CASE WHEN who.twin THEN 'org' ELSE 'com' END, false),
            -- Rule P1: one number in three notations is one number.
            (who.n % 3 <> 0 AND who.p % 3 = 0, 'phone', CASE WHEN who.twin AND who.p % 2 = 0
                THEN '0033 1 99 00 ' || left(digits.four, 2) || ' ' || right(digits.four, 2)
                ELSE '+33 1 99 00 ' || left(digits.four, 2) || ' ' || right(digits.four, 2) END, true),
            (who.n % 3 <> 0 AND who.p % 3 = 1, 'phone', CASE WHEN who.twin
                THEN '+1 212 555 01' || digits.two ELSE '+1 (415) 555-01' || digits.two END, true),
            (who.n % 3 <> 0 AND who.p % 3 = 2, 'phone', '+44 20 7946 0' || digits.three, true),
            (who.n % 4 = 0, 'x', '@' || replace(who.handle, '.', '_') || '_' || who.p || '_' || who.n, true),
            (who.n % 31 = 0, 'facebook', 'fb-' || who.n, true),
            (who.n % 29 = 0, 'google', 'g-' || who.n, true)
        ) AS i (wanted, kind, value, is_primary)
        WHERE i.wanted
        "#,
        &ids,
        &pairs,
        base,
    )
    .execute(connection)
    .await?;
    Ok(())
}
