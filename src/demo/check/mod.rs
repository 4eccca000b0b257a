//! The verdict: what is there, held against what the oracle says must be there.

mod messages;
mod tickets;
mod users;

use super::oracle::World;
use super::plan::Plan;
use super::screen::thousands;
use super::tally::Tally;
use crate::broker::Properties;
use crate::store::demo::{Findings, Recorded, Rows};

/// One question and its answer.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Check {
    /// The rules that it is about.
    pub rules: &'static str,
    /// What was asked.
    pub what: String,
    /// Whether it is so.
    pub holds: bool,
    /// Where it isn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// All that was found.
pub(super) struct Evidence<'a> {
    pub plan: &'a Plan,
    pub tally: &'a Tally,
    pub before: &'a Rows,
    pub after: &'a Rows,
    pub expected: &'a World,
    pub findings: &'a Findings,
    pub recorded: &'a [Recorded],
    /// Message ids of this run's deletion requests, as they lie in the queue.
    pub deletions: &'a [String],
    /// This run's dead letters.
    pub dead: &'a [Properties],
}

/// Holds where nothing is wrong.
fn check(rules: &'static str, what: String, wrong: usize) -> Check {
    Check {
        rules,
        what,
        holds: wrong == 0,
        wrong: (wrong > 0).then(|| format!("{wrong} wrong")),
    }
}

pub(super) fn all(evidence: &Evidence<'_>) -> Vec<Check> {
    let mut checks = vec![outcomes(evidence)];
    checks.extend(leftovers(evidence));
    checks.extend(tickets::requesters(evidence));
    checks.extend(tickets::ccs(evidence));
    checks.extend(tickets::log(evidence));
    checks.extend(users::profiles(evidence));
    checks.extend(users::bystanders(evidence));
    checks.extend(messages::messages(evidence));
    checks
}

fn outcomes(e: &Evidence<'_>) -> Check {
    let places = 0..e.plan.requests.len();
    let differs =
        |place: &usize| e.tally.came_to(e.plan, *place) != Some(e.plan.requests[*place].expect);
    let wrong: Vec<_> = places.filter(differs).collect();
    let mut check = check(
        "A, R",
        format!(
            "{} requests ended as the rules say",
            thousands(e.plan.requests.len())
        ),
        wrong.len(),
    );
    if let Some(&place) = wrong.first() {
        let planned = &e.plan.requests[place];
        check.wrong = Some(format!(
            "{} wrong; {} came to {:?}, not {:?}",
            wrong.len(),
            planned.request.idempotency_key,
            e.tally.came_to(e.plan, place),
            planned.expect
        ));
    }
    check
}

fn leftovers(e: &Evidence<'_>) -> [Check; 2] {
    let f = e.findings;
    let archived = if e.expected.moves_archived_ccs() {
        f.archived_ccs
    } else {
        0
    };
    let left = f.tickets + f.ccs + archived + f.emails;
    [
        check(
            "D1",
            "no ticket, CC or e-mail address is left with a merged user".to_owned(),
            count(left),
        ),
        check(
            "D1, D3",
            "every merged user leads to who it is today in one hop".to_owned(),
            count(f.hops + f.canonical + f.held) + different_tombstones(e),
        ),
    ]
}

fn different_tombstones(e: &Evidence<'_>) -> usize {
    let users = e.after.users.iter().zip(&e.expected.rows.users);
    users
        .filter(|(is, must)| is.merged_into != must.merged_into)
        .count()
        + e.after.users.len().abs_diff(e.expected.rows.users.len())
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
