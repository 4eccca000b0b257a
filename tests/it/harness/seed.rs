//! Filling a help desk: only what a test says differs from an ordinary, eligible end user.

use user_merge::domain::{IdempotencyKey, MergeRequest};

use super::Desk;

/// A user to be made: a verified end user with nothing else, unless the test changes it.
pub struct NewUser {
    /// `end_user`, `agent` or `admin`.
    pub role: &'static str,
    /// Whether it has proved who it is.
    pub verified: bool,
    /// Other columns as SQL, such as `tags = '{vip}', notes = 'x'`; empty for none.
    pub set: &'static str,
}

impl Default for NewUser {
    fn default() -> Self {
        Self {
            role: "end_user",
            verified: true,
            set: "",
        }
    }
}

impl Desk {
    /// An account.
    pub async fn account(&self, id: i64, sign_on: &[&str], multiple_organizations: bool) {
        sqlx::query("INSERT INTO helpdesk.accounts VALUES ($1, 'account', $2, $3)")
            .bind(id)
            .bind(sign_on)
            .bind(multiple_organizations)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// A user of account 1.
    pub async fn user(&self, id: i64, user: NewUser) {
        sqlx::query("INSERT INTO helpdesk.users (account_id, id, role, name, verified) VALUES (1, $1, $2, 'someone', $3)")
            .bind(id)
            .bind(user.role)
            .bind(user.verified)
            .execute(&self.pool)
            .await
            .unwrap();
        if !user.set.is_empty() {
            self.execute(&format!(
                "UPDATE helpdesk.users SET {} WHERE account_id = 1 AND id = {id}",
                user.set
            ))
            .await;
        }
    }

    /// Ordinary users of account 1.
    pub async fn users(&self, ids: impl IntoIterator<Item = i64>) {
        for id in ids {
            self.user(id, NewUser::default()).await;
        }
    }

    /// Tickets of account 1 with ids `first..first + count`, all of one requester and status.
    pub async fn tickets(&self, first: i64, count: i64, requester: i64, status: &str) {
        sqlx::query(
            "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
             SELECT 1, id, $3, $3, $4, 'subject' FROM generate_series($1, $1 + $2 - 1) id",
        )
        .bind(first)
        .bind(count)
        .bind(requester)
        .bind(status)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// Archived tickets, likewise.
    pub async fn archived_tickets(&self, first: i64, count: i64, requester: i64) {
        sqlx::query(
            "INSERT INTO helpdesk.archived_tickets
                 (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
             SELECT 1, id, $3, $3, 'closed', 'subject', now(), now() FROM generate_series($1, $1 + $2 - 1) id",
        )
        .bind(first)
        .bind(count)
        .bind(requester)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// A CC on a ticket that is not archived.
    pub async fn cc(&self, ticket: i64, user: i64) {
        sqlx::query("INSERT INTO helpdesk.ticket_ccs VALUES (1, $1, $2)")
            .bind(ticket)
            .bind(user)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// An identity of a user of account 1; its id.
    pub async fn identity(&self, user: i64, kind: &str, value: &str, is_primary: bool) -> i64 {
        sqlx::query_scalar(
            "INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary)
             VALUES (1, $1, $2, $3, $4) RETURNING id",
        )
        .bind(user)
        .bind(kind)
        .bind(value)
        .bind(is_primary)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }
}

/// A request in account 1 under a key of its own.
pub fn request(source: i64, target: i64) -> MergeRequest {
    key(&format!("merge-{source}-{target}"), source, target)
}

/// A request in account 1 under this key.
pub fn key(key: &str, source: i64, target: i64) -> MergeRequest {
    MergeRequest {
        idempotency_key: IdempotencyKey::new(key).unwrap(),
        account_id: 1.try_into().unwrap(),
        source_user_id: source.try_into().unwrap(),
        target_user_id: target.try_into().unwrap(),
        requested_by: Some("agent:77".to_owned()),
        reason: None,
    }
}

/// The same in another account.
pub fn in_account(account: i64, request: MergeRequest) -> MergeRequest {
    MergeRequest {
        account_id: account.try_into().unwrap(),
        ..request
    }
}
