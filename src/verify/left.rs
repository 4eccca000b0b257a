//! What is left with merged users, and who of them is worth a second look.

use super::{Check, Finding, Report};
use crate::domain::AccountId;
use crate::store::verify::Left;

/// What belongs to a merged user. Not a verdict while the sweep may be about to move it on (rule D4).
pub(super) const fn is_anything(left: &Left) -> bool {
    left.ticket.is_some()
        || left.archived_ticket.is_some()
        || left.cc.is_some()
        || left.archived_cc.is_some()
        || left.email.is_some()
}

pub(super) fn judge(report: &mut Report, account: AccountId, left: &Left) {
    let about = || Finding::of(account, left.merge).user(left.source);
    let tickets = [
        (Check::LeftTicket, left.ticket),
        (Check::LeftArchivedTicket, left.archived_ticket),
        (Check::LeftCc, left.cc),
        (Check::LeftArchivedCc, left.archived_cc),
    ];
    for (check, ticket) in tickets {
        if ticket.is_some() {
            report.found(check, about().ticket(ticket));
        }
    }
    if left.email.is_some() {
        let finding = Finding {
            identity_id: left.email,
            ..about()
        };
        report.found(Check::LeftEmail, finding);
    }
}

/// Counts a merged user that was looked at, and judges what no sweep changes.
pub(super) fn look(report: &mut Report, account: AccountId, left: &Left) {
    for check in [
        Check::LeftTicket,
        Check::LeftArchivedTicket,
        Check::LeftCc,
        Check::LeftArchivedCc,
        Check::LeftEmail,
    ] {
        report.checked(check);
    }
    let twice = Finding {
        identity_id: left.email_twice,
        ..Finding::of(account, left.merge).user(left.target)
    };
    report.expect(Check::EmailTwice, left.email_twice.is_none(), twice);
}
