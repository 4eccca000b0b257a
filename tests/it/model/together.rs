//! Several requests in one transaction, and by itself whatever has to go so.

use std::collections::BTreeSet;

use user_merge::merge::Ending;

use super::admission::Answer;
use super::play::Play;
use super::story::{Asked, How};
use super::world::Request;
use crate::harness::envelope;

impl Play {
    /// A batch, as a worker does it. Which of them are done together is the rules' word too: no one else is at work,
    /// so nothing is in the way of one that is small, was not begun, and meets no other.
    pub async fn together(
        &mut self,
        n: usize,
        asked: &[Option<Asked>],
        seam: Option<&'static str>,
    ) -> Result<(), String> {
        let mut requests = Vec::new();
        for (place, asked) in asked.iter().enumerate() {
            let request = match *asked {
                None => None,
                Some(Asked::Again(nth)) => self.earlier(nth),
                Some(Asked::New {
                    account,
                    source,
                    target,
                    key,
                }) => {
                    let name = || format!("step-{n}-{place}");
                    Some(Request {
                        account,
                        key: key.map_or_else(name, |key| format!("key-{key}")),
                        source,
                        target,
                    })
                }
            };
            requests.extend(request);
        }
        self.asked.extend(requests.iter().cloned());

        let expected = self.expected(&requests);
        let endings = self.endings(&requests, seam).await;
        let done: Vec<bool> = endings.iter().map(Option::is_some).collect();
        // A crash takes as many with it as it happens to.
        let is_allowed = done == expected || seam.is_some();
        if !is_allowed || done.iter().zip(&expected).any(|(done, may)| done > may) {
            return Err(format!(
                "of {requests:?}\ndone together: {done:?}, not {expected:?}"
            ));
        }
        if done != expected {
            self.count("batch that crashed");
        } else if done.contains(&true) {
            self.count("batch");
        }
        self.take_over(&requests, &endings).await?;
        self.compare()
            .await
            .map_err(|why| format!("after the batch:\n{why}"))?;
        for (request, ending) in requests.iter().zip(&endings) {
            if ending.is_none() {
                self.run(request, How::Whole).await?;
                self.count("alone after a batch");
            }
        }
        Ok(())
    }

    async fn endings(
        &self,
        requests: &[Request],
        seam: Option<&'static str>,
    ) -> Vec<Option<Ending>> {
        let messages: Vec<_> = requests.iter().map(Request::message).collect();
        let merger = self.mergers[0].clone();
        let run = async move {
            let envelopes: Vec<_> = messages.iter().map(envelope).collect();
            merger.run_together(&envelopes).await
        };
        let reports = match seam {
            None => run.await,
            Some(seam) => self.crash(seam, run).await,
        };
        let ending = |report: Option<user_merge::merge::Report>| report.map(|report| report.ending);
        reports.into_iter().map(ending).collect()
    }

    /// Which of them are done together: those of an account.
    fn expected(&self, requests: &[Request]) -> Vec<bool> {
        let (mut users, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let mut meets_none = Vec::new();
        for request in requests {
            let Request {
                account,
                key,
                source,
                target,
            } = request;
            let is_new = [
                keys.insert((account, key)),
                users.insert((account, source)),
                users.insert((account, target)),
            ];
            meets_none.push(is_new == [true; 3]);
        }
        let mut are_done = vec![false; requests.len()];
        for account in &self.accounts {
            let part: Vec<usize> = (0..requests.len())
                .filter(|&place| meets_none[place] && requests[place].account == account.id)
                .collect();
            if part.len() < 2 {
                continue;
            }
            // As much as one chunk, all of them together.
            let mut room = self.chunk;
            for place in part {
                let rows = self.rows(&requests[place]);
                if let Some(rest) = rows.and_then(|rows| room.checked_sub(rows)) {
                    room = rest;
                    are_done[place] = true;
                }
            }
        }
        are_done
    }

    /// What it takes to end it in its first transaction; none where it was begun already.
    fn rows(&self, request: &Request) -> Option<usize> {
        let account = self.accounts.iter().find(|a| a.id == request.account);
        let account = account.unwrap();
        if account.answer(request) != Answer::Merge {
            return Some(0);
        }
        let was_begun = account.merges.get(&request.key);
        if was_begun.is_some_and(|merge| merge.holds_users) {
            return None;
        }
        let tickets = account.tickets_of(request.source).len();
        Some(tickets + account.copied_on(request.source).len())
    }

    /// All of them saw the help desk as it was before the first was written: so refusals and repeats come first. The
    /// merges have no user in common, and any order of them will do.
    async fn take_over(
        &mut self,
        requests: &[Request],
        endings: &[Option<Ending>],
    ) -> Result<(), String> {
        for merges in [false, true] {
            for (request, ending) in requests.iter().zip(endings) {
                let Some(ending) = *ending else { continue };
                if merges == (ending == Ending::Completed) {
                    self.ended(request, How::Whole, ending, 0).await?;
                    self.count(format!("{} in a batch", ending.label()));
                }
            }
        }
        Ok(())
    }
}
