//! What has to be right in the end, whatever happened.

use std::collections::BTreeSet;

use super::scenario::Scenario;
use super::stage::{DEAD, LANE, RETRIES, Stage};
use crate::harness::{Message, Queues};

impl Stage {
    /// Once nobody works any more.
    pub async fn assert_all_is_right(&self) {
        self.ledger.assert_holds(&self.desk).await;
        assert_eq!(self.records().await, self.scenario.records());
        self.assert_rows_add_up().await;
        self.assert_deletions().await;
        self.assert_events().await;
        self.assert_queues().await;
        self.desk.assert_verified().await;
    }

    async fn assert_rows_add_up(&self) {
        // A late address is counted, and no ticket's log has it.
        let late_addresses = i64::from(self.scenario == Scenario::Late);
        let entries = "(SELECT count(*) FROM helpdesk.ticket_events e
                        WHERE e.account_id = m.account_id AND e.merge_id = m.id
                          AND via = 'user_merge' AND suppress_triggers)";
        let wrong = format!(
            "SELECT to_jsonb(m)::text FROM user_merge.merges m
             WHERE holds_users OR outcome IS NULL OR completed_at IS NULL
                OR live + closed + archived + ccs_moved + ccs_deduplicated + late
                   - CASE WHEN late > 0 THEN {late_addresses} ELSE 0 END <> {entries}"
        );
        assert_eq!(self.desk.list(&wrong).await, [""; 0]);
        let unknown = "SELECT count(*) FROM helpdesk.ticket_events e WHERE NOT EXISTS (
                           SELECT FROM user_merge.merges m WHERE m.account_id = e.account_id AND m.id = e.merge_id)";
        assert_eq!(self.desk.number(unknown).await, 0);
        let unpublished = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
        assert_eq!(self.desk.number(unpublished).await, 0);
    }

    /// D2: one for each merged user, always the same if it came twice.
    async fn assert_deletions(&self) {
        let messages = drain(&self.queues, "user-deletion.requests").await;
        let heard: BTreeSet<(String, Vec<u8>)> = messages
            .iter()
            .map(|message| {
                let key = message.json()["idempotency_key"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                assert_eq!(id(message), key);
                (key, message.body.clone())
            })
            .collect();
        let heard: Vec<&str> = heard.iter().map(|(key, _)| key.as_str()).collect();
        let merged = self.ledger.merged();
        let expected: Vec<String> = merged
            .map(|user| format!("user-deletion:1:{user}"))
            .collect();
        assert_eq!(heard, expected);
        let promised =
            "SELECT message_id FROM user_merge.outbox WHERE destination = 'deletion' ORDER BY 1";
        assert_eq!(self.desk.list(promised).await, expected);
    }

    /// Each outcome, and always the same one under the same message id.
    async fn assert_events(&self) {
        let events = self.queues.events().await;
        let heard: BTreeSet<(String, String)> = events
            .iter()
            .map(|event| {
                let word = |name| event.json()[name].as_str().unwrap().to_owned();
                (word("idempotency_key"), word("type"))
            })
            .collect();
        let heard: Vec<(&str, &str)> = heard
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(heard, self.scenario.events());
        let tellings: BTreeSet<(String, Vec<u8>)> = events
            .iter()
            // A refusal that no row holds is made anew each time, as of that time; so is a failure.
            .filter(|event| event.json()["type"] == "merge.completed")
            .map(|event| (id(event), event.body.clone()))
            .collect();
        let ids: BTreeSet<&String> = tellings.iter().map(|(id, _)| id).collect();
        assert_eq!(
            ids.len(),
            tellings.len(),
            "two stories under one message id"
        );
    }

    /// Nothing waits, and nothing is dead that was done.
    async fn assert_queues(&self) {
        for queue in [LANE, "user-merge.requests.bulk", RETRIES[0], RETRIES[1]] {
            assert_eq!(self.queues.count(queue).await, 0, "{queue}");
        }
        let dead = drain(&self.queues, DEAD).await;
        match self.scenario {
            Scenario::Unreadable => {
                assert!(!dead.is_empty());
                for message in dead {
                    assert_eq!(message.body, b"no request");
                    assert_eq!(message.header("x-reason").as_deref(), Some("not_json"));
                }
            }
            // The one that was replayed may have come twice.
            Scenario::GivenUp => assert!(dead.iter().all(|message| id(message) == "merge-1-2")),
            _ => assert!(dead.is_empty(), "{dead:?}"),
        }
    }
}

async fn drain(queues: &Queues, queue: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(message) = queues.peek(queue).await {
        messages.push(message);
    }
    messages
}

fn id(message: &Message) -> String {
    let id = message.properties.message_id().as_ref();
    id.expect("a message id").to_string()
}
