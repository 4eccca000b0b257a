//! Merges that stand still are enqueued again: the database is the truth, whatever became of their messages.

use std::time::Duration;

use tracing::warn;

use super::Merger;
use crate::domain::MergeRequest;
use crate::failpoint::failpoint;
use crate::message::request::encode;
use crate::store::Result;
use crate::store::merges::{enqueue_again, is_settled, stranded};
use crate::store::outbox::Promised;

/// Merges per look: what a purged queue leaves takes several looks, and no look is long.
const AT_ONCE: i64 = 100;

impl Merger {
    /// Finds merges that are unfinished and that nobody has touched for as long as `after`, and promises their
    /// requests once more, to the lanes they came by. Another copy of one that is still in some queue is harmless
    /// (rules R1, R4 and R5).
    ///
    /// # Errors
    /// Where the database is away. A merge that can't be had now is passed over until the next look.
    pub async fn enqueue_stranded(&self, after: Duration) -> Result<Vec<Promised>> {
        let (after, lease) = (after.as_secs_f64(), self.lease.as_secs_f64());
        let mut promised = Vec::new();
        for found in stranded(&self.pool, after, AT_ONCE).await? {
            failpoint!(StrandedFound);
            let (merge, times) = (found.merge, found.enqueued_again + 1);
            let body = super::announce::text(encode(&found.request));
            match enqueue_again(&self.pool, &found, body, after, lease).await {
                Ok(None) => {}
                Ok(Some(message)) => {
                    failpoint!(StrandedPromised);
                    warn!(
                        merge.id = %merge,
                        account.id = found.request.account_id.get(),
                        lane = found.lane,
                        times,
                        "a merge stood still: its request is enqueued again"
                    );
                    promised.push(message);
                }
                Err(error) if error.is_outage() => return Err(error),
                // Its worker is at it after all, perhaps.
                Err(error) => warn!(
                    merge.id = %merge,
                    cause = error.class(),
                    "a merge that stood still can't be enqueued again in this look: {error}"
                ),
            }
        }
        Ok(promised)
    }

    /// Whether a copy of a request that was enqueued again comes too late to be of use: its merge has ended.
    ///
    /// # Errors
    /// Whatever the database answered.
    pub async fn is_settled(&self, request: &MergeRequest) -> Result<bool> {
        is_settled(&self.pool, request).await
    }
}
