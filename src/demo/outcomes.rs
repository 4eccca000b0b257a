//! The table of outcomes: what requests came to, by the rule that decided, and how many.

use std::collections::BTreeMap;

use super::plan::Plan;
use super::script::Expect;
use super::tally::Tally;
use crate::broker::Properties;
use crate::domain::Reason;

/// One row of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Outcome {
    /// `completed`, `rejected`, `dead letter`, or `none`.
    pub ending: &'static str,
    /// The reason code, or a word on the kind of success.
    pub reason: String,
    /// The rule.
    pub rule: String,
    /// How many requests.
    pub count: usize,
}

/// In the order of the rules.
pub(super) fn table(plan: &Plan, tally: &Tally, dead: &[Properties], put_off: u32) -> Vec<Outcome> {
    let mut counts: BTreeMap<(usize, &'static str, String, String), usize> = BTreeMap::new();
    for place in 0..plan.requests.len() {
        let (order, outcome, reason, rule) = match tally.came_to(plan, place) {
            Some(Expect::Completed) => (0, "completed", "merged", "T, P, D"),
            Some(Expect::AlreadyMerged) => (1, "completed", "already_merged", "A3, R3"),
            Some(Expect::Repeated) => (2, "completed", "repeated", "R1"),
            Some(Expect::Rejected(reason)) => {
                (3 + order(reason), "rejected", reason.label(), reason.rule())
            }
            None => (90, "none", "failed, or not heard of", ""),
        };
        let row = (order, outcome, reason.to_owned(), rule.to_owned());
        *counts.entry(row).or_default() += 1;
    }
    for letter in dead {
        let reason = letter.reason.clone().unwrap_or_default();
        *counts
            .entry((80, "dead letter", reason, "R6".to_owned()))
            .or_default() += 1;
    }
    let mut rows: Vec<_> = counts
        .into_iter()
        .map(|((_, outcome, reason, rule), count)| Outcome {
            ending: outcome,
            reason,
            rule,
            count,
        })
        .collect();
    if put_off > 0 {
        let row = Outcome {
            ending: "put off",
            reason: "conflicting_merge, then merged".to_owned(),
            rule: "A10".to_owned(),
            count: put_off as usize,
        };
        let at = rows
            .iter()
            .position(|row| row.ending == "dead letter")
            .unwrap_or(rows.len());
        rows.insert(at, row);
    }
    rows
}

/// The record's own refusal comes last among the rejections.
fn order(reason: Reason) -> usize {
    let place = Reason::ALL
        .iter()
        .position(|known| *known == reason)
        .unwrap_or(0);
    if reason == Reason::IdempotencyKeyReused {
        Reason::ALL.len()
    } else {
        place
    }
}
