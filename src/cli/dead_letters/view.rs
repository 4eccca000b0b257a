//! What can be told about a dead letter in a line, and what it is selected by.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::broker::{Lane, Letter};
use crate::domain::AccountId;
use crate::message;

/// A dead letter without its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Its place in the queue; the first is 1.
    pub position: u64,
    /// `x-reason`, or the broker's own word; `None` where nobody gave one.
    pub reason: Option<String>,
    /// More about that, for people.
    pub detail: Option<String>,
    /// The lane that it came by, as far as that is known.
    pub lane: Option<Lane>,
    /// From the body; also from one that can't be read as a whole.
    pub account: Option<AccountId>,
    /// Likewise.
    pub key: Option<String>,
    /// Why a worker would not read it today.
    pub unreadable: Option<&'static str>,
    /// AMQP's own id.
    pub message_id: Option<String>,
    /// How often it was tried.
    pub attempts: Option<u32>,
    /// Since when it is dead.
    pub dead_since: Option<DateTime<Utc>>,
    /// Length of the body.
    pub bytes: usize,
}

impl View {
    pub(super) fn of(letter: &Letter) -> Self {
        let properties = &letter.properties;
        let message_id = properties.message_id.clone();
        let request = message::request::decode(&letter.body, message_id.as_deref());
        let (account, key) = match &request {
            Ok(request) => (
                Some(request.account_id),
                Some(request.idempotency_key.to_string()),
            ),
            Err(_) => glimpse(&letter.body),
        };
        let view = Self {
            position: letter.position,
            account,
            key,
            unreadable: request.err().map(|error| error.reason.label()),
            message_id,
            attempts: properties.attempts,
            bytes: letter.body.len(),
            ..Self::default()
        };
        // Where the broker moved it here, what the worker or a sender wrote before is about something else.
        match &letter.death {
            Some(death) => Self {
                reason: Some(death.reason.clone()),
                detail: Some(format!("moved here by the broker from {}", death.queue)),
                lane: properties.lane.or(death.lane),
                dead_since: death.time,
                ..view
            },
            None => Self {
                reason: properties.reason.clone(),
                detail: properties.detail.clone(),
                lane: properties.lane,
                dead_since: properties.dead_since,
                ..view
            },
        }
    }

    /// The same for machines.
    pub(super) fn json(&self) -> Value {
        json!({
            "position": self.position,
            "reason": self.reason,
            "detail": self.detail,
            "lane": self.lane.map(Lane::label),
            "account_id": self.account,
            "idempotency_key": self.key,
            "unreadable": self.unreadable,
            "message_id": self.message_id,
            "attempts": self.attempts,
            "dead_since": self.dead_since,
            "bytes": self.bytes,
        })
    }
}

/// Account and key of a body that is JSON, whatever else is wrong with it.
fn glimpse(body: &[u8]) -> (Option<AccountId>, Option<String>) {
    if body.len() > message::MAX_BYTES {
        return (None, None);
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return (None, None);
    };
    let account = value["account_id"].as_i64();
    (
        account.and_then(|id| AccountId::try_from(id).ok()),
        value["idempotency_key"].as_str().map(str::to_owned),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_glimpsed_at_as_far_as_it_goes() {
        let of = |body: &str| glimpse(body.as_bytes());
        let account = |id: i64| AccountId::try_from(id).ok();
        let whole = r#"{"account_id": 7, "idempotency_key": "k", "dry_run": true}"#;
        assert_eq!(of(whole), (account(7), Some("k".into())));
        assert_eq!(of(r#"{"account_id": "7"}"#), (None, None));
        assert_eq!(of(r#"{"account_id": -7}"#), (None, None));
        for broken in ["", "[1]", "7", "{", r#"{"account_id": 7"#] {
            assert_eq!(of(broken), (None, None), "{broken}");
        }
        let long = format!("{whole}{}", " ".repeat(message::MAX_BYTES));
        assert_eq!(of(&long), (None, None));
    }
}
