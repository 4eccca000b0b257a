//! The end of a run: no more faults, and everything comes to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fleet::{Fleet, Post};
use super::heard::Heard;
use super::load::{Sent, persistent, settled};
use super::stage::Stage;
use super::wire::{Taken, Wire};

const LANES: [&str; 2] = ["user-merge.requests", "user-merge.requests.bulk"];
const WAITING: [&str; 2] = ["user-merge.retry.1s", "user-merge.retry.2s"];
/// What waits, comes back or is still to be moved on, somewhere in the database.
const UNDONE: &str = "
    SELECT (SELECT count(*) FROM user_merge.merges WHERE state = 'running')
         + (SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL)
         + (SELECT count(*) FROM helpdesk.users u WHERE merged_into IS NOT NULL AND (
               EXISTS (SELECT FROM helpdesk.tickets t WHERE (t.account_id, t.requester_id) = (u.account_id, u.id))
               OR EXISTS (SELECT FROM helpdesk.archived_tickets t
                          WHERE (t.account_id, t.requester_id) = (u.account_id, u.id))
               OR EXISTS (SELECT FROM helpdesk.ticket_ccs c WHERE (c.account_id, c.user_id) = (u.account_id, u.id))))";

/// The operator's part: dead letters.
#[derive(Default)]
pub struct Operator {
    /// Those that nobody could read, as they lie in the dead-letter queue.
    pub unreadable: Vec<Taken>,
    /// Requests sent to their lane again, by reason.
    pub replayed: BTreeMap<String, u64>,
}

impl Operator {
    /// As the README's table says: what was given up, and what the broker moved there, goes to its lane again.
    async fn look_after(&mut self, wire: &mut Wire) {
        for letter in wire.take_all("user-merge.dead").await {
            let reason = letter.header("x-reason");
            let is_request = letter.json()["idempotency_key"].is_string()
                && letter.json()["source_user_id"].is_i64();
            if !is_request {
                self.unreadable.push(letter);
                continue;
            }
            let bulk = letter.header("x-lane").is_some_and(|lane| lane == "bulk");
            let key = letter.json()["idempotency_key"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            wire.publish(LANES[usize::from(bulk)], &letter.body, &persistent(&key))
                .await;
            let reason = reason.unwrap_or_else(|| "moved by the broker".to_owned());
            *self.replayed.entry(reason).or_default() += 1;
        }
    }
}

/// Waits, workers at work, until all is done; then stops them, and makes sure that nothing was in their hands. What
/// kept that from being so is wrong.
pub async fn drain(
    stage: &Stage,
    fleet: &Fleet,
    sent: &Sent,
    wire: &mut Wire,
    heard: &mut Heard,
) -> (Operator, Option<String>) {
    let mut operator = Operator::default();
    let mut left = String::new();
    for _ in 0..600 {
        operator.look_after(wire).await;
        heard.listen(stage, wire).await;
        let open = sent.keys - settled(stage).await;
        let undone = stage.number(UNDONE).await;
        let waiting = waiting(wire).await;
        left =
            format!("{open} requests open, {undone} undone in the database, {waiting:?} in queues");
        if (open, undone, waiting) == (0, 0, Some(0)) {
            for post in &fleet.posts {
                if let Some(status) = post.term().await.filter(|status| *status != 0) {
                    let wrong = format!("the last SIGTERM ended with {status}");
                    return (operator, Some(wrong));
                }
            }
            heard.listen(stage, wire).await;
            operator.look_after(wire).await;
            // What somebody had in hand is back by now.
            if self::waiting(wire).await == Some(0) && stage.number(UNDONE).await == 0 {
                return (operator, None);
            }
        }
        fleet.posts.iter().filter(|post| post.revive()).count();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    fleet.posts.iter().for_each(Post::kill);
    (operator, Some(format!("it never drained: {left}")))
}

async fn waiting(wire: &mut Wire) -> Option<u32> {
    let mut all = 0;
    for queue in LANES.into_iter().chain(WAITING) {
        all += wire.count(queue).await?;
    }
    Some(all)
}
