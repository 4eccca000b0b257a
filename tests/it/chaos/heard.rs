//! What upstream and the deletion pipeline get to hear, read from the queues while it comes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::stage::Stage;
use super::wire::{HEARD, Taken, Wire};

/// A request as an event names it: account, key, source, target.
pub type Asked = (i64, String, i64, i64);

/// All messages so far.
#[derive(Default)]
pub struct Heard {
    /// The settled outcomes announced for each request: there must be one, however often it is announced.
    pub outcomes: BTreeMap<Asked, BTreeSet<String>>,
    /// The bodies that came under each deletion key.
    pub deletions: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// Events and deletion messages, repeats included.
    pub events: u64,
    pub deletion_messages: u64,
    /// Merges announced as given up, before an operator sent them again.
    pub failures: u64,
    /// What must never be heard.
    pub wrong: Vec<String>,
}

impl Heard {
    /// Reads what there is now.
    pub async fn listen(&mut self, stage: &Stage, wire: &mut Wire) {
        for event in wire.take_all(HEARD).await {
            self.event(&event);
        }
        for deletion in wire.take_all("user-deletion.requests").await {
            self.deletion(stage, deletion).await;
        }
    }

    fn event(&mut self, message: &Taken) {
        self.events += u64::from(!message.redelivered);
        let event = message.json();
        let number = |field: &str| event[field].as_i64().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let asked = (
            number("account_id"),
            text(&event["idempotency_key"]),
            number("source_user_id"),
            number("target_user_id"),
        );
        let outcome = match event["type"].as_str() {
            Some("merge.completed") if event["already_merged"] == true => {
                "already merged".to_owned()
            }
            Some("merge.completed") => format!("completed as {}", text(&event["merge_id"])),
            Some("merge.rejected") => text(&event["rejection"]["reason"]),
            Some("merge.failed") => {
                self.failures += 1;
                return;
            }
            _ => {
                self.wrong.push(format!("no event: {event}"));
                return;
            }
        };
        self.outcomes.entry(asked).or_default().insert(outcome);
    }

    /// D2: never before the merge has committed.
    async fn deletion(&mut self, stage: &Stage, message: Taken) {
        self.deletion_messages += u64::from(!message.redelivered);
        let request = message.json();
        let (account, user) = (&request["account_id"], &request["user_id"]);
        let key = format!("user-deletion:{account}:{user}");
        if request["idempotency_key"] != key.as_str() {
            self.wrong
                .push(format!("deletion under another key: {request}"));
        }
        let sql = format!(
            "SELECT count(*) FROM helpdesk.users
             WHERE account_id = {account} AND id = {user} AND merged_into IS NOT NULL"
        );
        if stage.number(&sql).await != 1 {
            self.wrong
                .push(format!("{key} of a user who is not merged"));
        }
        self.deletions.entry(key).or_default().insert(message.body);
    }
}
