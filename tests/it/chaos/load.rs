//! Sends the plan, group by group, as fast as the workers settle it.

use std::time::Duration;

use lapin::BasicProperties;
use tokio_util::sync::CancellationToken;
use user_merge::message::request::encode;

use crate::harness::key;

use super::helpdesk::HelpDesk;
use super::plan::{Group, Plan};
use super::size::Size;
use super::stage::Stage;
use super::wire::Wire;

/// Every kind of group comes once among so many.
const AT_LEAST: usize = 15;

/// What was sent.
#[derive(Default)]
pub struct Sent {
    pub groups: Vec<Group>,
    /// Messages that the broker has confirmed.
    pub messages: u64,
    /// Publishes that it has not, and that were therefore repeated.
    pub unconfirmed: u64,
    /// Different keys.
    pub keys: i64,
}

/// Sends until it is to stop, but every kind of group at least once.
pub async fn send(
    stage: &Stage,
    size: Size,
    mut plan: Plan,
    desk: &HelpDesk,
    stop: &CancellationToken,
) -> Sent {
    let mut wire = Wire::new(&stage.broker);
    let mut sent = Sent::default();
    while !stop.is_cancelled() || sent.groups.len() < AT_LEAST {
        if sent.keys - settled(stage).await >= size.backlog && !stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let group = plan.next();
        stage.people(&group).await;
        desk.turn_to(&group);
        publish(&group, &mut wire, &mut sent).await;
        sent.groups.push(group);
    }
    sent
}

async fn publish(group: &Group, wire: &mut Wire, sent: &mut Sent) {
    let most = group.asks.iter().map(|ask| ask.copies).max().unwrap_or(0);
    let mut keys = Vec::new();
    for round in 0..most {
        for ask in group.asks.iter().filter(|ask| round < ask.copies) {
            let mut request = key(&ask.key, ask.source, ask.target);
            request.account_id = group.account.try_into().unwrap();
            let properties = persistent(&ask.key);
            let body = encode(&request);
            sent.unconfirmed += wire.publish(group.queue, &body, &properties).await - 1;
            sent.messages += 1;
            keys.push(ask.key.clone());
        }
    }
    keys.sort();
    keys.dedup();
    sent.keys += i64::try_from(keys.len()).unwrap();
    for junk in &group.junk {
        let properties = persistent(&format!("junk-{}", group.number));
        sent.unconfirmed += wire.publish(group.queue, junk, &properties).await - 1;
        sent.messages += 1;
    }
}

pub fn persistent(id: &str) -> BasicProperties {
    BasicProperties::default()
        .with_message_id(id.into())
        .with_delivery_mode(2)
}

/// Keys with an outcome on record.
pub async fn settled(stage: &Stage) -> i64 {
    let sql = "SELECT count(*) FROM user_merge.merges WHERE state IN ('completed', 'rejected')";
    stage.number(sql).await
}
