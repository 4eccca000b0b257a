//! What a person gets to see of it.

use super::cast::{NEIGHBOUR, SHOWN, SHOWN_TARGET};
use super::check::Check;
use super::outcomes::Outcome;
use super::plan::Plan;
use super::screen::{Screen, thousands};
use crate::broker::Properties;
use crate::store::demo::{Portrait, Rows, ShownTicket, Span};

/// The two who are shown, and the tickets on which they meet.
pub(super) struct Picture {
    pub source: Portrait,
    pub target: Portrait,
    pub tickets: Vec<ShownTicket>,
}

pub(super) fn help_desk(screen: &Screen, plan: &Plan, rows: &Rows) {
    let of = |account: i64, which: &dyn Fn(i64) -> usize| thousands(which(account));
    let users = |account| {
        rows.users
            .iter()
            .filter(|row| row.account == account)
            .count()
    };
    let tickets = |account| {
        rows.tickets
            .iter()
            .filter(|row| row.account == account)
            .count()
    };
    let ccs = |account| rows.ccs.iter().filter(|row| row.account == account).count();
    let table = plan.accounts.iter().map(|account| {
        vec![
            account.id.to_string(),
            account.name.to_owned(),
            account.sign_on.join(", "),
            if account.multiple_organizations {
                "several"
            } else {
                "one"
            }
            .to_owned(),
            of(account.id, &users),
            of(account.id, &tickets),
            of(account.id, &ccs),
        ]
    });
    screen.table(
        &[
            "id", "account", "sign-on", "orgs", "users", "tickets", "CCs",
        ],
        table.collect(),
    );
}

pub(super) fn before_and_after(screen: &Screen, before: &Picture, after: &Picture) {
    let list = |values: &[String]| values.join("\n");
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let row = |name: &str, of: &dyn Fn(&Portrait) -> String| {
        vec![
            name.to_owned(),
            of(&before.source),
            of(&before.target),
            of(&after.target),
        ]
    };
    screen.table(
        &["", "127, the duplicate", "128 before", "128 after"],
        vec![
            row("name", &|user| user.name.clone()),
            row("e-mail  P4", &|user| list(&user.emails)),
            row("phone  P1", &|user| list(&user.phones)),
            row("X  P15", &|user| list(&user.x)),
            row("language  P5", &|user| text(&user.locale)),
            row("member of  P7", &|user| list(&user.organizations)),
            row("tags  P8", &|user| user.tags.join(", ")),
            row("notes  P10", &|user| text(&user.notes)),
            row("tickets  T1", &|user| {
                (user.live + user.closed + user.archived).to_string()
            }),
            row("  live", &|user| user.live.to_string()),
            row("  closed", &|user| user.closed.to_string()),
            row("  archived", &|user| user.archived.to_string()),
            row("copied on  T4", &|user| user.ccs.to_string()),
        ],
    );
    let gone = &after.source;
    screen.text(&format!(
        "User 127 is a tombstone now: {} tickets, {} CCs, {} e-mail addresses, merged into {}. Its row stays until \
         the deletion pipeline has removed it (D4).",
        gone.live + gone.closed + gone.archived,
        gone.ccs,
        gone.emails.len(),
        gone.merged_into.map_or_else(|| "nobody".to_owned(), |id| id.to_string())
    ));
    screen.line("");
    let who = |id: i64| match id {
        SHOWN | SHOWN_TARGET => id.to_string(),
        NEIGHBOUR => "Jonas".to_owned(),
        other => format!("user {other}"),
    };
    let people = |ticket: &ShownTicket| {
        let ccs: Vec<_> = ticket.ccs.iter().map(|&id| who(id)).collect();
        if ccs.is_empty() {
            who(ticket.requester)
        } else {
            format!("{}, CC {}", who(ticket.requester), ccs.join(" and "))
        }
    };
    let tickets = before.tickets.iter().zip(&after.tickets);
    screen.table(
        &["ticket", "status", "before", "after"],
        tickets
            .map(|(was, is)| {
                vec![
                    was.subject.clone(),
                    was.status.clone(),
                    people(was),
                    people(is),
                ]
            })
            .collect(),
    );
}

pub(super) fn outcomes(screen: &Screen, outcomes: &[Outcome]) {
    let rows = outcomes.iter().map(|row| {
        vec![
            row.ending.to_owned(),
            row.reason.clone(),
            row.rule.clone(),
            thousands(row.count),
        ]
    });
    screen.table(&["outcome", "reason", "rule", "requests"], rows.collect());
}

pub(super) fn deletions(screen: &Screen, queue: &str, count: usize, example: Option<&[u8]>) {
    screen.text(&format!(
        "{} messages of this run wait in {queue}; none was taken out. The one for user {SHOWN}:",
        thousands(count)
    ));
    let text = example.map(|body| String::from_utf8_lossy(body).replace(",\"", ",\n \""));
    for line in text.iter().flat_map(|text| text.lines()) {
        screen.line(&format!("  {line}"));
    }
}

pub(super) fn dead_letters(screen: &Screen, queue: &str, letters: &[Properties]) {
    screen.text(&format!(
        "{} messages could not be read. They are in {queue} as they came, with the reason as headers:",
        letters.len()
    ));
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let rows = letters.iter().map(|letter| {
        vec![
            text(&letter.message_id),
            text(&letter.reason),
            text(&letter.detail),
        ]
    });
    screen.table(&["message", "x-reason", "x-detail"], rows.collect());
}

/// How quick it was, as the records of the merges tell.
pub(super) fn speed(screen: &Screen, others: Option<&Span>, large: Option<&Span>) {
    let rows = [("user 101", large), ("all others", others)].into_iter();
    let rows = rows.filter_map(|(name, span)| span.map(|span| (name, span)));
    let rows = rows.map(|(name, span)| {
        let seconds = seconds(span);
        let rate = |count: i64| thousands(per_second(count, seconds));
        vec![
            name.to_owned(),
            thousands(span.merges),
            thousands(span.tickets),
            thousands(span.ccs),
            format!("{seconds:.2} s"),
            if span.merges > 1 {
                rate(span.merges)
            } else {
                String::new()
            },
            rate(span.tickets),
        ]
    });
    screen.table(
        &[
            "",
            "merges",
            "tickets",
            "CCs",
            "time",
            "merges/s",
            "tickets/s",
        ],
        rows.collect(),
    );
}

pub(super) fn seconds(span: &Span) -> f64 {
    (span.ended - span.began).as_seconds_f64().max(0.001)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "counts and seconds of a demo"
)]
pub(super) fn per_second(count: i64, seconds: f64) -> i64 {
    (count as f64 / seconds) as i64
}

pub(super) fn checks(screen: &Screen, checks: &[Check]) {
    for check in checks {
        let wrong = check
            .wrong
            .as_ref()
            .map(|wrong| format!(": {wrong}"))
            .unwrap_or_default();
        screen.verdict(
            check.holds,
            &format!("{:<11}{}{wrong}", check.rules, check.what),
        );
    }
}
