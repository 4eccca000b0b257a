//! What holds for every application, not only for those in the tables.

use proptest::prelude::*;

use super::tests::{elsewhere, id, no};
use super::*;

/// The table of the rules once more, independent of the code: each rule with the verdict that it leads to when
/// it fails, in the order in which they are asked.
const TABLE: [(&str, Fails, Leads); 17] = [
    (
        "A1",
        |a| a.source_id == a.target_id,
        |_| no(Reason::SameUser),
    ),
    // A recorded merge outlives the rows.
    (
        "A3, R3",
        |a| {
            (a.source.is_none() || merged_into(a.source.as_ref()).is_some())
                && a.recorded_target == Some(a.target_id)
        },
        |_| Verdict::AlreadyMerged,
    ),
    (
        "A3",
        |a| a.source.is_none() && a.recorded_target.is_some(),
        |a| elsewhere(Reason::SourceMergedElsewhere, a.recorded_target),
    ),
    ("A2", |a| a.source.is_none(), |_| no(Reason::SourceNotFound)),
    ("A2", |a| a.target.is_none(), |_| no(Reason::TargetNotFound)),
    (
        "A3",
        |a| merged_into(a.source.as_ref()) == Some(a.target_id),
        |_| Verdict::AlreadyMerged,
    ),
    (
        "A3",
        |a| merged_into(a.source.as_ref()).is_some(),
        |a| {
            elsewhere(
                Reason::SourceMergedElsewhere,
                merged_into(a.source.as_ref()),
            )
        },
    ),
    (
        "A4",
        |a| merged_into(a.target.as_ref()).is_some(),
        |a| elsewhere(Reason::TargetMerged, merged_into(a.target.as_ref())),
    ),
    (
        "A5",
        |a| is(a.source.as_ref(), |u| u.deleted),
        |_| no(Reason::SourceDeleted),
    ),
    (
        "A5",
        |a| is(a.target.as_ref(), |u| u.deleted),
        |_| no(Reason::TargetDeleted),
    ),
    (
        "A6",
        |a| is(a.source.as_ref(), is_staff),
        |_| no(Reason::SourceNotEndUser),
    ),
    (
        "A6",
        |a| is(a.target.as_ref(), is_staff),
        |_| no(Reason::TargetNotEndUser),
    ),
    (
        "A7",
        |a| is(a.source.as_ref(), is_nobody),
        |_| no(Reason::SourceUnverifiedWithoutContact),
    ),
    (
        "A7",
        |a| is(a.target.as_ref(), is_nobody),
        |_| no(Reason::TargetUnverifiedWithoutContact),
    ),
    (
        "A8",
        |a| {
            is(a.source.as_ref(), |u| u.tickets > a.ticket_limit)
                || is(a.target.as_ref(), |u| u.tickets > a.ticket_limit)
        },
        |a| {
            if is(a.source.as_ref(), |u| u.tickets > a.ticket_limit) {
                no(Reason::SourceTooManyTickets)
            } else {
                no(Reason::TargetTooManyTickets)
            }
        },
    ),
    (
        "A9",
        |a| {
            a.signs_on_by_token
                && (is(a.source.as_ref(), has_external_id)
                    || is(a.target.as_ref(), has_external_id))
        },
        |a| {
            if is(a.source.as_ref(), has_external_id) {
                no(Reason::SourceExternalId)
            } else {
                no(Reason::TargetExternalId)
            }
        },
    ),
    ("A10", |a| a.conflicting_merge, |_| Verdict::PutOff),
];

type Fails = fn(&Application) -> bool;
type Leads = fn(&Application) -> Verdict;

fn is(user: Option<&Candidate>, property: impl Fn(&Candidate) -> bool) -> bool {
    user.is_some_and(property)
}

fn merged_into(user: Option<&Candidate>) -> Option<UserId> {
    user?.merged_into
}

fn is_staff(user: &Candidate) -> bool {
    matches!(user.role, Role::Agent | Role::Admin)
}

fn is_nobody(user: &Candidate) -> bool {
    !(user.verified || user.has_email || user.has_x)
}

fn has_external_id(user: &Candidate) -> bool {
    user.has_external_id
}

prop_compose! {
    /// Users who are mostly in order, so that the later rules get their turn.
    fn candidates()(
        role in prop_oneof![8 => Just(Role::EndUser), 1 => Just(Role::Agent), 1 => Just(Role::Admin)],
        verified: bool,
        deleted in prop::bool::weighted(0.1),
        merged_into in prop::option::weighted(0.2, 1_i64..4),
        has_external_id in prop::bool::weighted(0.3),
        has_email: bool,
        has_x: bool,
        tickets in prop_oneof![8 => 0_i64..=10, 1 => 9_i64..12, 1 => 0_i64..],
    ) -> Candidate {
        let merged_into = merged_into.map(id);
        Candidate { role, verified, deleted, merged_into, has_external_id, has_email, has_x, tickets }
    }
}

prop_compose! {
    fn applications()(
        source_id in 1_i64..3,
        target_id in 1_i64..4,
        source in prop::option::weighted(0.9, candidates()),
        target in prop::option::weighted(0.9, candidates()),
        recorded_target in prop::option::weighted(0.3, 1_i64..4),
        signs_on_by_token: bool,
        conflicting_merge in prop::bool::weighted(0.3),
    ) -> Application {
        Application {
            source_id: id(source_id),
            target_id: id(target_id),
            source,
            target,
            recorded_target: recorded_target.map(id),
            signs_on_by_token,
            conflicting_merge,
            ticket_limit: 10,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// A1 to A10: whatever the two are, the first rule of the table that fails gives the verdict, and no other.
    #[test]
    fn a1_to_a10_the_first_failing_rule_decides(application in applications()) {
        let first = TABLE.iter().find(|(_, fails, _)| fails(&application));
        let expected = first.map_or(Verdict::Admit, |(_, _, leads)| leads(&application));
        prop_assert_eq!(admit(&application), expected, "{:?}", first.map(|(rule, ..)| rule));
    }

    /// A1 to A9: what is rejected is so whether or not another merge is going on; A10 only puts off.
    #[test]
    fn a10_a_conflict_changes_an_admission_only(application in applications()) {
        let with = |conflicting_merge| admit(&Application { conflicting_merge, ..application.clone() });
        match with(false) {
            Verdict::Admit => prop_assert_eq!(with(true), Verdict::PutOff),
            other => prop_assert_eq!(with(true), other),
        }
    }

    /// A3 and A4: a rejection names another user exactly where it is about a merged one, and never one of a
    /// pair that could be meant by it.
    #[test]
    fn a3_a4_only_a_merged_user_has_a_canonical_one(application in applications()) {
        if let Verdict::Reject(Rejection { reason, canonical_user_id }) = admit(&application) {
            let about_merged = matches!(reason, Reason::SourceMergedElsewhere | Reason::TargetMerged);
            prop_assert_eq!(canonical_user_id.is_some(), about_merged);
            if reason == Reason::SourceMergedElsewhere {
                prop_assert_ne!(canonical_user_id, Some(application.target_id));
            }
        }
    }
}

/// A1 to A10: the random applications above meet every rule, so that none passes unasked.
#[test]
fn a1_to_a10_random_applications_meet_every_verdict() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met = std::collections::HashMap::new();
    for _ in 0..20_000 {
        let application = applications().new_tree(&mut runner).unwrap().current();
        *met.entry(match admit(&application) {
            Verdict::Reject(rejection) => rejection.reason.label(),
            Verdict::AlreadyMerged => "already merged",
            Verdict::PutOff => "put off",
            Verdict::Admit => "admitted",
        })
        .or_insert(0) += 1;
    }
    // All reasons but the one that isn't admission's, and the three other verdicts.
    assert_eq!(met.len(), Reason::ALL.len() - 1 + 3, "{met:?}");
    assert!(met.values().all(|times| *times >= 20), "one-sided: {met:?}");
}
