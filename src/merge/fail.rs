//! When a try failed: count it, put the message off, or give it up (rule R7).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::SecondsFormat;
use serde_json::json;

use super::announce::{End, Ended};
use super::{Failed, Merger, announce};
use crate::failpoint::failpoint;
use crate::message::Failure;
use crate::store::merges::{Envelope, Held, Progress, look_up, record_failure};
use crate::store::outbox::{Destination, Draft, Promised};
use crate::store::{Error, Result};

/// Why a message can't be settled now.
#[derive(Debug)]
pub enum Cause<'a> {
    /// The database said no.
    Error(&'a Failed),
    /// It has waited for a conflicting merge for as long as the setting allows (rule A10).
    Conflict,
    /// The program itself failed: a mistake in it that this merge brings out.
    Panic {
        /// The number under which the run held the merge, if it came that far.
        fence: Option<i64>,
    },
    /// It was delivered as often as the broker allows and never settled: whoever took it crashed. The broker
    /// would move it next, without a word to anyone.
    DeliveryLimit,
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(failed) => failed.fmt(f),
            Self::Conflict => f.write_str("a conflicting merge has not ended in time"),
            Self::Panic { .. } => f.write_str("the merge made this program panic"),
            Self::DeliveryLimit => f.write_str("the message came back unsettled too often"),
        }
    }
}

/// What becomes of the message.
#[derive(Debug)]
pub enum Given {
    /// Another try.
    Time {
        /// After this long: one of the retry queues' delays.
        delay: Duration,
        /// Tries that failed so far.
        attempts: i32,
    },
    /// Up: the merge is `failed`, its event and its dead letter are promised.
    Up {
        /// To be published now.
        promised: Vec<Promised>,
    },
}

impl Cause<'_> {
    fn label(&self) -> Cow<'static, str> {
        match self {
            Self::Error(failed) => failed.error.label(),
            Self::Conflict => "conflicting_merge".into(),
            Self::Panic { .. } => "panic".into(),
            Self::DeliveryLimit => "delivery_limit".into(),
        }
    }

    /// A word from a fixed list, for a metric's label.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Error(failed) => failed.error.class(),
            Self::Conflict => "conflicting_merge",
            Self::Panic { .. } => "panic",
            Self::DeliveryLimit => "delivery_limit",
        }
    }

    const fn may_pass(&self) -> bool {
        match self {
            Self::Error(failed) => failed.error.is_passing(),
            Self::Conflict | Self::DeliveryLimit => false,
            // Perhaps another version of this program knows better.
            Self::Panic { .. } => true,
        }
    }

    fn failure(&self) -> Failure {
        let label = self.label();
        let is_sqlstate = label.len() == 5
            && label
                .bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        Failure {
            reason: self.class().to_owned(),
            sqlstate: is_sqlstate.then(|| label.into_owned()),
        }
    }
}

impl Merger {
    /// Counts a failed try where no crash forgets it, and decides. Progress is kept either way; `body` is
    /// the request as it came, for the dead letter.
    ///
    /// # Errors
    /// Whatever the database answered; then nothing is counted.
    pub async fn fail(
        &self,
        envelope: Envelope<'_>,
        body: &[u8],
        cause: &Cause<'_>,
    ) -> Result<Given> {
        let label = cause.label();
        let fence = match cause {
            Cause::Error(failed) => failed.fence,
            Cause::Panic { fence } => *fence,
            Cause::Conflict | Cause::DeliveryLimit => None,
        };
        let mut tx = self.pool.begin().await?;
        let held = if self.has_passed(&mut tx, envelope, cause).await? {
            None
        } else {
            // Who had the merge in hand, delivery after delivery, is what crashed.
            let is_last = matches!(cause, Cause::DeliveryLimit);
            let silence = if is_last {
                0.0
            } else {
                self.silence.as_secs_f64()
            };
            record_failure(&mut tx, envelope, fence, silence, &label).await?
        };
        let Some(held) = held else {
            // Finished or in somebody else's hands meanwhile, or the key is another pair's: the next look tells.
            tx.commit().await?;
            return Ok(Given::Time {
                delay: self.delay(1),
                attempts: 0,
            });
        };
        super::name(held.record.id);
        failpoint!(FailureRecorded);
        let tries_left =
            held.record.attempts < i32::try_from(self.retry.max_attempts).unwrap_or(i32::MAX);
        if cause.may_pass() && tries_left {
            tx.commit().await?;
            failpoint!(FailureCommitted);
            let attempts = held.record.attempts;
            return Ok(Given::Time {
                delay: self.delay(attempts),
                attempts,
            });
        }
        let promised = self.give_up(&mut tx, envelope, body, cause, &held).await?;
        failpoint!(GivenUpWritten);
        tx.commit().await?;
        failpoint!(GivenUpCommitted);
        Ok(Given::Up { promised })
    }

    /// Whether a conflict has ended since the merge was put off for the last time: then it goes ahead after all.
    async fn has_passed(
        &self,
        tx: &mut crate::store::Transaction,
        envelope: Envelope<'_>,
        cause: &Cause<'_>,
    ) -> Result<bool> {
        if !matches!(cause, Cause::Conflict) {
            return Ok(false);
        }
        let standings = look_up(tx, &[envelope.request]).await?;
        Ok(standings.iter().all(|standing| !standing.conflicting))
    }

    async fn give_up(
        &self,
        tx: &mut crate::store::Transaction,
        envelope: Envelope<'_>,
        body: &[u8],
        cause: &Cause<'_>,
        held: &Held,
    ) -> Result<Vec<Promised>> {
        let label = cause.label();
        let standings = look_up(tx, &[envelope.request]).await?;
        let now = standings.first().ok_or(Error::Fenced)?.now;
        let event = announce::failed(envelope, held.record, now, cause.failure(), held.progress);
        let dead = Draft {
            destination: Destination::Dead,
            routing_key: String::new(),
            message_id: envelope.request.idempotency_key.to_string(),
            headers: Some(json!({
                "x-reason": cause.failure().reason,
                "x-detail": label,
                "x-lane": envelope.lane,
                "x-attempts": held.record.attempts.to_string(),
                "x-dead-since": now.to_rfc3339_opts(SecondsFormat::Millis, true),
            })),
            body: String::from_utf8_lossy(body).into_owned(),
        };
        let ended = Ended {
            envelope,
            record: held.record,
            progress: held.progress,
            moved: Progress::default(),
            end: End::Failed(&label),
            event,
            drafts: vec![dead],
        };
        let settled = self.settle(tx, vec![ended]).await?;
        Ok(settled
            .into_iter()
            .flat_map(|report| report.promised)
            .collect())
    }

    /// The delay after so many failed tries: one queue after the other, then the last one again.
    fn delay(&self, attempts: i32) -> Duration {
        let step = usize::try_from(attempts.max(1) - 1).unwrap_or(0);
        let last = self.retry.delays.len().saturating_sub(1);
        self.retry
            .delays
            .get(step.min(last))
            .copied()
            .unwrap_or_default()
    }
}
