//! Tries that failed (rule R7).

use sqlx::AssertSqlSafe;
use user_merge::merge::{Cause, Failed, Given};
use user_merge::store;

use super::play::Play;
use super::requests::Failure;
use super::story::{Fence, Why};
use super::world::Request;
use crate::harness::envelope;

impl Play {
    pub async fn fail(&mut self, request: &Request, why: Why, fence: Fence) -> Result<(), String> {
        let number = self.fence(request).await;
        let fence = match fence {
            Fence::Held if number > 0 => Some(number),
            Fence::Old if number > 0 => Some(number - 1),
            _ => None,
        };
        let passing = Failed {
            error: self.error("40001").await,
            fence,
        };
        let lasting = Failed {
            error: self.error("42P01").await,
            fence,
        };
        let (cause, reason, sqlstate, may_pass) = match why {
            Why::Passing => (Cause::Error(&passing), "serialization", Some("40001"), true),
            Why::Lasting => (Cause::Error(&lasting), "schema", Some("42P01"), false),
            Why::Conflict => (Cause::Conflict, "conflicting_merge", None, false),
            Why::Panic => (Cause::Panic { fence }, "panic", None, true),
            Why::DeliveryLimit => (Cause::DeliveryLimit, "delivery_limit", None, false),
        };
        let held_under = match why {
            Why::Conflict | Why::DeliveryLimit => None,
            Why::Passing | Why::Lasting | Why::Panic => fence,
        };
        let failure = Failure {
            reason,
            sqlstate,
            may_pass,
            held_under,
        };
        let message = request.message();
        let given = self.mergers[0]
            .fail(envelope(&message), &request.body(), &cause)
            .await;
        let told = match given.map_err(|error| format!("its failure: {error}"))? {
            Given::Time { attempts: 0, .. } => None,
            Given::Time { attempts, .. } => Some((attempts.into(), false)),
            Given::Up { .. } => Some((-1, true)),
        };
        let expected = self.account(request.account).fail(request, failure);
        self.count(match expected {
            None => "failure not counted",
            Some((_, false)) => "failure",
            Some((_, true)) => "given up",
        });
        let expected = expected.map(|(attempts, is_up)| (if is_up { -1 } else { attempts }, is_up));
        if told == expected {
            return Ok(());
        }
        Err(format!(
            "after a failure: {expected:?} by the rules, {told:?} in fact"
        ))
    }

    /// A real one.
    async fn error(&self, sqlstate: &str) -> store::Error {
        let sql = format!("DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$");
        let raised = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.desk.pool);
        raised.await.unwrap_err().into()
    }
}
