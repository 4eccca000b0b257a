//! Plays a story twice, on the model and on a real help desk, and compares after each step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use user_merge::merge::Merger;

use super::story::{How, Step, Story};
use super::world::{Account, Request};
use super::{lines, stage};
use crate::harness::Desk;

/// A story at play.
pub struct Play {
    pub desk: Desk,
    pub accounts: Vec<Account>,
    pub mergers: [Arc<Merger>; 2],
    /// With chunks that take everything: what it moves in which order is then the rules' word alone.
    sweeper: Merger,
    pub asked: Vec<Request>,
    /// Rows in a chunk: a merge of more is a large one.
    pub chunk: usize,
    /// What has happened, and how often: a model that nothing happens in proves nothing.
    pub tally: BTreeMap<String, u32>,
}

impl Play {
    /// The help desk of a story, before its first step.
    pub async fn begin(mut desk: Desk, story: &Story) -> Self {
        // Whoever waits for a lock is waited for, or terminated.
        desk.settings.database.lock_timeout = Duration::from_secs(25);
        desk.settings.database.max_connections = 2;
        let rules = story.accounts[0].rules;
        desk.settings.merge.ticket_limit = u32::try_from(rules.ticket_limit).unwrap();
        desk.settings.merge.move_archived_ccs = rules.move_archived_ccs;
        desk.settings.merge.carry_social_identities = rules.carry_social_identities;
        desk.settings.retry.max_attempts = u32::try_from(rules.max_attempts).unwrap();
        let sweeper = desk.merger();
        desk.chunks_of(story.chunk);
        let mergers = [Arc::new(desk.merger()), Arc::new(desk.merger())];
        stage::set(&desk, &story.accounts).await;
        let accounts = story.accounts.clone();
        Self {
            desk,
            accounts,
            mergers,
            sweeper,
            asked: Vec::new(),
            chunk: usize::try_from(story.chunk).unwrap(),
            tally: BTreeMap::new(),
        }
    }

    /// A step, on both sides.
    pub async fn step(&mut self, n: usize, step: Step) -> Result<(), String> {
        match step {
            Step::Ask {
                account,
                source,
                target,
                key,
                how,
            } => {
                let key = key.map_or_else(|| format!("step-{n}"), |key| format!("key-{key}"));
                let request = Request {
                    account,
                    key,
                    source,
                    target,
                };
                self.asked.push(request.clone());
                self.run(&request, how).await?;
            }
            Step::Again { nth, how } => {
                if let Some(request) = self.earlier(nth) {
                    self.run(&request, how).await?;
                }
            }
            Step::Together { asked, seam } => self.together(n, &asked, seam).await?,
            Step::Fail { nth, why, fence } => {
                if let Some(request) = self.unfinished(nth).or_else(|| self.earlier(nth)) {
                    self.fail(&request, why, fence).await?;
                }
            }
            Step::Act { account, act } => {
                if let Some(sql) = self.account(account).act(act) {
                    let act = format!("{act:?}");
                    self.count(act.split(' ').next().unwrap());
                    self.desk.execute(&sql).await;
                }
            }
            Step::Sweep => self.sweep().await?,
        }
        self.compare().await
    }

    /// Everything that was asked for comes once more; what was late is swept up.
    pub async fn end(&mut self) -> Result<(), String> {
        for request in self.asked.clone() {
            self.run(&request, How::Whole).await?;
        }
        self.sweep().await?;
        self.compare().await
    }

    pub fn count(&mut self, what: impl Into<String>) {
        *self.tally.entry(what.into()).or_default() += 1;
    }

    pub fn account(&mut self, id: i64) -> &mut Account {
        self.accounts
            .iter_mut()
            .find(|account| account.id == id)
            .unwrap()
    }

    pub fn earlier(&self, nth: usize) -> Option<Request> {
        let count = self.asked.len();
        (count > 0).then(|| self.asked[nth % count].clone())
    }

    /// Rather one that is held: much can go wrong with it.
    fn unfinished(&self, nth: usize) -> Option<Request> {
        let mut open: Vec<(bool, &Request)> = Vec::new();
        for request in &self.asked {
            let account = self.accounts.iter().find(|a| a.id == request.account);
            match account.unwrap().merges.get(&request.key) {
                Some(merge) if ["running", "failed"].contains(&merge.state) => {
                    open.push((merge.holds_users, request));
                }
                _ => {}
            }
        }
        let some_are_held = open.iter().any(|(is_held, _)| *is_held);
        open.retain(|(is_held, _)| *is_held || !some_are_held);
        (!open.is_empty()).then(|| open[nth % open.len()].1.clone())
    }

    pub async fn compare(&self) -> Result<(), String> {
        let mut expected: Vec<String> = self.accounts.iter().flat_map(Account::lines).collect();
        expected.sort();
        let found = lines::read(&self.desk).await;
        if found == expected {
            return Ok(());
        }
        let without = |of: &[String], mut those: Vec<String>| {
            for line in of {
                if let Some(at) = those.iter().position(|other| other == line) {
                    those.remove(at);
                }
            }
            those.join("\n    ")
        };
        Err(format!(
            "the rules say\n    {}\nthe tables say\n    {}",
            without(&found, expected.clone()),
            without(&expected, found.clone())
        ))
    }

    async fn sweep(&mut self) -> Result<(), String> {
        let mut moved = 0;
        loop {
            let round = self.sweeper.move_late(None, 3600.0, 1000).await;
            let (count, _) = round.map_err(|error| format!("the sweep failed: {error}"))?;
            moved += count;
            if count == 0 {
                break;
            }
        }
        let expected: i64 = self.accounts.iter_mut().map(Account::sweep).sum();
        if expected > 0 {
            self.count("late");
        }
        if moved == expected {
            return Ok(());
        }
        Err(format!("the sweep moved {moved} rows, not {expected}"))
    }
}
