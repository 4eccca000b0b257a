use super::*;

pub(super) const fn no(reason: Reason) -> Verdict {
    elsewhere(reason, None)
}

pub(super) const fn elsewhere(reason: Reason, canonical_user_id: Option<UserId>) -> Verdict {
    Verdict::Reject(Rejection {
        reason,
        canonical_user_id,
    })
}

pub(super) fn id(id: i64) -> UserId {
    id.try_into().unwrap()
}

fn user() -> Candidate {
    Candidate {
        role: Role::EndUser,
        verified: true,
        deleted: false,
        merged_into: None,
        has_external_id: false,
        has_email: false,
        has_x: false,
        tickets: 0,
    }
}

fn application() -> Application {
    Application {
        source_id: id(1),
        target_id: id(2),
        source: Some(user()),
        target: Some(user()),
        recorded_target: None,
        signs_on_by_token: false,
        conflicting_merge: false,
        ticket_limit: 10,
    }
}

type Change = fn(&mut Candidate);
/// For the source and for the target; none where it is no obstacle.
type Reasons = Option<(Reason, Reason)>;

/// A5 to A9: what one of two good users makes of the verdict, as source and as target.
#[test]
fn a5_to_a9_each_of_the_two_is_asked() {
    use Reason as R;
    let unverified: Change = |u| u.verified = false;
    let cases: [(&str, Change, Reasons); 14] = [
        (
            "A5",
            |u| u.deleted = true,
            Some((R::SourceDeleted, R::TargetDeleted)),
        ),
        (
            "A6",
            |u| u.role = Role::Agent,
            Some((R::SourceNotEndUser, R::TargetNotEndUser)),
        ),
        (
            "A6",
            |u| u.role = Role::Admin,
            Some((R::SourceNotEndUser, R::TargetNotEndUser)),
        ),
        (
            "A7",
            unverified,
            Some((
                R::SourceUnverifiedWithoutContact,
                R::TargetUnverifiedWithoutContact,
            )),
        ),
        (
            "A7, e-mail",
            |u| (u.verified, u.has_email) = (false, true),
            None,
        ),
        ("A7, X", |u| (u.verified, u.has_x) = (false, true), None),
        (
            "A7, both",
            |u| (u.verified, u.has_email, u.has_x) = (false, true, true),
            None,
        ),
        (
            "A7, verified",
            |u| (u.has_email, u.has_x) = (true, true),
            None,
        ),
        ("A8, one below", |u| u.tickets = 9, None),
        ("A8, at the limit", |u| u.tickets = 10, None),
        (
            "A8, one above",
            |u| u.tickets = 11,
            Some((R::SourceTooManyTickets, R::TargetTooManyTickets)),
        ),
        (
            "A8, far above",
            |u| u.tickets = i64::MAX,
            Some((R::SourceTooManyTickets, R::TargetTooManyTickets)),
        ),
        (
            "A9",
            |u| u.has_external_id = true,
            Some((R::SourceExternalId, R::TargetExternalId)),
        ),
        ("nothing", |_| {}, None),
    ];
    for (rule, change, reasons) in cases {
        let expected =
            |reason: fn((R, R)) -> R| reasons.map_or(Verdict::Admit, |both| no(reason(both)));
        let mut source = Application {
            signs_on_by_token: true,
            ..application()
        };
        let mut target = source.clone();
        change(source.source.as_mut().unwrap());
        change(target.target.as_mut().unwrap());
        assert_eq!(admit(&source), expected(|both| both.0), "{rule}, source");
        assert_eq!(admit(&target), expected(|both| both.1), "{rule}, target");
    }
}

/// A1 to A4 and A10: what is decided by who the two are, and by what is on record.
#[test]
fn a1_to_a4_and_a10_the_pair_and_the_record() {
    use Reason as R;
    type Change = fn(&mut Application);
    let cases: [(&str, Change, Verdict); 14] = [
        ("A1", |a| a.target_id = a.source_id, no(R::SameUser)),
        ("A2", |a| a.source = None, no(R::SourceNotFound)),
        ("A2", |a| a.target = None, no(R::TargetNotFound)),
        (
            "A2, neither",
            |a| (a.source, a.target) = (None, None),
            no(R::SourceNotFound),
        ),
        ("A3", |a| merge(&mut a.source, 2), Verdict::AlreadyMerged),
        (
            "A3",
            |a| merge(&mut a.source, 3),
            elsewhere(R::SourceMergedElsewhere, Some(id(3))),
        ),
        (
            "A3, gone",
            |a| (a.source, a.recorded_target) = (None, Some(id(2))),
            Verdict::AlreadyMerged,
        ),
        (
            "A3, both gone",
            |a| (a.source, a.target, a.recorded_target) = (None, None, Some(id(2))),
            Verdict::AlreadyMerged,
        ),
        (
            "A3, gone elsewhere",
            |a| (a.source, a.recorded_target) = (None, Some(id(3))),
            elsewhere(R::SourceMergedElsewhere, Some(id(3))),
        ),
        (
            "A3, merged on",
            |a| {
                merge(&mut a.source, 3);
                a.recorded_target = Some(id(2));
            },
            Verdict::AlreadyMerged,
        ),
        (
            "A4",
            |a| merge(&mut a.target, 3),
            elsewhere(R::TargetMerged, Some(id(3))),
        ),
        (
            "A4, into the source",
            |a| merge(&mut a.target, 1),
            elsewhere(R::TargetMerged, Some(id(1))),
        ),
        (
            "A9",
            |a| {
                a.source.as_mut().unwrap().has_external_id = true;
                a.target.as_mut().unwrap().has_external_id = true;
            },
            Verdict::Admit,
        ),
        ("A10", |a| a.conflicting_merge = true, Verdict::PutOff),
    ];
    for (rule, change, expected) in cases {
        let mut application = application();
        change(&mut application);
        assert_eq!(admit(&application), expected, "{rule}");
    }
}

fn merge(user: &mut Option<Candidate>, into: i64) {
    user.as_mut().unwrap().merged_into = Some(id(into));
}
