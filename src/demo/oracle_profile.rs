//! Rules P as the oracle reads them: who has which identity, and who is where a member.

use crate::store::demo::{IdentityRow, MembershipRow, Rows};

/// P1, P3, P4 and P15.
pub(super) fn identities(
    rows: &mut [IdentityRow],
    (account, source, target): (i64, i64, i64),
    carry_social: bool,
) {
    let of = |row: &IdentityRow, user| row.account == account && row.user == user;
    let has = |rows: &[IdentityRow], kind: &str| {
        rows.iter().any(|row| of(row, target) && row.kind == kind)
    };
    let had_phone = has(rows, "phone");
    let had: Vec<String> = ["x", "facebook", "google"]
        .into_iter()
        .filter(|kind| has(rows, kind))
        .map(str::to_owned)
        .collect();
    let mut numbers: Vec<_> = rows
        .iter()
        .filter(|row| of(row, target))
        .filter_map(|row| row.digits.clone())
        .collect();
    for row in rows.iter_mut().filter(|row| of(row, source)) {
        match row.kind.as_str() {
            "email" => {
                row.user = target;
                row.is_primary = false;
            }
            "phone" => {
                let digits = row.digits.clone().unwrap_or_default();
                if !numbers.contains(&digits) {
                    numbers.push(digits);
                    row.user = target;
                    row.is_primary = row.is_primary && !had_phone;
                }
            }
            kind if carry_social => {
                row.is_primary = row.is_primary && !had.iter().any(|other| other == kind);
                row.user = target;
            }
            _ => {}
        }
    }
}

/// P7.
pub(super) fn organizations(
    rows: &mut Rows,
    (account, source, target): (i64, i64, i64),
    several: bool,
) {
    let of = |rows: &Rows, user| -> Vec<MembershipRow> {
        let mine = |row: &&MembershipRow| row.account == account && row.user == user;
        let mut found: Vec<_> = rows.memberships.iter().filter(mine).cloned().collect();
        found.sort_by_key(|row| (!row.is_default, row.organization));
        found
    };
    let (from, to) = (of(rows, source), of(rows, target));
    // The demo's users are members of their default organization: the first of them is it.
    let first = from.first().map(|row| row.organization);
    let added: Vec<i64> = if several {
        let new = |id: &i64| to.iter().all(|row| row.organization != *id);
        from.iter()
            .map(|row| row.organization)
            .filter(new)
            .collect()
    } else if to.is_empty() {
        first.into_iter().collect()
    } else {
        Vec::new()
    };
    for organization in added {
        rows.memberships.push(MembershipRow {
            account,
            user: target,
            organization,
            is_default: to.is_empty() && Some(organization) == first,
        });
    }
    let homeless =
        |user: &&mut crate::store::demo::UserRow| user.account == account && user.id == target;
    if to.is_empty()
        && let Some(user) = rows.users.iter_mut().find(homeless)
    {
        user.organization = first.or(user.organization);
    }
}
