//! Each invariant, broken by one statement as a mistake by hand would: its code and the ids are reported, and
//! nothing else.

use serde_json::{Value, json};

use super::lived_in::lived_in;
use crate::harness::found;

/// A mistake: what was done, the code, the key of the merge that it is about, and what else the finding names.
struct Mistake {
    sql: &'static str,
    code: &'static str,
    merge: &'static str,
    names: Value,
}

fn mistake(code: &'static str, merge: &'static str, names: Value, sql: &'static str) -> Mistake {
    Mistake {
        sql,
        code,
        merge,
        names,
    }
}

/// What is left with a merged user.
fn left() -> Vec<Mistake> {
    vec![
        mistake(
            "left_ticket",
            "merge-1-2",
            json!({"user_id": 1, "ticket_id": 40}),
            "UPDATE helpdesk.tickets SET requester_id = 1 WHERE account_id = 1 AND id = 40",
        ),
        mistake(
            "left_archived_ticket",
            "merge-3-4",
            json!({"user_id": 3, "ticket_id": 30}),
            "UPDATE helpdesk.archived_tickets SET requester_id = 3 WHERE account_id = 1 AND id = 30",
        ),
        mistake(
            "left_cc",
            "merge-7-6",
            json!({"user_id": 7, "ticket_id": 44}),
            "INSERT INTO helpdesk.ticket_ccs VALUES (1, 44, 7)",
        ),
        mistake(
            "left_email",
            "merge-8-6",
            json!({"user_id": 8, "identity_id": 900}),
            "INSERT INTO helpdesk.user_identities (account_id, id, user_id, kind, value)
             VALUES (1, 900, 8, 'email', 'eight@example.com')",
        ),
        mistake(
            "email_twice",
            "merge-3-4",
            json!({"user_id": 4, "identity_id": 901}),
            "DROP INDEX helpdesk.user_identities_value;
             INSERT INTO helpdesk.user_identities (account_id, id, user_id, kind, value)
             VALUES (1, 900, 4, 'email', 'four@example.com'), (1, 901, 4, 'email', 'Four@EXAMPLE.com')",
        ),
    ]
}

/// What the log says.
fn log() -> Vec<Mistake> {
    vec![
        mistake(
            "log_missing",
            "merge-3-4",
            json!({"expected": 22, "found": 21}),
            "DELETE FROM helpdesk.ticket_events WHERE account_id = 1 AND ticket_id = 104",
        ),
        mistake(
            "log_missing",
            "merge-3-4",
            json!({"expected": 22, "found": 21}),
            "DELETE FROM helpdesk.ticket_events
             WHERE account_id = 1 AND ticket_id = 43 AND field = 'cc' AND old_value = '3'",
        ),
        mistake(
            "log_extra",
            "merge-3-4",
            json!({"expected": 22, "found": 23, "ticket_id": 104}),
            "INSERT INTO helpdesk.ticket_events (account_id, ticket_id, field, old_value, new_value, via, merge_id,
                 suppress_triggers)
             SELECT account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers
             FROM helpdesk.ticket_events WHERE account_id = 1 AND ticket_id = 104",
        ),
        // Later, by the sweep's way, one too many.
        mistake(
            "log_extra",
            "merge-7-6",
            json!({"expected": 2, "found": 8}),
            "INSERT INTO helpdesk.ticket_events (account_id, ticket_id, field, old_value, new_value, via, merge_id,
                 suppress_triggers)
             SELECT 1, ticket, 'requester_id', '7', '6', 'user_merge', id, true
             FROM user_merge.merges, generate_series(500, 502) ticket
             WHERE idempotency_key = 'merge-7-6'",
        ),
        mistake(
            "log_twice",
            "merge-3-4",
            json!({"ticket_id": 105}),
            "UPDATE helpdesk.ticket_events SET ticket_id = 105 WHERE account_id = 1 AND ticket_id = 104",
        ),
        mistake(
            "log_users",
            "merge-1-2",
            json!({"ticket_id": 11}),
            "UPDATE helpdesk.ticket_events SET old_value = '99'
             WHERE account_id = 1 AND ticket_id = 11 AND field = 'requester_id' AND old_value = '1'",
        ),
        mistake(
            "log_users",
            "merge-3-4",
            json!({"ticket_id": 104}),
            "UPDATE helpdesk.ticket_events SET new_value = '99' WHERE account_id = 1 AND ticket_id = 104",
        ),
        mistake(
            "log_users",
            "merge-1-2",
            json!({"ticket_id": 40}),
            "UPDATE helpdesk.ticket_events SET old_value = '99' WHERE account_id = 1 AND ticket_id = 41
                 AND field = 'cc' AND old_value = '1';
             UPDATE helpdesk.ticket_events SET old_value = '99' WHERE account_id = 1 AND ticket_id = 40
                 AND field = 'cc' AND old_value = '1'",
        ),
        mistake(
            "log_triggers",
            "merge-1-2",
            json!({"ticket_id": 40}),
            "UPDATE helpdesk.ticket_events SET suppress_triggers = false
             WHERE account_id = 1 AND ticket_id = 40 AND field = 'cc' AND old_value = '1'",
        ),
    ]
}

/// Who leads where, and who is held.
fn users() -> Vec<Mistake> {
    vec![
        mistake(
            "source_not_merged",
            "merge-3-4",
            json!({"user_id": 3}),
            "UPDATE helpdesk.users SET merged_into = NULL WHERE account_id = 1 AND id = 3",
        ),
        mistake(
            "wrong_target",
            "merge-3-4",
            json!({"user_id": 3}),
            "UPDATE helpdesk.users SET merged_into = 40 WHERE account_id = 1 AND id = 3",
        ),
        mistake(
            "points_to_merged",
            "merge-3-4",
            json!({"user_id": 40}),
            "UPDATE helpdesk.users SET merged_into = 3 WHERE account_id = 1 AND id = 40",
        ),
        mistake(
            "same_user",
            "merge-13-14",
            json!({"user_id": 14}),
            "UPDATE user_merge.merges SET source_user_id = 14, holds_users = true
             WHERE account_id = 1 AND idempotency_key = 'merge-13-14'",
        ),
        mistake(
            "ended_holds",
            "merge-10-2",
            json!({"user_id": 10}),
            "ALTER TABLE user_merge.merges DROP CONSTRAINT merges_check;
             UPDATE user_merge.merges SET holds_users = true WHERE account_id = 1 AND idempotency_key = 'merge-10-2'",
        ),
        mistake(
            "stale_running",
            "merge-15-16",
            json!({"user_id": 15}),
            "UPDATE user_merge.merges SET updated_at = now() - interval '3 hours'
             WHERE account_id = 1 AND state = 'running'",
        ),
        // The other one that failed holds nobody.
        mistake(
            "stale_failed",
            "merge-11-12",
            json!({"user_id": 11}),
            "UPDATE user_merge.merges SET updated_at = now() - interval '3 hours'
             WHERE account_id = 1 AND state = 'failed'",
        ),
    ]
}

/// What was promised.
fn messages() -> Vec<Mistake> {
    vec![
        mistake(
            "deletion_missing",
            "merge-3-4",
            json!({"user_id": 3, "expected": 1, "found": 0}),
            "DELETE FROM user_merge.outbox WHERE account_id = 1 AND message_id = 'user-deletion:1:3'",
        ),
        mistake(
            "deletion_twice",
            "merge-3-4",
            json!({"user_id": 3, "expected": 1, "found": 2}),
            "INSERT INTO user_merge.outbox (account_id, merge_id, destination, message_id, body, claimed_until)
             SELECT account_id, merge_id, destination, message_id, body, now() FROM user_merge.outbox
             WHERE account_id = 1 AND message_id = 'user-deletion:1:3'",
        ),
        mistake(
            "deletion_wrong",
            "merge-3-4",
            json!({"user_id": 3}),
            "UPDATE user_merge.outbox SET message_id = 'user-deletion:1:4'
             WHERE account_id = 1 AND message_id = 'user-deletion:1:3'",
        ),
        mistake(
            "deletion_wrong",
            "merge-3-4",
            json!({"user_id": 3}),
            r#"UPDATE user_merge.outbox SET body = replace(body, '"user_id":3', '"user_id":4')
             WHERE account_id = 1 AND message_id = 'user-deletion:1:3'"#,
        ),
        mistake(
            "deletion_wrong",
            "merge-3-4",
            json!({"user_id": 3}),
            "UPDATE user_merge.outbox SET body = left(body, 40)
             WHERE account_id = 1 AND message_id = 'user-deletion:1:3'",
        ),
        mistake(
            "deletion_unfounded",
            "once more",
            json!({}),
            "INSERT INTO user_merge.outbox (account_id, merge_id, destination, message_id, body, claimed_until)
             SELECT o.account_id, m.id, o.destination, o.message_id, o.body, now()
             FROM user_merge.outbox o JOIN user_merge.merges m ON m.idempotency_key = 'once more'
             WHERE o.account_id = 1 AND o.message_id = 'user-deletion:1:3'",
        ),
        mistake(
            "unpublished",
            "merge-3-4",
            json!({}),
            "UPDATE user_merge.outbox SET published_at = NULL
             WHERE account_id = 1 AND message_id = 'user-deletion:1:3'",
        ),
        mistake(
            "outcome_wrong",
            "merge-10-2",
            json!({"user_id": 10}),
            "UPDATE user_merge.merges SET rejection = 'target_deleted' WHERE idempotency_key = 'merge-10-2'",
        ),
        mistake(
            "outcome_wrong",
            "merge-8-6",
            json!({"user_id": 8}),
            r#"UPDATE user_merge.merges SET outcome = outcome || '{"target_user_id": 5}'
               WHERE idempotency_key = 'merge-8-6'"#,
        ),
        mistake(
            "event_missing",
            "merge-10-2",
            json!({"user_id": 10}),
            "DELETE FROM user_merge.outbox WHERE destination = 'event'
             AND merge_id = (SELECT id FROM user_merge.merges WHERE idempotency_key = 'merge-10-2')",
        ),
        mistake(
            "dead_letter_missing",
            "merge-13-14",
            json!({"user_id": 13}),
            "DELETE FROM user_merge.outbox WHERE destination = 'dead' AND message_id = 'merge-13-14'",
        ),
    ]
}

async fn assert_found(mistakes: Vec<Mistake>) {
    let untouched = lived_in().await;
    for Mistake {
        sql,
        code,
        merge,
        names,
    } in mistakes
    {
        let desk = untouched.copy().await;
        let id = format!(
            "SELECT id::text FROM user_merge.merges WHERE account_id = 1 AND idempotency_key = '{merge}'"
        );
        let id = desk.text(&id).await;
        desk.execute(sql).await;
        let mut expected = names;
        expected["account_id"] = json!(1);
        expected["merge_id"] = json!(id);
        let report = desk.verify().await;
        let found: Vec<_> = found(&report)
            .into_iter()
            .map(|(check, finding)| (check.code(), serde_json::to_value(finding).unwrap()))
            .collect();
        assert_eq!(found, [(code, expected)], "{sql}");
    }
}

#[tokio::test]
async fn d1_what_is_left_with_a_merged_user_is_found() {
    assert_found(left()).await;
}

#[tokio::test]
async fn t2_t3_what_is_wrong_in_the_log_is_found() {
    assert_found(log()).await;
}

#[tokio::test]
async fn a10_d3_users_who_lead_astray_or_are_held_are_found() {
    assert_found(users()).await;
}

#[tokio::test]
async fn d2_r1_r7_what_is_wrong_with_messages_and_records_is_found() {
    assert_found(messages()).await;
}

/// A10: both of them are named.
#[tokio::test]
async fn a10_unfinished_merges_that_share_users_are_found() {
    let untouched = lived_in().await;
    for (source, target) in [(15, 40), (40, 15), (16, 40)] {
        let desk = untouched.copy().await;
        desk.execute("DROP INDEX user_merge.merges_held_source")
            .await;
        desk.execute(&format!(
            "INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id, lane, state,
                 holds_users)
             VALUES (1, gen_random_uuid(), 'other', {source}, {target}, 'bulk', 'running', true)"
        ))
        .await;
        let id = |key: &str| {
            format!("SELECT id::text FROM user_merge.merges WHERE idempotency_key = '{key}'")
        };
        let (one, other) = (
            desk.text(&id("merge-15-16")).await,
            desk.text(&id("other")).await,
        );
        let mut named: Vec<_> = found(&desk.verify().await)
            .into_iter()
            .map(|(check, finding)| {
                let other = finding.other_merge_id.map(|id| id.to_string());
                (check.code(), Some(finding.merge_id.to_string()), other)
            })
            .collect();
        named.sort();
        let mut expected = [
            ("conflict", one.clone(), other.clone()),
            ("conflict", other, one),
        ];
        expected.sort();
        assert_eq!(named, expected, "{source} into {target}");
    }
}

/// T4: on archived tickets CCs count only where they move, and only while the sweep would move them: the setting may
/// have been another at the time of the merge.
#[tokio::test]
async fn t4_ccs_on_archived_tickets_count_where_they_move() {
    let mut desk = lived_in().await;
    desk.execute(
        "DELETE FROM helpdesk.archived_ticket_ccs WHERE account_id = 1;
         INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 33, 3), (1, 33, 8)",
    )
    .await;
    desk.assert_verified().await;
    desk.settings.merge.move_archived_ccs = true;
    let report = desk.verify().await;
    let found: Vec<_> = found(&report)
        .into_iter()
        .map(|(check, finding)| (check.code(), finding.user_id, finding.ticket_id))
        .collect();
    assert_eq!(
        found,
        [("left_archived_cc", Some(8), Some(33))],
        "3 was merged long ago"
    );
}
