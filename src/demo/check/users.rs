//! Users, row by row: those who were merged, and all others.

use std::collections::BTreeSet;

use super::{Check, Evidence, check, thousands};
use crate::store::demo::Rows;

pub(super) fn profiles(e: &Evidence<'_>) -> [Check; 2] {
    let identities = e.after.identities.iter().zip(&e.expected.rows.identities);
    let emails = |rows: &Rows| {
        rows.identities
            .iter()
            .filter(|row| row.kind == "email")
            .count()
    };
    let wrong = identities.filter(|(is, must)| is != must).count()
        + e.after
            .identities
            .len()
            .abs_diff(e.expected.rows.identities.len());
    let memberships = |rows: &Rows| rows.memberships.iter().cloned().collect::<BTreeSet<_>>();
    let (is, must) = (memberships(e.after), memberships(&e.expected.rows));
    let defaults = e.after.users.iter().zip(&e.expected.rows.users);
    let moved_home = defaults.filter(|(is, must)| is.organization != must.organization);
    [
        check(
            "P1-P4, P15",
            format!(
                "{} addresses, {} other identities: each with its owner",
                thousands(emails(e.after)),
                thousands(e.after.identities.len() - emails(e.after))
            ),
            wrong,
        ),
        check(
            "P7",
            "organizations are united in accounts with several, else kept".to_owned(),
            is.symmetric_difference(&must).count() + moved_home.count(),
        ),
    ]
}

pub(super) fn bystanders(e: &Evidence<'_>) -> [Check; 2] {
    let users = e.before.users.iter().zip(&e.after.users);
    let changed = users.filter(|(was, is)| {
        let involved = e.expected.involved.contains(&(is.account, is.id));
        was.rest != is.rest
            || (!involved && was.touched != is.touched && is.merged_into == was.merged_into)
    });
    let kept: i64 = e
        .after
        .contributions
        .iter()
        .map(|(_, count, _)| count)
        .sum();
    [
        check(
            "P2-P13",
            format!(
                "nothing else changed in {} users, nothing in account {}",
                thousands(e.after.users.len()),
                e.plan.bystander()
            ),
            changed.count(),
        ),
        check(
            "P14",
            format!(
                "{} votes, subscriptions, posts and comments are kept",
                thousands(kept)
            ),
            usize::from(e.before.contributions != e.after.contributions),
        ),
    ]
}
