//! Whole tables as text: what a test compares before and after.

use super::Desk;

/// The help desk's tables that have rows of an account, parents first.
const TABLES: [&str; 13] = [
    "organizations",
    "users",
    "user_identities",
    "organization_memberships",
    "tickets",
    "archived_tickets",
    "ticket_ccs",
    "archived_ticket_ccs",
    "ticket_events",
    "article_votes",
    "article_subscriptions",
    "community_posts",
    "community_comments",
];

impl Desk {
    /// Copies account 1 with all its rows, under the same ids, to another account.
    pub async fn copy_account(&self, to: i64) {
        self.execute(&format!(
            "INSERT INTO helpdesk.accounts
             SELECT (jsonb_populate_record(a, '{{\"id\": {to}}}')).* FROM helpdesk.accounts a WHERE id = 1"
        ))
        .await;
        for table in TABLES {
            self.execute(&format!(
                "INSERT INTO helpdesk.{table}
                 SELECT (jsonb_populate_record(t, '{{\"account_id\": {to}}}')).*
                 FROM helpdesk.{table} t WHERE account_id = 1"
            ))
            .await;
        }
    }

    /// Every row of every table of an account, in order.
    pub async fn account_rows(&self, account: i64) -> Vec<String> {
        let mut rows = Vec::new();
        for table in TABLES {
            rows.extend(self.rows(table, &format!("account_id = {account}")).await);
        }
        rows
    }

    /// Rows of one of the help desk's tables as JSON, in order.
    pub async fn rows(&self, table: &str, condition: &str) -> Vec<String> {
        self.list(&format!(
            "SELECT '{table} ' || to_jsonb(t)::text FROM helpdesk.{table} t WHERE {condition} ORDER BY 1"
        ))
        .await
    }

    /// A query's only column.
    pub async fn list(&self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Tickets of account 1 as `id:requester`.
    pub async fn requesters(&self, table: &str) -> String {
        self.text(&format!(
            "SELECT coalesce(string_agg(id || ':' || requester_id, ' ' ORDER BY id), '')
             FROM helpdesk.{table} WHERE account_id = 1"
        ))
        .await
        .unwrap()
    }

    /// CCs of account 1 as `ticket:user`.
    pub async fn ccs(&self, table: &str) -> String {
        self.text(&format!(
            "SELECT coalesce(string_agg(ticket_id || ':' || user_id, ' ' ORDER BY ticket_id, user_id), '')
             FROM helpdesk.{table} WHERE account_id = 1"
        ))
        .await
        .unwrap()
    }

    /// The ticket event log of account 1 as `ticket field old>new`, in order of tickets.
    pub async fn log(&self) -> Vec<String> {
        self.list(
            "SELECT ticket_id || ' ' || field || ' ' || old_value || '>' || coalesce(new_value, '')
             FROM helpdesk.ticket_events WHERE account_id = 1
             ORDER BY ticket_id, field DESC, old_value, id",
        )
        .await
    }
}
