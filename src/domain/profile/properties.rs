//! What holds for every two profiles, whatever they hold.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Spellings, and the number that each is, worked out by hand: not by the code under test.
const NUMBERS: &[(&str, &str)] = &[
    ("+33123456789", "fr"),
    ("+33 (0)1 23.45.67.89", "fr"),
    ("0033 1 23 45 67 89", "fr"),
    ("+33123456789 ext. 12", "fr, extension"),
    ("+49 30 12345678", "de"),
    ("00493012345678", "de"),
    ("01 23 45 67 89", "no country"),
    ("0123456789", "no country"),
];

const PRIVATE: &[&str] = &["tags", "notes", "details", "external_id", "user_fields"];

fn number(identity: &Identity) -> &'static str {
    let spelling = identity.number.as_deref().unwrap();
    let known = NUMBERS.iter().find(|(known, _)| *known == spelling);
    known.unwrap().1
}

fn identities(first_id: i64) -> impl Strategy<Value = Vec<Identity>> {
    use IdentityKind::{Email, Facebook, Google, Phone, X};
    let kind = select(vec![Email, Email, Phone, Phone, Phone, X, Facebook, Google]);
    let parts = (kind, select(NUMBERS), any::<bool>());
    vec(parts, 0..8).prop_map(move |parts| {
        let identity = |(id, (kind, (spelling, _), is_primary))| Identity {
            id,
            kind,
            number: (kind == Phone).then(|| String::from(spelling)),
            is_primary,
        };
        (first_id..).zip(parts).map(identity).collect()
    })
}

/// The default organization is one of the user's, as the facts make sure.
fn profile(first_id: i64) -> impl Strategy<Value = Profile> {
    let organization = (1_i64..6).prop_map(|id| id.try_into().unwrap());
    let private = btree_map(select(PRIVATE).prop_map(String::from), 1_i64..9, 0..4);
    let default = any::<Option<Index>>();
    let organizations = btree_set(organization, 0..4);
    (
        identities(first_id),
        organizations,
        default,
        any::<bool>(),
        private,
    )
        .prop_map(
            |(identities, organizations, default, suspended, private)| Profile {
                default_organization: default.filter(|_| !organizations.is_empty()).map(|index| {
                    *organizations
                        .iter()
                        .nth(index.index(organizations.len()))
                        .unwrap()
                }),
                identities,
                organizations,
                suspended,
                private,
            },
        )
}

fn rules() -> impl Strategy<Value = ProfileRules> {
    any::<(bool, bool)>().prop_map(|(multiple_organizations, carry_social_identities)| {
        ProfileRules {
            multiple_organizations,
            carry_social_identities,
        }
    })
}

/// How many of these identities the change moves.
fn moved(
    identities: &[Identity],
    change: &ProfileChange,
    is: impl Fn(IdentityKind) -> bool,
) -> i64 {
    let moves = |identity: &&Identity| change.identities.iter().any(|m| m.id == identity.id);
    let of_kind = identities.iter().filter(|identity| is(identity.kind));
    of_kind.filter(moves).count().try_into().unwrap()
}

fn is_social(kind: IdentityKind) -> bool {
    !matches!(kind, IdentityKind::Email | IdentityKind::Phone)
}

proptest! {
    /// P1, P4, P15: rows move from the source to the target, each once; the target's own are never touched.
    #[test]
    fn p4_only_the_sources_rows_move_and_each_once(
        source in profile(1), target in profile(100), rules in rules(),
    ) {
        let change = combine(&source, &target, rules);
        let ids: BTreeSet<i64> = change.identities.iter().map(|m| m.id).collect();
        prop_assert_eq!(ids.len(), change.identities.len());
        prop_assert!(ids.iter().all(|id| source.identities.iter().any(|i| i.id == *id)));
    }

    /// P3, P4: every address of the source moves, and never as the primary one.
    #[test]
    fn p3_every_address_moves_and_none_as_primary(
        source in profile(1), target in profile(100), rules in rules(),
    ) {
        let change = combine(&source, &target, rules);
        for email in source.identities.iter().filter(|i| i.kind == IdentityKind::Email) {
            let rows: Vec<_> = change.identities.iter().filter(|m| m.id == email.id).collect();
            prop_assert_eq!(rows, [&IdentityMove { id: email.id, is_primary: false }]);
        }
    }

    /// P1: afterwards the target has each number of the two exactly once more than it had it itself.
    #[test]
    fn p1_numbers_are_added_once_and_none_is_lost(
        source in profile(1), target in profile(100), rules in rules(),
    ) {
        let change = combine(&source, &target, rules);
        let phones = |profile: &Profile| {
            let phones = profile.identities.iter().filter(|i| i.kind == IdentityKind::Phone);
            phones.cloned().collect::<Vec<_>>()
        };
        let had: BTreeSet<_> = phones(&target).iter().map(number).collect();
        let offered: BTreeSet<_> = phones(&source).iter().map(number).collect();
        let mut added: Vec<_> = phones(&source).into_iter()
            .filter(|phone| change.identities.iter().any(|m| m.id == phone.id))
            .map(|phone| number(&phone))
            .collect();
        added.sort_unstable();
        prop_assert_eq!(added, offered.difference(&had).copied().collect::<Vec<_>>());
    }

    /// P1, P15: no kind of which the target has one gets a primary one; where it has none, one of those that
    /// were primary stays so, and no second one.
    #[test]
    fn p1_the_targets_primary_ones_stay(source in profile(1), target in profile(100), rules in rules()) {
        let change = combine(&source, &target, rules);
        for kind in [IdentityKind::Phone, IdentityKind::X, IdentityKind::Facebook, IdentityKind::Google] {
            let of_kind = |i: &&Identity| i.kind == kind && change.identities.iter().any(|m| m.id == i.id);
            let moved: Vec<_> = source.identities.iter().filter(of_kind).collect();
            let primary: Vec<_> = change.identities.iter()
                .filter(|m| m.is_primary && moved.iter().any(|i| i.id == m.id))
                .collect();
            let has_own = target.identities.iter().any(|own| own.kind == kind);
            let had_primary = source.identities.iter().any(|i| i.kind == kind && i.is_primary);
            let expected = !moved.is_empty() && had_primary && !has_own;
            prop_assert_eq!(primary.len(), usize::from(expected));
            prop_assert!(moved.iter().all(|i| i.is_primary || primary.iter().all(|m| m.id != i.id)));
        }
    }

    /// P7: nothing is taken from the target, and what is added is the source's.
    #[test]
    fn p7_organizations_are_added_by_the_accounts_rule(
        source in profile(1), target in profile(100), rules in rules(),
    ) {
        let change = combine(&source, &target, rules);
        let added: BTreeSet<_> = change.organizations.iter().copied().collect();
        prop_assert_eq!(added.len(), change.organizations.len());
        prop_assert!(added.is_subset(&source.organizations) && added.is_disjoint(&target.organizations));
        let homeless = target.organizations.is_empty();
        let expected = match (rules.multiple_organizations, homeless) {
            (true, _) => source.organizations.difference(&target.organizations).count(),
            (false, true) => source.organizations.len().min(1),
            (false, false) => 0,
        };
        prop_assert_eq!(added.len(), expected);
        // The default is one that the target gets, and it never replaces one.
        prop_assert_eq!(change.default_organization.is_some(), homeless && !source.organizations.is_empty());
        prop_assert!(change.default_organization.is_none_or(|default| added.contains(&default)));
    }

    /// P8, P9, P10, P12, P13, P15, P7: what the source had is moved, or on the target anyway, or counted as lost.
    #[test]
    fn p8_everything_is_accounted_for(source in profile(1), target in profile(100), rules in rules()) {
        let change = combine(&source, &target, rules);
        let lost = |kind: &str| change.counts.dropped.get(kind).copied().unwrap_or(0);
        for (kind, count) in &source.private {
            prop_assert_eq!(lost(kind), *count);
        }
        for (kind, label) in [
            (IdentityKind::X, "x"), (IdentityKind::Facebook, "facebook"), (IdentityKind::Google, "google"),
        ] {
            let had = source.identities.iter().filter(|i| i.kind == kind).count();
            let sum = moved(&source.identities, &change, |k| k == kind) + lost(label);
            prop_assert_eq!(sum, i64::try_from(had).unwrap());
        }
        let left = source.organizations.difference(&target.organizations).count();
        let sum = i64::try_from(change.organizations.len()).unwrap() + lost("organizations");
        prop_assert_eq!(sum, i64::try_from(left).unwrap());
        // And nothing is called lost that wasn't there.
        prop_assert!(change.counts.dropped.values().all(|count| *count > 0));
    }

    /// The counts say what the change does.
    #[test]
    fn p1_counts_are_those_of_the_change(source in profile(1), target in profile(100), rules in rules()) {
        let change = combine(&source, &target, rules);
        let rows = &source.identities;
        let counts = &change.counts;
        prop_assert_eq!(counts.emails_added, moved(rows, &change, |k| k == IdentityKind::Email));
        prop_assert_eq!(counts.phones_added, moved(rows, &change, |k| k == IdentityKind::Phone));
        prop_assert_eq!(counts.social_identities_added, moved(rows, &change, is_social));
        prop_assert!(rules.carry_social_identities || counts.social_identities_added == 0);
        prop_assert_eq!(counts.organizations_added, i64::try_from(change.organizations.len()).unwrap());
        prop_assert_eq!(counts.suspension_differs, source.suspended != target.suspended);
    }

    /// P1: separators are not part of a number, and every digit is.
    #[test]
    fn p1_separators_do_not_count_and_digits_do(
        digits in "[1-9][0-9]{8}", separators in vec(select(vec!["", " ", ".", "-", " - "]), 9), at in 0..9_usize,
    ) {
        let spaced: String = digits.chars().zip(&separators).flat_map(|(digit, s)| s.chars().chain([digit])).collect();
        let same = format!("+33{digits}");
        prop_assert_eq!(phone::comparable(&format!("0033{spaced}")), same.as_str());
        let other = if &digits[at..=at] == "7" { "8" } else { "7" };
        let other = format!("+33{}{other}{}", &digits[..at], &digits[at + 1..]);
        prop_assert_ne!(phone::comparable(&other), same);
    }

    /// P1: whatever stands in the number's column, reading it fails nothing.
    #[test]
    fn p1_any_text_can_be_compared(
        text in "\\PC{0,30}|[+0-9 ().;=/extEXT#-]{0,30}|\\+[0-9é٣ ]{1,20}|(tel:|;phone-context=|;isub=|;ext=|[+0-9x]){0,8}",
    ) {
        let padded = format!("\t {text} ");
        prop_assert_eq!(phone::comparable(&padded), phone::comparable(&text));
    }
}
