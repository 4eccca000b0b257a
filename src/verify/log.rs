//! The ticket event log against what the merges say they moved (rules T2, T3).

use std::collections::HashMap;
use std::mem;

use chrono::{DateTime, Utc};

use super::{Check, Finding, Report};
use crate::domain::{AccountId, MergeId};
use crate::store::verify::{Counts, LogEntry, MergeFacts};

/// Entries among which two of one ticket are recognized. Those of one transaction lie close together.
const NEAR: usize = 100_000;

/// A merge as it was before the log was read, and its entries.
#[derive(Debug)]
struct Entries {
    source: String,
    target: String,
    said: Counts,
    requesters: i64,
    ccs_moved: i64,
    ccs_deduplicated: i64,
    /// Tickets that were not taken from the source.
    not_from_source: Seen,
    /// Entries that name others than the merge's two users in another way.
    strangers: Seen,
    triggers: Seen,
    twice: Seen,
    /// A ticket that was moved more than once: by a mistake, or because an agent gave it back meanwhile.
    again: Option<i64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    count: i64,
    ticket: Option<i64>,
}

impl Seen {
    const fn add(&mut self, ticket: i64) {
        self.count += 1;
        if self.ticket.is_none() {
            self.ticket = Some(ticket);
        }
    }
}

type Move = (MergeId, i64, bool, Option<String>, Option<String>);

/// The log of one account, while it is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    merges: HashMap<MergeId, Entries>,
    recent: HashMap<Move, DateTime<Utc>>,
    before: HashMap<Move, DateTime<Utc>>,
}

impl Ledger {
    /// Notes what a merge says before the log is read.
    pub(super) fn expect(&mut self, merge: &MergeFacts) {
        let entries = Entries {
            source: merge.source.to_string(),
            target: merge.target.to_string(),
            said: merge.counts,
            requesters: 0,
            ccs_moved: 0,
            ccs_deduplicated: 0,
            not_from_source: Seen::default(),
            strangers: Seen::default(),
            triggers: Seen::default(),
            twice: Seen::default(),
            again: None,
        };
        self.merges.insert(merge.id, entries);
    }

    /// Adds an entry. One of a merge that isn't on record is none of ours.
    pub(super) fn add(&mut self, entry: LogEntry) {
        let Some(seen) = self.merges.get_mut(&entry.merge) else {
            return;
        };
        let ticket = entry.ticket;
        let is_requester = entry.field == "requester_id";
        let (old, new) = (entry.old.as_deref(), entry.new.as_deref());
        let is_target = new == Some(&seen.target);
        let are_ours = if is_requester {
            seen.requesters += 1;
            is_target
        } else {
            if new.is_some() {
                seen.ccs_moved += 1;
            } else {
                seen.ccs_deduplicated += 1;
            }
            // Where the target becomes requester, its own CC goes (rule T5).
            old == Some(&seen.source) && (new.is_none() || is_target)
                || old == Some(&seen.target) && new.is_none()
        };
        if is_requester && old != Some(&seen.source) {
            seen.not_from_source.add(ticket);
        } else if !are_ours {
            seen.strangers.add(ticket);
        }
        if !entry.suppresses_triggers {
            seen.triggers.add(ticket);
        }
        let step = (entry.merge, ticket, is_requester, entry.old, entry.new);
        let earlier = self.recent.get(&step).or_else(|| self.before.get(&step));
        match earlier {
            // No transaction moves a ticket twice.
            Some(at) if *at == entry.created_at => seen.twice.add(ticket),
            Some(_) => seen.again = Some(ticket),
            None => {}
        }
        self.recent.insert(step, entry.created_at);
        if self.recent.len() >= NEAR {
            self.before = mem::take(&mut self.recent);
        }
    }

    /// Compares, once the log is read, with what the merge says now. One that has changed meanwhile, or that
    /// wasn't there, is left for the next time.
    pub(super) fn judge(
        &mut self,
        report: &mut Report,
        account: AccountId,
        merge: MergeId,
        now: Counts,
    ) {
        match self.merges.remove(&merge) {
            Some(entries) if entries.said == now => {
                judge(report, &Finding::of(account, merge), &entries);
            }
            _ => report.in_motion += 1,
        }
    }
}

fn judge(report: &mut Report, about: &Finding, entries: &Entries) {
    let said = entries.said;
    let kinds = [
        (said.tickets, entries.requesters),
        (said.ccs_moved, entries.ccs_moved),
        (said.ccs_deduplicated, entries.ccs_deduplicated),
    ];
    let counts = about.clone().counts(
        kinds.iter().map(|(said, _)| said).sum(),
        kinds.iter().map(|(_, found)| found).sum(),
    );
    let is_short = kinds.iter().any(|(said, found)| found < said);
    report.expect(Check::LogMissing, !is_short, counts.clone());
    // What came late is one number for tickets, CCs and addresses; and an address has no entry (rule D4).
    let surplus: i64 = kinds
        .iter()
        .map(|(said, found)| (found - said).max(0))
        .sum();
    let is_more = surplus > said.late + entries.twice.count;
    report.expect(Check::LogExtra, !is_more, counts.ticket(entries.again));

    let at = |seen: Seen| about.clone().ticket(seen.ticket);
    let (twice, triggers) = (entries.twice, entries.triggers);
    report.expect(Check::LogTwice, twice.count == 0, at(twice));
    // What came late went to whomever the target had been merged into by then (rule D3).
    let wrong = [(entries.not_from_source, 0), (entries.strangers, said.late)]
        .into_iter()
        .find(|(seen, may_be)| seen.count > *may_be);
    let (seen, _) = wrong.unwrap_or_default();
    report.expect(Check::LogUsers, wrong.is_none(), at(seen));
    report.expect(Check::LogTriggers, triggers.count == 0, at(triggers));
}
