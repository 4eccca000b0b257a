use super::*;

const ONE_ORGANIZATION: ProfileRules = ProfileRules {
    multiple_organizations: false,
    carry_social_identities: false,
};
const SEVERAL_ORGANIZATIONS: ProfileRules = ProfileRules {
    multiple_organizations: true,
    ..ONE_ORGANIZATION
};
const CARRY_SOCIAL: ProfileRules = ProfileRules {
    carry_social_identities: true,
    ..ONE_ORGANIZATION
};

/// A source, a target, and what the rule makes of them.
struct Case {
    rule: &'static str,
    says: &'static str,
    rules: ProfileRules,
    source: Profile,
    target: Profile,
    expected: ProfileChange,
}

fn identity(id: i64, kind: IdentityKind) -> Identity {
    Identity {
        id,
        kind,
        number: None,
        is_primary: false,
    }
}

fn email(id: i64) -> Identity {
    identity(id, IdentityKind::Email)
}

fn phone(id: i64, number: &str) -> Identity {
    Identity {
        number: Some(number.to_owned()),
        ..identity(id, IdentityKind::Phone)
    }
}

fn primary(identity: Identity) -> Identity {
    Identity {
        is_primary: true,
        ..identity
    }
}

fn with(identities: impl Into<Vec<Identity>>) -> Profile {
    Profile {
        identities: identities.into(),
        ..Profile::default()
    }
}

/// A member of these organizations, the first one being the default where `default` says so.
fn member(default: Option<i64>, organizations: &[i64]) -> Profile {
    Profile {
        organizations: organizations.iter().copied().map(organization).collect(),
        default_organization: default.map(organization),
        ..Profile::default()
    }
}

fn organization(id: i64) -> OrganizationId {
    id.try_into().unwrap()
}

fn holding(kind: &str, count: i64) -> Profile {
    Profile {
        private: BTreeMap::from([(kind.to_owned(), count)]),
        ..Profile::default()
    }
}

fn dropped<const N: usize>(kinds: [(&str, i64); N]) -> ProfileChange {
    let mut change = ProfileChange::default();
    change.counts.dropped = kinds.map(|(kind, count)| (kind.to_owned(), count)).into();
    change
}

fn moved(rows: &[(i64, bool)], count: impl Fn(&mut ProfileCounts)) -> ProfileChange {
    let rows = rows.iter();
    let mut change = ProfileChange {
        identities: rows
            .map(|&(id, is_primary)| IdentityMove { id, is_primary })
            .collect(),
        ..ProfileChange::default()
    };
    count(&mut change.counts);
    change
}

fn joined(organizations: &[i64], default: Option<i64>, lost: i64) -> ProfileChange {
    let mut change = ProfileChange {
        organizations: organizations.iter().copied().map(organization).collect(),
        default_organization: default.map(organization),
        ..ProfileChange::default()
    };
    change.counts.organizations_added = change.organizations.len().try_into().unwrap();
    if lost > 0 {
        let lost = (String::from("organizations"), lost);
        change.counts.dropped.extend([lost]);
    }
    change
}

/// One line a fact of the table; `case!` keeps it to one line each where that can be read.
macro_rules! case {
    ($rule:literal, $says:literal, $rules:ident, $source:expr, $target:expr => $expected:expr) => {
        Case {
            rule: $rule,
            says: $says,
            rules: $rules,
            source: $source,
            target: $target,
            expected: $expected,
        }
    };
}

fn phones() -> Vec<Case> {
    const A: &str = "+33123456789";
    const A_AGAIN: &str = "0033 (0)1 23 45 67 89";
    const B: &str = "+493012345678";
    let one = |counts: &mut ProfileCounts| counts.phones_added = 1;
    let two = |counts: &mut ProfileCounts| counts.phones_added = 2;
    vec![
        case!("P1", "the second number where the target has one", ONE_ORGANIZATION,
            with([primary(phone(1, A))]), with([primary(phone(9, B))]) => moved(&[(1, false)], one)),
        case!("P1", "the first number where the target has none", ONE_ORGANIZATION,
            with([primary(phone(1, A))]), with([primary(email(9))]) => moved(&[(1, true)], one)),
        case!("P1", "all of the source's numbers", ONE_ORGANIZATION,
            with([phone(1, A), phone(2, B)]), with([phone(9, "+1 212 555 0100")])
                => moved(&[(1, false), (2, false)], two)),
        case!("P1", "not one that the target has in another spelling", ONE_ORGANIZATION,
            with([primary(phone(1, A_AGAIN))]), with([phone(9, A)]) => ProfileChange::default()),
        case!("P1", "not one twice that the source has twice", ONE_ORGANIZATION,
            with([phone(1, A), phone(2, A_AGAIN)]), with([]) => moved(&[(1, false)], one)),
        case!("P1", "of two equal numbers the primary one", ONE_ORGANIZATION,
            with([phone(1, A), primary(phone(2, A_AGAIN))]), with([]) => moved(&[(2, true)], one)),
    ]
}

fn addresses() -> Vec<Case> {
    let two = |counts: &mut ProfileCounts| counts.emails_added = 2;
    vec![
        case!("P3", "the primary address stays, even if there is none", ONE_ORGANIZATION,
            with([primary(email(1)), email(2)]), with([]) => moved(&[(1, false), (2, false)], two)),
        case!("P4", "primary and secondary ones become secondary", ONE_ORGANIZATION,
            with([primary(email(1)), email(2)]), with([primary(email(8)), email(9)])
                => moved(&[(1, false), (2, false)], two)),
    ]
}

fn social_identities() -> Vec<Case> {
    let source = || {
        with([
            primary(identity(1, IdentityKind::X)),
            identity(2, IdentityKind::X),
            primary(identity(3, IdentityKind::Facebook)),
            identity(4, IdentityKind::Google),
        ])
    };
    let target = || with([primary(identity(9, IdentityKind::X))]);
    vec![
        case!("P15", "lost by default, counted by kind", ONE_ORGANIZATION,
            source(), target() => dropped([("x", 2), ("facebook", 1), ("google", 1)])),
        case!("P15", "carried over, and the target's primary one stays so", CARRY_SOCIAL,
            source(), target() => moved(&[(1, false), (3, true), (2, false), (4, false)],
                |counts| counts.social_identities_added = 4)),
    ]
}

fn organizations() -> Vec<Case> {
    vec![
        case!("P7", "several: the union, and the target's default stays", SEVERAL_ORGANIZATIONS,
            member(Some(3), &[1, 2, 3]), member(Some(2), &[2, 4]) => joined(&[1, 3], None, 0)),
        case!("P7", "several: a target without any gets the source's default", SEVERAL_ORGANIZATIONS,
            member(Some(3), &[1, 3]), member(None, &[]) => joined(&[1, 3], Some(3), 0)),
        case!("P7", "several: a member without a default stays without", SEVERAL_ORGANIZATIONS,
            member(Some(3), &[3]), member(None, &[4]) => joined(&[3], None, 0)),
        case!("P7", "one: the target keeps its own", ONE_ORGANIZATION,
            member(Some(3), &[1, 3]), member(Some(4), &[4]) => joined(&[], None, 2)),
        case!("P7", "one: what both have is not lost", ONE_ORGANIZATION,
            member(Some(4), &[4]), member(Some(4), &[4]) => ProfileChange::default()),
        case!("P7", "one: a target without any gets the source's default", ONE_ORGANIZATION,
            member(Some(3), &[1, 3]), member(None, &[]) => joined(&[3], Some(3), 1)),
        case!("P7", "one: without a default the lowest id", ONE_ORGANIZATION,
            member(None, &[5, 2]), member(None, &[]) => joined(&[2], Some(2), 1)),
        case!("P7", "neither has any", SEVERAL_ORGANIZATIONS,
            member(None, &[]), member(None, &[]) => ProfileChange::default()),
    ]
}

/// What only the target keeps: the change has no place for it, the count says what is gone.
fn lost() -> Vec<Case> {
    let kinds = [
        ("P2", "direct_line", 1),
        ("P5", "locale", 1),
        ("P6", "time_zone", 1),
        ("P8", "tags", 7),
        ("P9", "details", 1),
        ("P10", "notes", 1),
        ("P11", "photo", 1),
        ("P12", "user_fields", 3),
        ("P13", "external_id", 1),
    ];
    let cases = kinds.map(|(rule, kind, count)| Case {
        rule,
        says: "the source's is lost, and counted",
        rules: SEVERAL_ORGANIZATIONS,
        source: holding(kind, count),
        target: holding(kind, 9),
        expected: dropped([(kind, count)]),
    });
    cases.into()
}

fn suspension() -> Vec<Case> {
    let flag = |suspended| Profile {
        suspended,
        ..Profile::default()
    };
    let differs = || moved(&[], |counts| counts.suspension_differs = true);
    vec![
        case!("P16", "a suspended source", ONE_ORGANIZATION, flag(true), flag(false) => differs()),
        case!("P16", "a suspended target", ONE_ORGANIZATION, flag(false), flag(true) => differs()),
        case!("P16", "both", ONE_ORGANIZATION, flag(true), flag(true) => ProfileChange::default()),
    ]
}

/// P1 to P16, without P14: what is not looked at can't be changed; the tables say so in `rules_p`.
#[test]
fn p_the_table_of_profile_rules() {
    let mut rules = BTreeSet::new();
    let tables = [
        phones(),
        addresses(),
        social_identities(),
        organizations(),
        lost(),
        suspension(),
    ];
    for case in tables.into_iter().flatten() {
        let change = combine(&case.source, &case.target, case.rules);
        assert_eq!(change, case.expected, "{}: {}", case.rule, case.says);
        rules.insert(case.rule);
    }
    let all: Vec<String> = (1..=16)
        .filter(|n| *n != 14)
        .map(|n| format!("P{n}"))
        .collect();
    let missing: Vec<_> = all
        .iter()
        .filter(|rule| !rules.contains(rule.as_str()))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

/// P1: the plans that numbers are read by take memory for good; most merges have no two numbers to compare.
#[test]
fn p1_a_number_that_meets_no_other_is_not_read() {
    let read = |source: Vec<Identity>, target: Vec<Identity>| {
        let (source, target) = (with(source), with(target));
        let read = std::cell::Cell::new(0);
        let comparable = |number: &str| {
            read.set(read.get() + 1);
            number.to_owned()
        };
        let mut change = ProfileChange::default();
        identities(&source, &target, ONE_ORGANIZATION, comparable, &mut change);
        (read.get(), change.counts.phones_added)
    };
    let (one, other) = (phone(1, "+33 1"), phone(2, "+33 2"));
    assert_eq!(read(vec![one.clone()], vec![]), (0, 1));
    assert_eq!(
        read(vec![email(3)], vec![one.clone(), other.clone()]),
        (0, 0)
    );
    assert_eq!(read(vec![one.clone()], vec![other.clone()]), (2, 1));
    assert_eq!(read(vec![one, other], vec![]), (2, 2));
}

/// P1: a number is personal, so not even a debug line shows it.
#[test]
fn p1_a_number_is_never_shown() {
    let profile = with([phone(1, "+33123456789")]);
    let shown = format!("{profile:?}");
    assert!(
        shown.contains("Phone") && !shown.contains("123456"),
        "{shown}"
    );
}
