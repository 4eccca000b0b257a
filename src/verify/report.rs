//! What was looked at, and what was found.

use serde::Serialize;

use super::Check;
use crate::domain::{AccountId, MergeId};

/// Findings of one check that are listed; beyond them they are counted.
pub const LISTED: usize = 100;

/// Where an invariant does not hold: ids and counts only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The tenant.
    pub account_id: AccountId,
    /// The merge.
    pub merge_id: MergeId,
    /// The user that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// A ticket, where it is about tickets: one of perhaps several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_id: Option<i64>,
    /// A row of `user_identities`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_id: Option<i64>,
    /// The other merge, where two don't go together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_merge_id: Option<MergeId>,
    /// How many there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<i64>,
    /// How many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<i64>,
}

impl Finding {
    pub(super) const fn of(account_id: AccountId, merge_id: MergeId) -> Self {
        Self {
            account_id,
            merge_id,
            user_id: None,
            ticket_id: None,
            identity_id: None,
            other_merge_id: None,
            expected: None,
            found: None,
        }
    }

    pub(super) const fn user(self, id: i64) -> Self {
        Self {
            user_id: Some(id),
            ..self
        }
    }

    pub(super) const fn ticket(self, ticket_id: Option<i64>) -> Self {
        Self { ticket_id, ..self }
    }

    pub(super) const fn counts(self, expected: i64, found: i64) -> Self {
        Self {
            expected: Some(expected),
            found: Some(found),
            ..self
        }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Tally {
    /// Which one.
    #[serde(rename = "code")]
    pub check: Check,
    /// The rules that it comes from.
    pub rules: &'static str,
    /// Merges, messages or log entries that were looked at.
    pub checked: u64,
    /// How many of them it does not hold for.
    pub violations: u64,
    /// The first of these.
    pub findings: Vec<Finding>,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Accounts that have merges or messages on record.
    pub accounts: u64,
    /// Merges looked at.
    pub merges: u64,
    /// Messages of the outbox looked at.
    pub messages: u64,
    /// Log entries looked at, whoever wrote them.
    pub log_entries: u64,
    /// Merges that moved on while the log was read: their entries are for the next time.
    pub in_motion: u64,
    /// Check by check.
    pub checks: Vec<Tally>,
}

impl Report {
    pub(super) fn new(skipped: &[Check]) -> Self {
        let tally = |&check: &Check| Tally {
            check,
            rules: check.rules(),
            checked: 0,
            violations: 0,
            findings: Vec::new(),
        };
        let wanted = Check::ALL.iter().filter(|check| !skipped.contains(check));
        Self {
            accounts: 0,
            merges: 0,
            messages: 0,
            log_entries: 0,
            in_motion: 0,
            checks: wanted.map(tally).collect(),
        }
    }

    /// Whether every invariant holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations() == 0
    }

    /// How many do not.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.checks.iter().map(|tally| tally.violations).sum()
    }

    pub(super) fn wants(&self, is_wanted: impl Fn(Check) -> bool) -> bool {
        self.checks.iter().any(|tally| is_wanted(tally.check))
    }

    pub(super) fn checked(&mut self, check: Check) {
        if let Some(tally) = self.tally(check) {
            tally.checked += 1;
        }
    }

    pub(super) fn found(&mut self, check: Check, finding: Finding) {
        if let Some(tally) = self.tally(check) {
            tally.violations += 1;
            if tally.findings.len() < LISTED {
                tally.findings.push(finding);
            }
        }
    }

    /// Counts a thing looked at, and a finding if it is not as it must be.
    pub(super) fn expect(&mut self, check: Check, holds: bool, finding: Finding) {
        self.checked(check);
        if !holds {
            self.found(check, finding);
        }
    }

    fn tally(&mut self, check: Check) -> Option<&mut Tally> {
        self.checks.iter_mut().find(|tally| tally.check == check)
    }
}
