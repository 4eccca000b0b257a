//! Users to merge.

use anyhow::Result;

use super::Desk;

/// Users with so many tickets each. The target of each is the next id, a user without tickets.
#[derive(Debug, Clone)]
pub struct Batch {
    pub sources: Vec<i64>,
    pub tickets: i64,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// The requests, as a client sends them.
    pub fn requests(&self) -> impl Iterator<Item = String> + Send + '_ {
        self.sources.iter().map(|&source| request(source))
    }
}

/// A merge request for a source and the user after it.
pub fn request(source: i64) -> String {
    let target = source + 1;
    format!(
        r#"{{"schema_version":1,"idempotency_key":"bench-2026-{source}","account_id":1,"source_user_id":{source},"target_user_id":{target},"requested_by":"agent:77","reason":"same person, second address"}}"#
    )
}

impl Desk {
    /// Fresh users. Each has an e-mail address, each source a phone number too; tickets of different users lie
    /// between each other, as they do in a help desk.
    pub async fn batch(&self, users: usize, tickets: i64) -> Result<Batch> {
        let users = i64::try_from(users)?;
        let first = Self::take(&self.next_user, 2 * users);
        let last = first + 2 * users - 1;
        let ticket = Self::take(&self.next_ticket, users * tickets);
        self.run(&format!(
            "INSERT INTO helpdesk.users (account_id, id, name, verified)
             SELECT 1, id, 'user', true FROM generate_series({first}, {last}) id;
             INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary, verified)
             SELECT 1, id, 'email', 'user.' || id || '@example.com', true, true
             FROM generate_series({first}, {last}) id;
             INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary, verified)
             SELECT 1, id, 'phone', '+4930' || 100000000 + id, true, true
             FROM generate_series({first}, {last}, 2) id;
             INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
             SELECT 1, {ticket} + n, {first} + 2 * (n % {users}), {first} + 2 * (n % {users}),
                    CASE WHEN n % 3 = 0 THEN 'closed' ELSE 'open' END, 'Where is my order?'
             FROM generate_series(0, {users}::bigint * {tickets} - 1) n"
        ))
        .await?;
        self.tidy().await?;
        Ok(Batch {
            sources: (first..=last).step_by(2).collect(),
            tickets,
        })
    }
}
