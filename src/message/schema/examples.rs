//! One example of each kind of message, for the schemas. Ids and keys are made up.

use serde_json::{Value, json};

const MERGE_ID: &str = "019352a0-7c00-7000-8000-000000000001";
const KEY: &str = "crm-2026-11-22-000123";

pub(super) fn merge_requests() -> Value {
    json!([
        {
            "schema_version": 1,
            "idempotency_key": KEY,
            "account_id": 42,
            "source_user_id": 1001,
            "target_user_id": 1002,
            "requested_by": "agent:77",
            "reason": "same person, second address",
        },
        {
            "schema_version": 1,
            "idempotency_key": "backfill-7/000001",
            "account_id": 42,
            "source_user_id": 1003,
            "target_user_id": 1002,
        },
    ])
}

pub(super) fn deletion_requests() -> Value {
    json!([{
        "schema_version": 1,
        "idempotency_key": "user-deletion:42:1001",
        "account_id": 42,
        "user_id": 1001,
        "reason": "merged",
        "merged_into": 1002,
        "merge_id": MERGE_ID,
        "merged_at": "2026-11-22T09:00:00Z",
        "keep_contributions": true,
    }])
}

pub(super) fn outcome_events() -> Value {
    let completed = json!({
        "tickets": { "live": 12, "closed": 30, "archived": 400 },
        "ccs": { "moved": 3, "deduplicated": 1 },
        "profile": {
            "emails_added": 1,
            "phones_added": 1,
            "organizations_added": 0,
            "dropped": { "tags": 2, "notes": 1, "x": 1 },
        },
    });
    let rejected = json!({
        "rejection": { "reason": "source_merged_elsewhere", "canonical_user_id": 1007 },
    });
    let failed = json!({
        "failure": { "reason": "lock_timeout", "sqlstate": "55P03" },
        "tickets": { "live": 12, "closed": 30, "archived": 0 },
        "ccs": { "moved": 0, "deduplicated": 0 },
        "attempts": 8,
    });
    json!([
        event("merge.completed", completed),
        event("merge.rejected", rejected),
        event("merge.failed", failed),
    ])
}

fn event(kind: &str, parts: Value) -> Value {
    let mut event = json!({
        "schema_version": 1,
        "type": kind,
        "merge_id": MERGE_ID,
        "idempotency_key": KEY,
        "account_id": 42,
        "source_user_id": 1001,
        "target_user_id": 1002,
        "requested_by": "agent:77",
        "already_merged": false,
        "attempts": 1,
        "accepted_at": "2026-11-22T08:59:58.250Z",
        "completed_at": "2026-11-22T09:00:00Z",
    });
    if let (Value::Object(fields), Value::Object(parts)) = (&mut event, parts) {
        fields.extend(parts);
    }
    event
}
