//! A help desk with many users to be merged, and a look at it afterwards that knows nothing of the worker: which
//! rows there must be is counted from the users' ids alone.
//!
//! Source `i` goes to a target that it shares with three others. It has `i % 4` tickets, and some have `LARGE`
//! ones; `i % 3` archived ones; a CC on somebody else's ticket; an e-mail address.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use user_merge::domain::MergeRequest;

use crate::harness::{eventually, key};

const LARGE: i64 = 2_000;
/// Tickets from here on are somebody else's.
const OTHERS: i64 = 900_000_000;

pub fn target(source: i64) -> i64 {
    1_000_000 + source / 4
}

/// The request to merge this source.
pub fn request(source: i64) -> MergeRequest {
    key(&format!("ledger-{source}"), source, target(source))
}

/// Makes these sources, and all that they have; one in so many is a large one.
pub async fn fill(pool: &PgPool, sources: RangeInclusive<i64>, one_in: i64) {
    let (first, last) = sources.into_inner();
    let sources = format!("generate_series({first}, {last}) i");
    let statements = format!(
        "INSERT INTO helpdesk.users (account_id, id, role, name, verified)
         SELECT 1, i, 'end_user', 'someone', true FROM {sources}
         UNION ALL SELECT 1, 1000000 + t, 'end_user', 'someone', true FROM generate_series({first} / 4, {last} / 4) t
         UNION ALL SELECT 1, 2000000, 'end_user', 'someone', true
         ON CONFLICT DO NOTHING;
         INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
         SELECT 1, i * 10000 + n, i, i, 'open', 'subject' FROM {sources},
             generate_series(1, CASE WHEN i % {one_in} = 0 THEN {LARGE} ELSE i % 4 END) n
         UNION ALL SELECT 1, {OTHERS} + i, 2000000, 2000000, 'open', 'subject' FROM {sources};
         INSERT INTO helpdesk.archived_tickets
             (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
         SELECT 1, i * 10000 + 5000 + n, i, i, 'closed', 'subject', now(), now()
         FROM {sources}, generate_series(1, i % 3) n;
         INSERT INTO helpdesk.ticket_ccs SELECT 1, {OTHERS} + i, i FROM {sources};
         INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary)
         SELECT 1, i, 'email', 'u' || i || '@example.com', true FROM {sources};
         ANALYZE helpdesk.users, helpdesk.tickets"
    );
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(pool)
        .await
        .unwrap();
}

/// How many merges are done; none where the database doesn't answer.
pub async fn completed(pool: &PgPool) -> Option<i64> {
    let completed = "SELECT count(*) FROM user_merge.merges WHERE state = 'completed'";
    sqlx::query_scalar(completed).fetch_one(pool).await.ok()
}

/// The same for the interactive and the bulk lane.
pub async fn completed_by_lane(pool: &PgPool) -> Option<[i64; 2]> {
    let completed =
        "SELECT count(*) FILTER (WHERE lane = 'interactive'), count(*) FILTER (WHERE lane = 'bulk')
                     FROM user_merge.merges WHERE state = 'completed'";
    let (interactive, bulk) = sqlx::query_as(completed).fetch_one(pool).await.ok()?;
    Some([interactive, bulk])
}

/// Waits until so many are done, and all that they promised is published.
pub async fn until_done(pool: &PgPool, asked: i64) {
    let unpublished = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
    eventually("all that was confirmed is done and told", || async {
        let left: i64 = sqlx::query_scalar(unpublished).fetch_one(pool).await.ok()?;
        (completed(pool).await? == asked && left == 0).then_some(())
    })
    .await;
}

/// Sources from 1 to `asked` are merged, and no others: every row is where it belongs, and every change is in the
/// log once.
pub async fn assert_merged_once(pool: &PgPool, asked: i64) {
    let source = format!("CASE WHEN id >= {OTHERS} THEN NULL ELSE id / 10000 END");
    let goes = format!("CASE WHEN i <= {asked} THEN 1000000 + i / 4 END");
    for (what, violations) in [
        (
            "a user that is not merged as it should be",
            format!(
                "SELECT count(*) FROM (SELECT id AS i, merged_into FROM helpdesk.users) u
                 WHERE merged_into IS DISTINCT FROM CASE WHEN i < 1000000 THEN {goes} END"
            ),
        ),
        (
            "a ticket with the wrong requester",
            format!(
                "SELECT count(*) FROM (SELECT {source} AS i, requester_id FROM helpdesk.tickets
                     UNION ALL SELECT {source}, requester_id FROM helpdesk.archived_tickets) t
                 WHERE requester_id <> coalesce({goes}, i, 2000000)"
            ),
        ),
        (
            "a CC of the wrong user",
            format!(
                "SELECT count(*) FROM (SELECT ticket_id - {OTHERS} AS i, user_id FROM helpdesk.ticket_ccs) c
                 WHERE user_id <> coalesce({goes}, i)"
            ),
        ),
        (
            "an address of the wrong user",
            format!(
                "SELECT count(*) FROM (SELECT substring(value FROM 'u(.*)@')::bigint AS i, user_id
                     FROM helpdesk.user_identities) c
                 WHERE user_id <> coalesce({goes}, i)"
            ),
        ),
        (
            "a change that is not in the log once",
            format!(
                "WITH moved AS (
                     SELECT id AS ticket, 'requester_id' AS field, {source} AS i FROM helpdesk.tickets
                     UNION ALL SELECT id, 'requester_id', {source} FROM helpdesk.archived_tickets
                     UNION ALL SELECT ticket_id, 'cc', ticket_id - {OTHERS} FROM helpdesk.ticket_ccs),
                 due AS (SELECT ticket, field, i::text AS old, ({goes})::text AS new FROM moved WHERE i <= {asked}),
                 log AS (SELECT ticket_id AS ticket, field, old_value AS old, new_value AS new
                     FROM helpdesk.ticket_events)
                 SELECT count(*) FROM ((TABLE due EXCEPT ALL TABLE log) UNION ALL (TABLE log EXCEPT ALL TABLE due)) d"
            ),
        ),
        (
            "a merge that is not on record once, and completed",
            format!(
                "SELECT count(*) FROM generate_series(1, {asked}) i FULL JOIN user_merge.merges m
                     ON m.idempotency_key = 'ledger-' || i
                 WHERE m.state IS DISTINCT FROM 'completed' OR i IS NULL"
            ),
        ),
        (
            "a message that is not promised once and published",
            format!(
                "SELECT count(*) FROM generate_series(1, {asked}) i FULL JOIN
                     (SELECT message_id, count(*) AS rows, bool_and(published_at IS NOT NULL) AS published
                      FROM user_merge.outbox WHERE destination = 'deletion' GROUP BY 1) o
                     ON o.message_id = 'user-deletion:1:' || i
                 WHERE i IS NULL OR rows IS DISTINCT FROM 1 OR NOT published"
            ),
        ),
        (
            "an unpublished message",
            "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL".to_owned(),
        ),
    ] {
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(violations))
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(found, 0, "{what}");
    }
}

/// The deletion queue has exactly the sources from 1 to `asked`, and says of each where it went.
pub fn assert_deletions(messages: &[Value], asked: i64) {
    let found: BTreeSet<(i64, i64)> = messages
        .iter()
        .map(|message| {
            let (user, into) = (&message["user_id"], &message["merged_into"]);
            assert_eq!(
                message["idempotency_key"],
                format!("user-deletion:1:{user}")
            );
            (user.as_i64().unwrap(), into.as_i64().unwrap())
        })
        .collect();
    let due: BTreeSet<(i64, i64)> = (1..=asked).map(|source| (source, target(source))).collect();
    let wrong: Vec<_> = found.symmetric_difference(&due).collect();
    assert!(wrong.is_empty(), "on the deletion queue: {wrong:?}");
}

/// Each of the sources from 1 to `asked` was told of as completed, and nothing else was told.
pub fn assert_told(events: &[Value], asked: i64) {
    let told: BTreeSet<i64> = events
        .iter()
        .map(|event| {
            assert_eq!(event["type"], "merge.completed", "{event}");
            event["source_user_id"].as_i64().unwrap()
        })
        .collect();
    let due = (1..=asked).collect();
    let wrong: Vec<_> = told.symmetric_difference(&due).collect();
    assert!(wrong.is_empty(), "told of: {wrong:?}");
}
