//! Promised messages: published in time, and no deletion but of the source of a merge.

use serde_json::{Value, json};

use super::{Check, Finding, Report};
use crate::domain::AccountId;
use crate::store::verify::{OutboxFacts, Owner};

pub(super) fn judge(report: &mut Report, account: AccountId, message: &OutboxFacts) {
    let about = || Finding::of(account, message.merge);
    report.expect(Check::Unpublished, !message.is_overdue, about());
    let Some((message_id, body)) = &message.deletion else {
        return;
    };
    let Some(owner) = message.owner else {
        // Whom it asks to delete is in a body that nobody vouches for.
        report.expect(Check::DeletionUnfounded, false, about());
        return;
    };
    report.checked(Check::DeletionUnfounded);
    let is_right = *message_id == key(account, owner) && fits(body, account, message, owner);
    report.expect(Check::DeletionWrong, is_right, about().user(owner.source));
}

fn key(account: AccountId, owner: Owner) -> String {
    format!("user-deletion:{account}:{}", owner.source)
}

/// Whether it asks for the deletion of this merge's source and keeps its contributions (rules D2, P14).
fn fits(body: &str, account: AccountId, message: &OutboxFacts, owner: Owner) -> bool {
    let Ok(body) = serde_json::from_str::<Value>(body) else {
        return false;
    };
    [
        ("schema_version", json!(1)),
        ("idempotency_key", json!(key(account, owner))),
        ("account_id", json!(account)),
        ("user_id", json!(owner.source)),
        ("reason", json!("merged")),
        ("merged_into", json!(owner.target)),
        ("merge_id", json!(message.merge)),
        ("keep_contributions", json!(true)),
    ]
    .iter()
    .all(|(field, value)| body.get(field) == Some(value))
}
