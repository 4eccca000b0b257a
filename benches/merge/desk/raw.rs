//! The yardstick of a large merge: one statement that moves all of a user's tickets and writes the log entries.

use std::time::Instant;

use anyhow::{Result, ensure};
use sqlx::{Connection as _, Executor as _};

use super::{Batch, Desk};

impl Desk {
    /// Seconds for all users of a batch, in one transaction, over a connection that is open already.
    pub async fn move_raw(&self, batch: &Batch) -> Result<f64> {
        let mut connection = self.pool.acquire().await?;
        // As the worker asks for: a plan by index, whatever is known of users that were just loaded.
        connection
            .execute("SET enable_seqscan = off; SET jit = off")
            .await?;
        connection.ping().await?;
        let began = Instant::now();
        let mut tx = connection.begin().await?;
        for &source in &batch.sources {
            let done = sqlx::query(
                "WITH moved AS (
                     UPDATE helpdesk.tickets SET requester_id = $2, updated_at = now()
                     WHERE account_id = 1 AND requester_id = $1 RETURNING id
                 )
                 INSERT INTO helpdesk.ticket_events
                     (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
                 SELECT 1, id, 'requester_id', $1::text, $2::text, 'user_merge', $3, true FROM moved",
            )
            .bind(source)
            .bind(source + 1)
            .bind(uuid::Uuid::now_v7())
            .execute(&mut *tx)
            .await?;
            let moved = i64::try_from(done.rows_affected())?;
            ensure!(
                moved == batch.tickets,
                "the yardstick moved {moved} tickets"
            );
        }
        tx.commit().await?;
        Ok(began.elapsed().as_secs_f64())
    }
}
