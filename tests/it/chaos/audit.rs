//! Counts at the end, by SQL of its own: what each look finds is wrong.

use sqlx::{AssertSqlSafe, PgConnection};

/// Where everybody ended up: `fate` of whom no merge concerns is the user itself.
const FINAL: &str = "
    CREATE FUNCTION chaos.final(account bigint, who bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
        SELECT coalesce((SELECT final FROM chaos.fate WHERE account_id = account AND user_id = who), who) $$;
    CREATE VIEW chaos.all_tickets AS
        SELECT account_id, id, requester_id, true AS live FROM helpdesk.tickets
        UNION ALL SELECT account_id, id, requester_id, false FROM helpdesk.archived_tickets;
    CREATE VIEW chaos.all_ccs AS
        SELECT account_id, ticket_id, user_id, true AS live FROM helpdesk.ticket_ccs
        UNION ALL SELECT account_id, ticket_id, user_id, false FROM helpdesk.archived_ticket_ccs;
    ANALYZE";

/// What must not be, and how to find it: a line for each case.
pub const LOOKS: [(&str, &str); 17] = [
    (
        "T1, T7: a ticket is not there once, or has another requester than the one it must have",
        "SELECT format('%s/%s of %s: %s', r.account_id, r.id, r.owner, string_agg(t.requester_id::text, ' '))
         FROM chaos.tickets r LEFT JOIN chaos.all_tickets t USING (account_id, id)
         GROUP BY r.account_id, r.id, r.owner
         HAVING count(t.id) <> 1 OR min(t.requester_id) <> chaos.final(r.account_id, r.owner)",
    ),
    (
        "a ticket that nobody opened",
        "SELECT format('%s/%s', t.account_id, t.id) FROM chaos.all_tickets t
         LEFT JOIN chaos.tickets r USING (account_id, id) WHERE r.id IS NULL",
    ),
    (
        "T4, T5: a CC that is missing",
        "SELECT format('%s/%s of %s', account_id, ticket_id, who) FROM (
             SELECT c.account_id, c.ticket_id, chaos.final(c.account_id, c.user_id) AS who FROM chaos.ccs c
             EXCEPT SELECT account_id, ticket_id, chaos.final(account_id, user_id) FROM chaos.all_ccs
             EXCEPT SELECT account_id, id, requester_id FROM chaos.all_tickets
             -- Its requester until an agent gave it away: the CC may have gone before.
             EXCEPT SELECT account_id, id, chaos.final(account_id, first) FROM chaos.tickets WHERE given) missing",
    ),
    (
        "T5: a CC that nobody asked for",
        "SELECT format('%s/%s of %s', account_id, ticket_id, who) FROM (
             SELECT account_id, ticket_id, chaos.final(account_id, user_id) AS who FROM chaos.all_ccs
             EXCEPT SELECT account_id, ticket_id, chaos.final(account_id, user_id) FROM chaos.ccs) surplus",
    ),
    (
        "T4: a CC of a merged user on a ticket that is not archived",
        "SELECT format('%s/%s of %s', c.account_id, c.ticket_id, c.user_id) FROM helpdesk.ticket_ccs c
         JOIN helpdesk.users u ON (u.account_id, u.id) = (c.account_id, c.user_id) WHERE u.merged_into IS NOT NULL",
    ),
    (
        "T2: a ticket logged twice for one merge",
        "SELECT format('%s/%s %s times', account_id, ticket_id, count(*)) FROM helpdesk.ticket_events
         WHERE field = 'requester_id' GROUP BY account_id, ticket_id, merge_id HAVING count(*) > 1",
    ),
    (
        "T2: a ticket whose log doesn't lead from its first requester to its last",
        "SELECT format('%s/%s, user %s: %s', account_id, ticket_id, who, sum(n)) FROM (
             SELECT account_id, id AS ticket_id, owner AS who, 1 AS n FROM chaos.tickets
             UNION ALL SELECT account_id, id, requester_id, -1 FROM chaos.all_tickets
             UNION ALL SELECT account_id, ticket_id, new_value::bigint, 1 FROM helpdesk.ticket_events
                       WHERE field = 'requester_id'
             UNION ALL SELECT account_id, ticket_id, old_value::bigint, -1 FROM helpdesk.ticket_events
                       WHERE field = 'requester_id') flow
         WHERE NOT EXISTS (SELECT FROM chaos.tickets r WHERE (r.account_id, r.id) = (flow.account_id, ticket_id) AND given)
         GROUP BY account_id, ticket_id, who HAVING sum(n) <> 0",
    ),
    (
        "T2, T5: a CC whose coming and going is not in the log once",
        "SELECT format('%s/%s, user %s: %s', account_id, ticket_id, who, sum(n)) FROM (
             SELECT account_id, ticket_id, user_id AS who, times AS n FROM chaos.ccs
             UNION ALL SELECT account_id, ticket_id, user_id, -1 FROM chaos.all_ccs
             UNION ALL SELECT account_id, ticket_id, new_value::bigint, 1 FROM helpdesk.ticket_events
                       WHERE field = 'cc' AND new_value IS NOT NULL
             UNION ALL SELECT account_id, ticket_id, old_value::bigint, -1 FROM helpdesk.ticket_events
                       WHERE field = 'cc') flow
         GROUP BY account_id, ticket_id, who HAVING sum(n) <> 0",
    ),
    (
        "T2, T3: an entry of no completed merge, or one that fires triggers",
        "SELECT format('%s/%s', e.account_id, e.id) FROM helpdesk.ticket_events e
         LEFT JOIN user_merge.merges m ON (m.account_id, m.id) = (e.account_id, e.merge_id) AND m.state = 'completed'
         WHERE m.id IS NULL OR NOT e.suppress_triggers OR e.via <> 'user_merge'",
    ),
    (
        "T8: a merge that counts other than the log",
        "SELECT format('%s: counts %s, log %s', m.id, m.counted, count(e.id)) FROM (
             SELECT account_id, id, live + closed + archived + ccs_moved + ccs_deduplicated + late AS counted
             FROM user_merge.merges
             WHERE state = 'completed' AND outcome ->> 'already_merged' = 'false') m
         LEFT JOIN helpdesk.ticket_events e ON (e.account_id, e.merge_id) = (m.account_id, m.id)
         GROUP BY m.id, m.counted HAVING count(e.id) <> m.counted",
    ),
    (
        "P1, P3, P4, P15: an address, number or account with the wrong user",
        "SELECT format('%s/%s of %s', account_id, value, user_id) FROM (
             SELECT *, regexp_replace(value, '^(u|x|[+]4930)([0-9]+).*$', '\\2')::bigint AS first
             FROM helpdesk.user_identities) i
         WHERE user_id <> CASE kind WHEN 'x' THEN first ELSE chaos.final(account_id, first) END
            OR kind = 'email' AND is_primary <> (user_id = first)",
    ),
    (
        "P4: a user's addresses and numbers that are not there once",
        "SELECT format('%s: %s', account_id, count(*)) FROM helpdesk.user_identities i GROUP BY account_id
         HAVING count(*) <> (SELECT 3 * count(*) FROM helpdesk.users u WHERE u.account_id = i.account_id AND id >= 1000)",
    ),
    (
        "D1, D3: a user who is not in one hop where the merges lead",
        "SELECT format('%s/%s: %s', account_id, id, merged_into) FROM helpdesk.users
         WHERE coalesce(merged_into, id) <> chaos.final(account_id, id)
            OR user_merge.canonical_user(account_id, id) <> chaos.final(account_id, id)",
    ),
    (
        "P8, P10: a profile that lost or got what it must not",
        "SELECT format('%s/%s', account_id, id) FROM helpdesk.users
         WHERE id >= 1000 AND (name, tags, notes) <> ('user ' || id, ARRAY['t' || id], 'note')",
    ),
    (
        "D2: a message that was promised and not published",
        "SELECT format('%s/%s: %s', account_id, id, destination) FROM user_merge.outbox WHERE published_at IS NULL",
    ),
    (
        "D2: a merged user without exactly one promised deletion, or one for somebody else",
        "SELECT format('%s/%s: %s', account_id, who, count(n)) FROM (
             SELECT account_id, user_id AS who, NULL::bigint AS n FROM chaos.fate
             UNION ALL SELECT account_id, (body::jsonb ->> 'user_id')::bigint, id FROM user_merge.outbox
                       WHERE destination = 'deletion') promised
         GROUP BY account_id, who HAVING count(n) <> 1 OR count(*) <> 2",
    ),
    (
        "a merge without an end, or that holds its users after it",
        "SELECT format('%s: %s', id, state) FROM user_merge.merges
         WHERE state NOT IN ('completed', 'rejected') OR holds_users",
    ),
];

/// Everything that is wrong in the database, a few cases of each, after [`record_fate`].
pub async fn audit(connection: &mut PgConnection) -> Vec<String> {
    let mut wrong = Vec::new();
    for (what, sql) in LOOKS {
        let cases: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        if !cases.is_empty() {
            let first = cases[..cases.len().min(5)].join("; ");
            wrong.push(format!("{what}: {} cases, such as {first}", cases.len()));
        }
    }
    wrong
}

/// Writes down where the merges lead.
pub async fn record_fate(connection: &mut PgConnection, fate: &[(i64, i64, i64)]) {
    sqlx::raw_sql(FINAL)
        .execute(&mut *connection)
        .await
        .unwrap();
    for (account, user, end) in fate {
        sqlx::query("INSERT INTO chaos.fate VALUES ($1, $2, $3)")
            .bind(account)
            .bind(user)
            .bind(end)
            .execute(&mut *connection)
            .await
            .unwrap();
    }
}
