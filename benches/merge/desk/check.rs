//! Whether everything was done that was measured.

use anyhow::{Result, ensure};

use super::{Batch, Desk};

impl Desk {
    /// Each user of the batch is merged into the next one, with all tickets and addresses, one log entry a ticket,
    /// and one record.
    pub async fn check_merged(&self, batch: &Batch) -> Result<()> {
        let users = i64::try_from(batch.len())?;
        let tickets = users * batch.tickets;
        let counts: Vec<i64> = sqlx::query_scalar(
            "WITH pair AS MATERIALIZED (SELECT id AS source, id + 1 AS target FROM unnest($1::bigint[]) AS id)
             SELECT count(*) FROM helpdesk.users u JOIN pair ON u.account_id = 1 AND u.id = source
             WHERE u.merged_into = target
             UNION ALL
             SELECT count(*) FROM helpdesk.tickets t JOIN pair ON t.account_id = 1 AND t.requester_id = target
             UNION ALL
             SELECT count(*) FROM helpdesk.tickets t JOIN pair ON t.account_id = 1 AND t.requester_id = source
             UNION ALL
             SELECT count(DISTINCT e.ticket_id) FROM helpdesk.ticket_events e
             JOIN user_merge.merges m ON m.account_id = 1 AND m.id = e.merge_id
             JOIN pair ON m.source_user_id = source AND e.new_value = target::text AND e.suppress_triggers
             UNION ALL
             SELECT count(*) FROM user_merge.merges m JOIN pair ON m.account_id = 1 AND m.source_user_id = source
             WHERE m.state = 'completed' AND m.target_user_id = target AND m.live + m.closed = $2
             UNION ALL
             SELECT count(*) FROM helpdesk.user_identities i JOIN pair ON i.account_id = 1 AND i.user_id = source
             WHERE i.kind = 'email'",
        )
        .bind(&batch.sources)
        .bind(batch.tickets)
        .fetch_all(self.pool())
        .await?;
        let names = [
            "merged users",
            "moved tickets",
            "tickets left behind",
            "log entries",
            "records",
            "addresses left",
        ];
        let due = [users, tickets, 0, tickets, users, 0];
        for ((name, due), count) in names.into_iter().zip(due).zip(counts) {
            ensure!(count == due, "{name}: {count} instead of {due}");
        }
        Ok(())
    }
}
