//! Whether the yardsticks do the worker's work: one pair that meets many rules, merged by each of them.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Desk;

/// The source; the target is the next id.
pub const SOURCE: i64 = 900_001;

impl Desk {
    pub async fn add_rich_pair(&self) -> Result<()> {
        self.run(include_str!("rich.sql")).await
    }

    /// Everything that a merge of the pair may have changed, but for ids and times that differ each time.
    pub async fn rich_pair(&self) -> Result<Value> {
        let portrait = sqlx::query_scalar(
            "SELECT jsonb_build_object(
                 'users', (SELECT jsonb_agg(to_jsonb(u) - '{created_at,updated_at,merged_at}'::text[] ORDER BY id)
                     FROM helpdesk.users u WHERE account_id = 1 AND id BETWEEN 900001 AND 900009),
                 'identities', (SELECT jsonb_agg(jsonb_build_array(user_id, kind, value, is_primary, verified) ORDER BY id)
                     FROM helpdesk.user_identities WHERE account_id = 1 AND user_id BETWEEN 900001 AND 900009),
                 'memberships', (SELECT jsonb_agg(to_jsonb(m) ORDER BY user_id, organization_id)
                     FROM helpdesk.organization_memberships m WHERE account_id = 1),
                 'tickets', (SELECT jsonb_agg(jsonb_build_array(id, requester_id, submitter_id, status) ORDER BY id)
                     FROM helpdesk.tickets WHERE account_id = 1 AND id BETWEEN 900001 AND 900019),
                 'archived', (SELECT jsonb_agg(jsonb_build_array(id, requester_id, submitter_id) ORDER BY id)
                     FROM helpdesk.archived_tickets WHERE account_id = 1),
                 'ccs', (SELECT jsonb_agg(jsonb_build_array(ticket_id, user_id) ORDER BY ticket_id, user_id)
                     FROM helpdesk.ticket_ccs WHERE account_id = 1),
                 'archived_ccs', (SELECT jsonb_agg(jsonb_build_array(ticket_id, user_id) ORDER BY ticket_id, user_id)
                     FROM helpdesk.archived_ticket_ccs WHERE account_id = 1),
                 'log', (SELECT jsonb_agg(jsonb_build_array(ticket_id, field, old_value, new_value, via, suppress_triggers)
                                          ORDER BY ticket_id, field, old_value)
                     FROM helpdesk.ticket_events WHERE account_id = 1),
                 'record', (SELECT to_jsonb(m) - '{id,lane,accepted_at,updated_at,completed_at,outcome}'::text[]
                     FROM user_merge.merges m WHERE account_id = 1),
                 'outcome', (SELECT outcome - '{merge_id,accepted_at,completed_at}'::text[]
                     FROM user_merge.merges WHERE account_id = 1)
             )",
        )
        .fetch_one(self.pool());
        portrait.await.context("the pair that meets many rules")
    }
}
