//! Tickets, CCs and their log, row by row.

use std::collections::{BTreeMap, BTreeSet};

use super::super::oracle::Entry;
use super::{Check, Evidence, check, thousands};
use crate::store::demo::TicketRow;

pub(super) fn requesters(e: &Evidence<'_>) -> [Check; 2] {
    let (before, after, must) = (
        &e.before.tickets,
        &e.after.tickets,
        &e.expected.rows.tickets,
    );
    let id = |ticket: &TicketRow| (ticket.account, ticket.archived, ticket.id);
    let same_ids = before.iter().map(id).eq(after.iter().map(id));
    let wrong = after
        .iter()
        .zip(must)
        .filter(|(is, must)| is.requester != must.requester);
    // What a merge may change on a ticket: its requester, and when it was changed.
    let touched = before.iter().zip(after).filter(|(was, is)| {
        let untouched = was.requester != is.requester || was.touched == is.touched;
        was.rest != is.rest || !untouched
    });
    [
        check(
            "T1, T9",
            format!(
                "{} tickets as before, each with its rightful requester",
                thousands(after.len())
            ),
            usize::from(!same_ids) + wrong.count(),
        ),
        check(
            "T6, T10",
            format!(
                "nothing else on them changed; {} were moved",
                thousands(e.expected.moved)
            ),
            touched.count(),
        ),
    ]
}

pub(super) fn ccs(e: &Evidence<'_>) -> [Check; 1] {
    let mut must = BTreeSet::new();
    for (ticket, users) in e.expected.rows.tickets.iter().zip(&e.expected.ccs) {
        must.extend(
            users
                .iter()
                .map(|&user| (ticket.account, ticket.archived, ticket.id, user)),
        );
    }
    let is: BTreeSet<_> = e
        .after
        .ccs
        .iter()
        .map(|cc| (cc.account, cc.archived, cc.ticket, cc.user))
        .collect();
    let sum = e.after.ccs.len() + e.expected.deduplicated == e.before.ccs.len();
    [check(
        "T4, T5",
        format!(
            "{} CCs = {} before - {} that would be double",
            thousands(e.after.ccs.len()),
            thousands(e.before.ccs.len()),
            thousands(e.expected.deduplicated)
        ),
        usize::from(!sum) + is.symmetric_difference(&must).count(),
    )]
}

pub(super) fn log(e: &Evidence<'_>) -> [Check; 2] {
    let mut is: BTreeMap<Entry, usize> = BTreeMap::new();
    let mut odd = 0;
    for entry in &e.after.log {
        let old = entry.old.as_deref().and_then(|old| old.parse().ok());
        let field = match entry.field.as_str() {
            "requester_id" => "requester_id",
            "cc" => "cc",
            _ => "",
        };
        match old {
            Some(old) if !field.is_empty() => {
                *is.entry((entry.account, entry.ticket, field, old))
                    .or_default() += 1;
            }
            _ => odd += 1,
        }
    }
    let must = &e.expected.log;
    let differing = is
        .iter()
        .filter(|(entry, times)| must.get(entry) != Some(times))
        .count()
        + must.keys().filter(|entry| !is.contains_key(entry)).count();
    let known: BTreeSet<_> = e.recorded.iter().map(|merge| merge.id).collect();
    let unsigned = e.after.log.iter().filter(|entry| {
        let signed = entry.merge.is_some_and(|merge| known.contains(&merge));
        !signed || !entry.silent || entry.via != "user_merge"
    });
    [
        check(
            "T2",
            format!(
                "{} log entries: one for each change, none without",
                thousands(e.after.log.len())
            ),
            differing + odd,
        ),
        check(
            "T3",
            "each names its merge and fires no trigger".to_owned(),
            unsigned.count(),
        ),
    ]
}
