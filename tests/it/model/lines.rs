//! A help desk as sorted lines: what the model says, and what the tables say, in the same words.

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::{Account, Request, User};
use crate::harness::{Desk, key};

/// Users from 1 to this are in the lines, whether they are there or not.
pub const USERS: i64 = 7;

impl Account {
    /// Every row that the rules speak of.
    pub fn lines(&self) -> Vec<String> {
        let a = self.id;
        let mut lines: Vec<String> = self.log.iter().map(|line| format!("{a} {line}")).collect();
        lines.extend(self.messages.iter().map(|line| format!("{a} {line}")));
        for (id, user) in &self.users {
            lines.push(format!("{a} {}", user.line(*id)));
            for (organization, is_default) in &user.organizations {
                lines.push(format!("{a} member: {id} of {organization} {is_default}"));
            }
        }
        for (id, i) in &self.identities {
            lines.push(format!(
                "{a} identity: {id} of {} {} {} {} {}",
                i.user, i.kind, i.value, i.is_primary, i.verified
            ));
        }
        for (id, t) in &self.tickets {
            let place = t.table().trim_start_matches("helpdesk.");
            let organization = t.organization.unwrap_or(0);
            let ccs: Vec<String> = t.ccs.iter().map(ToString::to_string).collect();
            lines.push(format!(
                "{a} ticket: {id} in {place} of {} by {} {organization} {} for {}",
                t.requester,
                t.submitter,
                t.status,
                ccs.join(",")
            ));
        }
        for (key, m) in &self.merges {
            let n = m.moved;
            // Settled merges tell their tries in the event.
            let attempts = if m.state == "running" { m.attempts } else { 0 };
            lines.push(format!(
                "{a} merge: {key} {}>{} {} {} {} {} {} {} {} late {} tries {attempts}",
                m.source,
                m.target,
                m.state,
                m.holds_users,
                n.live,
                n.closed,
                n.archived,
                n.ccs_given,
                n.ccs_dropped,
                m.late
            ));
        }
        for user in 1..=USERS {
            let today = self.today(user).unwrap_or(0);
            lines.push(format!("{a} today: {user} is {today}"));
        }
        lines.sort();
        lines
    }
}

impl User {
    fn line(&self, id: i64) -> String {
        format!(
            "user: {id} {} {} {} {} [{}] {} {} {} {}",
            self.role,
            self.verified,
            self.suspended,
            self.deleted,
            self.external_id.unwrap_or("none"),
            self.tags,
            self.notes,
            self.default_organization.unwrap_or(0),
            self.merged_into.unwrap_or(0)
        )
    }
}

impl Request {
    /// As the worker gets it.
    pub fn message(&self) -> user_merge::domain::MergeRequest {
        user_merge::domain::MergeRequest {
            account_id: self.account.try_into().unwrap(),
            ..key(&self.key, self.source, self.target)
        }
    }

    pub fn body(&self) -> Vec<u8> {
        user_merge::message::request::encode(&self.message())
    }
}

const ROWS: &str = "
    SELECT account_id || ' user: ' || concat_ws(' ', id, role, verified::text, suspended::text,
        (deleted_at IS NOT NULL)::text, '[' || coalesce(external_id, 'none') || ']', cardinality(tags),
        (coalesce(notes, '') <> '')::text, coalesce(organization_id, 0), coalesce(merged_into, 0))
        || CASE WHEN (merged_into IS NULL) <> (merged_at IS NULL) THEN ' without a time' ELSE '' END
        || CASE WHEN name <> 'user ' || id THEN ' with another name' ELSE '' END AS line
    FROM helpdesk.users
    UNION ALL
    SELECT account_id || ' member: ' || user_id || ' of ' || organization_id || ' ' || is_default::text
    FROM helpdesk.organization_memberships
    UNION ALL
    SELECT account_id || ' identity: ' || concat_ws(' ', id, 'of', user_id, kind, value, is_primary::text,
        verified::text)
    FROM helpdesk.user_identities
    UNION ALL
    SELECT account_id || ' ticket: ' || concat_ws(' ', id, 'in', place, 'of', requester_id, 'by', submitter_id,
        coalesce(organization_id, 0), status, 'for ') || coalesce((
            SELECT string_agg(c.user_id::text, ',' ORDER BY c.user_id)
            FROM (SELECT 'tickets' AS place, * FROM helpdesk.ticket_ccs
                  UNION ALL SELECT 'archived_tickets', * FROM helpdesk.archived_ticket_ccs) c
            WHERE c.place = t.place AND c.account_id = t.account_id AND c.ticket_id = t.id), '')
    FROM (SELECT 'tickets' AS place, account_id, id, requester_id, submitter_id, organization_id, status
          FROM helpdesk.tickets
          UNION ALL
          SELECT 'archived_tickets', account_id, id, requester_id, submitter_id, organization_id, status
          FROM helpdesk.archived_tickets) t
    UNION ALL
    SELECT e.account_id || ' entry: ticket ' || e.ticket_id || ' ' || e.field || ' ' || e.old_value || '>'
        || coalesce(e.new_value, '') || ' via ' || e.via || ' ' || e.suppress_triggers::text || ' by '
        || coalesce(m.idempotency_key, 'none')
    FROM helpdesk.ticket_events e
    LEFT JOIN user_merge.merges m ON m.account_id = e.account_id AND m.id = e.merge_id
    UNION ALL
    SELECT account_id || ' merge: ' || concat_ws(' ', idempotency_key, source_user_id || '>' || target_user_id,
        state, holds_users::text, live, closed, archived, ccs_moved, ccs_deduplicated, 'late', late, 'tries',
        CASE state WHEN 'running' THEN attempts ELSE 0 END)
    FROM user_merge.merges
    UNION ALL
    SELECT a.id || ' today: ' || u.id || ' is ' || coalesce(user_merge.canonical_user(a.id, u.id), 0)
    FROM helpdesk.accounts a CROSS JOIN generate_series(1, $1) AS u (id)";

/// What the tables say.
pub async fn read(desk: &Desk) -> Vec<String> {
    let mut lines: Vec<String> = sqlx::query_scalar(ROWS)
        .bind(i32::try_from(USERS).unwrap())
        .fetch_all(&desk.pool)
        .await
        .unwrap();
    let keys: Vec<(String, String)> =
        sqlx::query_as("SELECT id::text, idempotency_key FROM user_merge.merges")
            .fetch_all(&desk.pool)
            .await
            .unwrap();
    let keys: BTreeMap<String, String> = keys.into_iter().collect();
    let messages: Vec<(i64, String, String, Option<Value>, String)> = sqlx::query_as(
        "SELECT account_id, destination, message_id, headers, body FROM user_merge.outbox
         WHERE destination IN ('deletion', 'event', 'dead')",
    )
    .fetch_all(&desk.pool)
    .await
    .unwrap();
    for (account, destination, id, headers, body) in messages {
        let told = match destination.as_str() {
            "dead" => dead(&id, &headers.unwrap(), &body),
            "deletion" => deletion(&keys, &id, &body),
            _ => event(&keys, &body),
        };
        lines.push(format!("{account} message: {destination} {told}"));
    }
    lines.sort();
    lines
}

fn dead(id: &str, headers: &Value, body: &str) -> String {
    let text = |name: &str| headers[name].as_str().unwrap().to_owned();
    format!(
        "{id} {} after {} {body}",
        text("x-reason"),
        text("x-attempts")
    )
}

fn merge_of(keys: &BTreeMap<String, String>, body: &Value) -> String {
    let id = body["merge_id"].as_str().unwrap();
    keys.get(id).cloned().unwrap_or_else(|| "none".to_owned())
}

fn deletion(keys: &BTreeMap<String, String>, id: &str, body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["idempotency_key"], id);
    assert_eq!(
        (&body["reason"], &body["keep_contributions"]),
        (&"merged".into(), &true.into())
    );
    let by = merge_of(keys, &body);
    format!(
        "{id} of {} into {} by {by}",
        body["user_id"], body["merged_into"]
    )
}

fn event(keys: &BTreeMap<String, String>, body: &str) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body["merge_id"] = merge_of(keys, &body).into();
    let fields = body.as_object_mut().unwrap();
    for name in ["schema_version", "accepted_at", "completed_at"] {
        assert!(fields.remove(name).is_some(), "{name} is missing");
    }
    format!("{} {body}", body["type"].as_str().unwrap())
}
