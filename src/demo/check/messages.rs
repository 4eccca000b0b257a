//! What is in the queues, and whether the records agree with it.

use std::collections::BTreeSet;

use super::super::script::Expect;
use super::{Check, Evidence, check, count, thousands};
use crate::store::demo::Recorded;

pub(super) fn messages(e: &Evidence<'_>) -> [Check; 3] {
    let must: BTreeSet<String> = e
        .plan
        .merged()
        .map(|(account, source, _)| format!("user-deletion:{account}:{source}"))
        .collect();
    let is: BTreeSet<String> = e.deletions.iter().cloned().collect();
    let doubles = e.deletions.len() - is.len();
    let did = |merge: &&Recorded| merge.state == "completed" && !merge.already_merged;
    let tickets: i64 = e
        .recorded
        .iter()
        .filter(did)
        .map(|merge| merge.tickets)
        .sum();
    let unequal = usize::from(count(tickets) != e.expected.moved);
    let completed = |place: &usize| e.tally.came_to(e.plan, *place) == Some(Expect::Completed);
    let events = (0..e.plan.requests.len()).filter(completed).count();
    let reasons: BTreeSet<_> = e
        .dead
        .iter()
        .map(|letter| (letter.message_id.as_deref(), letter.reason.as_deref()))
        .collect();
    let lost = e.plan.unreadable.iter().filter(|message| {
        !reasons.contains(&(Some(&*message.message_id), Some(message.reason.label())))
    });
    [
        check(
            "R6",
            format!(
                "{} unreadable messages are dead letters, each with its reason",
                e.dead.len()
            ),
            lost.count() + e.dead.len().abs_diff(e.plan.unreadable.len()),
        ),
        check(
            "D2",
            format!(
                "{} deletion messages: one for each merge, no more",
                thousands(e.deletions.len())
            ),
            is.symmetric_difference(&must).count() + doubles + events.abs_diff(is.len()),
        ),
        check(
            "D2, R",
            "the records add up to what was moved; nothing is unpublished".to_owned(),
            unequal + count(e.findings.unpublished),
        ),
    ]
}
