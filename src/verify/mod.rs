//! Whether every invariant holds over the whole database: read-only, account by account, a batch at a time.
//!
//! What it finds is wrong, and not merely under way: a batch is read from one snapshot; a merge that moves on while
//! the log is read is left for the next time; and what belongs to a merged user is looked at again once the sweep
//! has had time to move it on (rule D4).

mod check;
mod left;
mod log;
mod merges;
mod outbox;
mod report;

use std::time::{Duration, Instant};

pub use check::{Check, UnknownCheck};
pub use report::{Finding, LISTED, Report, Tally};

use crate::domain::{AccountId, MergeId};
use crate::store::verify::{
    Left, MergeFacts, Terms, accounts_after, counts_batch, last_log_entry, left_behind, log_batch,
    merges_batch, outbox_batch, snapshot,
};
use crate::store::{Connection, Pool, Result};
use log::Ledger;

/// How often to look whether the sweep has been there.
const AGAIN: Duration = Duration::from_secs(1);

/// What to verify, and what to expect.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Only this account.
    pub account: Option<AccountId>,
    /// Rows that one statement looks at.
    pub batch: i64,
    /// Checks that this help desk can't keep, such as those of a log that it prunes.
    pub skipped: Vec<Check>,
    /// An unfinished merge without progress, or an unpublished message, for longer than this counts.
    pub stale: Duration,
    /// The sweep has this long to move on what came late before it counts.
    pub patience: Duration,
    /// How long the sweep looks after a merged user.
    pub window: Duration,
    /// How long published messages surely stay in the outbox.
    pub kept: Duration,
    /// Whether CCs on archived tickets move (rule T4).
    pub archived_ccs: bool,
}

/// How far it has come, for whoever waits.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Accounts that are done, and how far the one at work is: from 0 to the number of accounts.
    pub done: f64,
    /// Accounts in all.
    pub of: usize,
    /// The account at work; `None` while it waits for the sweep.
    pub account: Option<AccountId>,
    /// What was found so far.
    pub report: &'a Report,
}

/// Verifies, and tells `watch` of each batch.
///
/// # Errors
/// Where something could not be read: then nothing is said about the rest.
pub async fn run(
    pool: &Pool,
    plan: &Plan,
    watch: impl FnMut(Progress<'_>) + Send,
) -> Result<Report> {
    let accounts = match plan.account {
        Some(account) => vec![account],
        None => accounts(pool, plan.batch).await?,
    };
    let mut run = Run {
        pool,
        plan,
        watch,
        of: accounts.len(),
        report: Report::new(&plan.skipped),
        suspects: Vec::new(),
    };
    for account in accounts {
        run.account(account).await?;
        run.report.accounts += 1;
    }
    run.second_look().await?;
    Ok(run.report)
}

async fn accounts(pool: &Pool, batch: i64) -> Result<Vec<AccountId>> {
    let mut accounts = Vec::new();
    loop {
        let mut tx = snapshot(pool).await?;
        let next = accounts_after(&mut tx, accounts.last().copied(), batch).await?;
        tx.commit().await?;
        if next.is_empty() {
            return Ok(accounts);
        }
        accounts.extend(next);
    }
}

struct Run<'a, W> {
    pool: &'a Pool,
    plan: &'a Plan,
    watch: W,
    of: usize,
    report: Report,
    /// Merged users with something left, in case the sweep moves it on.
    suspects: Vec<(AccountId, MergeId)>,
}

impl<W: FnMut(Progress<'_>) + Send> Run<'_, W> {
    async fn account(&mut self, account: AccountId) -> Result<()> {
        let mut ledger = self
            .report
            .wants(Check::is_of_the_log)
            .then(Ledger::default);
        self.merges(account, ledger.as_mut()).await?;
        self.outbox(account).await?;
        if let Some(ledger) = &mut ledger {
            self.log(account, ledger).await?;
            self.compare(account, ledger).await?;
        }
        Ok(())
    }

    async fn merges(&mut self, account: AccountId, mut ledger: Option<&mut Ledger>) -> Result<()> {
        let terms = Terms {
            stale: self.plan.stale.as_secs_f64(),
            kept: self.plan.kept.as_secs_f64(),
        };
        let mut after = MergeId::nil();
        loop {
            let mut tx = snapshot(self.pool).await?;
            let batch = merges_batch(&mut tx, account, after, self.plan.batch, terms).await?;
            let is_tombstone =
                |merge: &&MergeFacts| merge.did_the_work && merge.merged_into.is_some();
            let tombstones: Vec<_> = batch.iter().filter(is_tombstone).map(|m| m.id).collect();
            let left = look(&mut tx, self.plan, account, &tombstones).await?;
            tx.commit().await?;

            for merge in &batch {
                self.report.merges += 1;
                merges::judge(&mut self.report, account, merge);
                if let Some(ledger) = &mut ledger {
                    ledger.expect(merge);
                }
            }
            for left in &left {
                left::look(&mut self.report, account, left);
                let may_pass = left.is_looked_after && !self.plan.patience.is_zero();
                if may_pass && left::is_anything(left) {
                    self.suspects.push((account, left.merge));
                } else {
                    left::judge(&mut self.report, account, left);
                }
            }
            self.tell(account, 0.1);
            match batch.last() {
                Some(last) => after = last.id,
                None => return Ok(()),
            }
        }
    }

    async fn outbox(&mut self, account: AccountId) -> Result<()> {
        let mut after = (MergeId::nil(), i64::MIN);
        loop {
            let mut tx = snapshot(self.pool).await?;
            let stale = self.plan.stale.as_secs_f64();
            let batch = outbox_batch(&mut tx, account, after, self.plan.batch, stale).await?;
            tx.commit().await?;
            for message in &batch.messages {
                self.report.messages += 1;
                outbox::judge(&mut self.report, account, message);
            }
            self.tell(account, 0.2);
            match batch.last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    async fn log(&mut self, account: AccountId, ledger: &mut Ledger) -> Result<()> {
        let mut tx = snapshot(self.pool).await?;
        let end = last_log_entry(&mut tx, account).await?.unwrap_or(0);
        tx.commit().await?;
        let mut after = i64::MIN;
        loop {
            let mut tx = snapshot(self.pool).await?;
            let batch = log_batch(&mut tx, account, after, self.plan.batch).await?;
            tx.commit().await?;
            self.report.log_entries += u64::try_from(batch.rows).unwrap_or(0);
            for entry in batch.entries {
                ledger.add(entry);
            }
            match batch.last {
                Some(last) => after = last,
                None => return Ok(()),
            }
            #[allow(clippy::cast_precision_loss, reason = "only to show how far it is")]
            let part = (after as f64 / end.max(1) as f64).clamp(0.0, 1.0);
            self.tell(account, 0.7f64.mul_add(part, 0.2));
        }
    }

    /// What the merges say after the log was read.
    async fn compare(&mut self, account: AccountId, ledger: &mut Ledger) -> Result<()> {
        let mut after = MergeId::nil();
        loop {
            let mut tx = snapshot(self.pool).await?;
            let batch = counts_batch(&mut tx, account, after, self.plan.batch).await?;
            tx.commit().await?;
            for &(merge, now) in &batch {
                ledger.judge(&mut self.report, account, merge, now);
            }
            self.tell(account, 1.0);
            match batch.last() {
                Some((last, _)) => after = *last,
                None => return Ok(()),
            }
        }
    }

    /// What the sweep has not moved on although it had the time.
    async fn second_look(&mut self) -> Result<()> {
        let until = Instant::now() + self.plan.patience;
        while !self.suspects.is_empty() {
            self.report_progress(self.of, 0.0, None);
            let rest = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(rest.min(AGAIN)).await;
            let last = rest <= AGAIN;
            let suspects = std::mem::take(&mut self.suspects);
            for of_account in suspects.chunk_by(|one, other| one.0 == other.0) {
                for batch in of_account.chunks(usize::try_from(self.plan.batch).unwrap_or(1)) {
                    self.look_again(batch, last).await?;
                }
            }
        }
        Ok(())
    }

    async fn look_again(&mut self, batch: &[(AccountId, MergeId)], last: bool) -> Result<()> {
        let account = batch[0].0;
        let merges: Vec<_> = batch.iter().map(|&(_, merge)| merge).collect();
        let mut tx = snapshot(self.pool).await?;
        let left = look(&mut tx, self.plan, account, &merges).await?;
        tx.commit().await?;
        for left in left.iter().filter(|left| left::is_anything(left)) {
            if last {
                left::judge(&mut self.report, account, left);
            } else {
                self.suspects.push((account, left.merge));
            }
        }
        Ok(())
    }

    fn tell(&mut self, account: AccountId, part: f64) {
        let before = usize::try_from(self.report.accounts).unwrap_or(usize::MAX);
        self.report_progress(before, part, Some(account));
    }

    fn report_progress(&mut self, before: usize, part: f64, account: Option<AccountId>) {
        #[allow(clippy::cast_precision_loss, reason = "only to show how far it is")]
        let done = before as f64 + part;
        (self.watch)(Progress {
            done,
            of: self.of,
            account,
            report: &self.report,
        });
    }
}

async fn look(
    connection: &mut Connection,
    plan: &Plan,
    account: AccountId,
    merges: &[MergeId],
) -> Result<Vec<Left>> {
    let (window, archived_ccs) = (plan.window.as_secs_f64(), plan.archived_ccs);
    left_behind(connection, account, merges, window, archived_ccs).await
}
