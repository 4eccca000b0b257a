//! Runs a request in all the ways in which it can be run, and takes over what came of it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;
use user_merge::merge::{Ending, Failed, Merger, Report, Until};
use user_merge::store;

use super::admission::Answer;
use super::play::Play;
use super::story::{Fence, How};
use super::world::{Moved, Request};
use crate::harness::envelope;

type Ran = Result<Report, Failed>;

impl Play {
    pub async fn run(&mut self, request: &Request, how: How) -> Result<(), String> {
        let before = self.fence(request).await;
        match how {
            How::Whole | How::OneChunk => {
                let ran = run(self.mergers[0].clone(), request.clone(), how).await;
                let report = ran.map_err(|failed| format!("it failed: {failed}"))?;
                self.ended(request, how, report.ending, before).await
            }
            How::Crash(seam) => match self.crash_alone(request, seam).await {
                Ok(report) => self.ended(request, how, report.ending, before).await,
                Err(failed) if failed.error.is_outage() => {
                    let moved = self.adopt(request, before).await?;
                    let what = if moved.all() > 0 {
                        "crashed between chunks"
                    } else {
                        "crashed"
                    };
                    self.count(format!("{what} at {seam}"));
                    Ok(())
                }
                Err(failed) => Err(format!("no crash, but: {failed}")),
            },
            How::Twice => self.run_twice(request, before).await,
            How::Fails(why) => self.fail(request, why, Fence::Unknown).await,
        }
    }

    /// Takes the reported ending over into the model, if it is the one that the rules want.
    pub async fn ended(
        &mut self,
        request: &Request,
        how: How,
        ending: Ending,
        before: i64,
    ) -> Result<(), String> {
        let answer = self.account(request.account).answer(request);
        match ending {
            Ending::Rejected(reason) => self.count(reason.label()),
            _ => self.count(ending.label()),
        }
        let reason = |reason: user_merge::domain::Reason| reason.label();
        let is_right = match (&answer, ending) {
            (Answer::Merge, Ending::Completed) => {
                self.account(request.account).complete(request);
                return Ok(());
            }
            (Answer::Merge, Ending::SliceOver) if matches!(how, How::OneChunk) => {
                let moved = self.adopt(request, before).await?;
                return (moved.all() > 0)
                    .then_some(())
                    .ok_or_else(|| "a slice that moved nothing".to_owned());
            }
            (Answer::Repeat, Ending::Repeated)
            | (Answer::AlreadyMerged, Ending::AlreadyMerged)
            | (Answer::PutOff, Ending::PutOff) => true,
            (Answer::KeyReused, Ending::Rejected(r)) => reason(r) == "idempotency_key_reused",
            (Answer::Reject(expected, _), Ending::Rejected(r)) => reason(r) == *expected,
            _ => false,
        };
        if !is_right {
            return Err(format!(
                "the rules say {answer:?}, the merge says {ending:?}"
            ));
        }
        self.account(request.account).settle(request, &answer);
        Ok(())
    }

    /// After a part of a merge: how far it got is its own affair, but each row must be as it was, or as the rules
    /// want it. `before`: the number under which the merge was held before this run.
    async fn adopt(&mut self, request: &Request, before: i64) -> Result<Moved, String> {
        let Request {
            account,
            key,
            source,
            ..
        } = request;
        let fence = self.fence(request).await;
        if fence <= before {
            return Ok(Moved::default()); // it did not come to take the merge
        }
        let rows = |table: &str, id: &str, user: &str| {
            format!(
                "SELECT {id} FROM helpdesk.{table} WHERE account_id = {account} AND {user} = {source}
                 UNION ALL SELECT {id} FROM helpdesk.archived_{table}
                 WHERE account_id = {account} AND {user} = {source}"
            )
        };
        let tickets = self.ids(&rows("tickets", "id", "requester_id")).await;
        let ccs = self.ids(&rows("ticket_ccs", "ticket_id", "user_id")).await;

        let (source, target) = (request.source, request.target);
        let account = self.account(request.account);
        if account.answer(request) != Answer::Merge {
            return Err("it was admitted against the rules".to_owned());
        }
        account.hold(request, fence);
        let mut moved = Moved::default();
        for id in account.tickets_of(source) {
            if !tickets.contains(&id) {
                moved += account.move_ticket(id, source, target, key);
            }
        }
        for id in account.copied_on(source) {
            if !ccs.contains(&id) {
                moved += account.move_cc(id, source, target, key);
            }
        }
        account.progress(key, moved);
        Ok(moved)
    }

    /// The number under which a merge is held; 0 for none.
    pub async fn fence(&self, request: &Request) -> i64 {
        let Request { account, key, .. } = request;
        let sql = format!(
            "SELECT coalesce(sum(fence), 0)::bigint FROM user_merge.merges
             WHERE account_id = {account} AND idempotency_key = '{key}'"
        );
        self.desk.number(&sql).await
    }

    async fn ids(&self, sql: &str) -> Vec<i64> {
        let query = sqlx::query_scalar(AssertSqlSafe(sql));
        query.fetch_all(&self.desk.pool).await.unwrap()
    }

    async fn crash_alone(&self, request: &Request, seam: &str) -> Ran {
        let run = Box::pin(run(self.mergers[0].clone(), request.clone(), How::Whole));
        self.crash(seam, run).await
    }

    /// Whoever waits for the table's lock is terminated, so often as the merge tries.
    pub async fn crash<T: Send + 'static>(
        &self,
        seam: &str,
        run: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let lock = format!("LOCK TABLE {seam} IN EXCLUSIVE MODE");
        let holder = self.desk.begin_with(&lock).await;
        let terminate = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'user-merge'
               AND {} = ANY (pg_blocking_pids(pid))",
            holder.pid()
        );
        let running = tokio::spawn(run);
        while !running.is_finished() {
            self.desk.number(&terminate).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        holder.rollback().await;
        running.await.unwrap()
    }

    async fn run_twice(&mut self, request: &Request, before: i64) -> Result<(), String> {
        let running =
            [0, 1].map(|n| tokio::spawn(run(self.mergers[n].clone(), request.clone(), How::Twice)));
        let mut endings = Vec::new();
        for task in running {
            match task.await.unwrap() {
                Ok(report) => endings.push(report.ending),
                Err(Failed {
                    error: store::Error::Fenced,
                    ..
                }) => self.count("fenced beside another"),
                Err(failed) => return Err(format!("of two at once one failed: {failed}")),
            }
        }
        // Whichever came first, the other found its record.
        endings.sort_by_key(|ending| *ending == Ending::Repeated);
        for ending in &endings {
            self.ended(request, How::Twice, *ending, before).await?;
        }
        if endings.is_empty() {
            return Err("of two at once both were fenced".to_owned());
        }
        Ok(())
    }
}

/// Runs a request as a worker does: what is worth another try gets one.
async fn run(merger: Arc<Merger>, request: Request, how: How) -> Ran {
    let message = request.message();
    let slice = match how {
        How::OneChunk => Duration::ZERO,
        _ => Duration::from_mins(10),
    };
    let mut tries = 0;
    loop {
        let until = Until::new(CancellationToken::new(), slice);
        match merger.run(envelope(&message), &until).await {
            Err(failed) if failed.error.is_worth_another_try() && tries < 5 => tries += 1,
            result => return result,
        }
    }
}
