//! Each request has an outcome of its own, whatever the others come to.

use user_merge::domain::{MergeRequest, Reason};
use user_merge::merge::Ending;

use super::{assert_log_is_exact, assert_same_as_one_by_one, endings, four_pairs};
use crate::harness::{Desk, NewUser, in_account, key, request};

/// A user that a rule refuses: the rest of its row.
async fn odd(desk: &Desk, id: i64, set: &'static str) {
    let user = NewUser {
        set,
        ..NewUser::default()
    };
    desk.user(id, user).await;
}

/// Each rule's refusal, of the source and of the target: pairs of one odd user and one ordinary one.
async fn refused(desk: &Desk) -> Vec<(MergeRequest, Ending)> {
    use Reason::{
        SourceDeleted, SourceNotEndUser, SourceNotFound, SourceTooManyTickets,
        SourceUnverifiedWithoutContact, TargetDeleted, TargetNotEndUser, TargetNotFound,
        TargetTooManyTickets, TargetUnverifiedWithoutContact,
    };
    let odds = [
        ("deleted_at = now()", SourceDeleted, TargetDeleted),
        ("role = 'agent'", SourceNotEndUser, TargetNotEndUser),
        (
            "verified = false",
            SourceUnverifiedWithoutContact,
            TargetUnverifiedWithoutContact,
        ),
        ("notes = 'x'", SourceTooManyTickets, TargetTooManyTickets),
    ];
    let mut requests = vec![
        (request(999, 301), Ending::Rejected(SourceNotFound)),
        (request(302, 998), Ending::Rejected(TargetNotFound)),
    ];
    desk.users([301, 302]).await;
    for (id, (set, of_source, of_target)) in (310..).step_by(10).zip(odds) {
        for (odd_one, ordinary) in [(id, id + 1), (id + 2, id + 3)] {
            odd(desk, odd_one, set).await;
            desk.users([ordinary]).await;
            if of_source == SourceTooManyTickets {
                desk.tickets(100 * odd_one, 31, odd_one, "open").await;
            }
        }
        requests.push((request(id, id + 1), Ending::Rejected(of_source)));
        requests.push((request(id + 3, id + 2), Ending::Rejected(of_target)));
    }
    requests
}

/// What is on record already: R1, R2, R3, A3, A4 and A10.
async fn recorded(desk: &Desk) -> Vec<(MergeRequest, Ending)> {
    desk.users(400..=411).await;
    for request in [request(400, 401), request(402, 403), request(407, 406)] {
        assert_eq!(desk.run(&request).await.unwrap().ending, Ending::Completed);
    }
    let refused = request(997, 404);
    desk.run(&refused).await.unwrap();
    // A large merge that is under way.
    desk.tickets(41_000, 20, 410, "open").await;
    let large = request(410, 411);
    assert_eq!(
        desk.run_one_chunk(&large).await.unwrap().ending,
        Ending::SliceOver
    );
    vec![
        (request(400, 401), Ending::Repeated),
        (refused, Ending::Repeated),
        (key("new", 402, 403), Ending::AlreadyMerged),
        (
            key("merge-402-403", 405, 406),
            Ending::Rejected(Reason::IdempotencyKeyReused),
        ),
        (
            key("canonical", 407, 408),
            Ending::Rejected(Reason::SourceMergedElsewhere),
        ),
        (request(410, 409), Ending::PutOff),
    ]
}

/// A1 to A10, R1 to R3: every kind of outcome in one batch, with merges before, between and after them; all of it
/// as one by one, to the last row and message.
#[tokio::test]
async fn each_request_of_a_batch_has_its_own_outcome() {
    let mut desk = Desk::open().await;
    desk.chunks_of(12);
    desk.settings.chunk.max = 500;
    desk.settings.merge.ticket_limit = 30;
    let mut requests: Vec<_> = four_pairs(&desk)
        .await
        .into_iter()
        .map(|request| (request, Ending::Completed))
        .collect();
    let last = requests.split_off(2);
    requests.extend(refused(&desk).await);
    requests.push(last[0].clone());
    requests.extend(recorded(&desk).await);
    requests.push(last[1].clone());

    let (requests, expected): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    let together = desk.copy().await;
    let reports = together.run_together(&requests).await;
    let expected: Vec<_> = expected.into_iter().map(Some).collect();
    assert_eq!(endings(&reports), expected);
    assert_log_is_exact(&together).await;
    assert_same_as_one_by_one(&desk, &requests).await;
}

/// A9 in an account with such sign-on; beside it one with the same ids and without: the account decides.
#[tokio::test]
async fn a9_the_accounts_sign_on_is_each_pairs_own() {
    let desk = Desk::open().await;
    for (id, set) in [(1, "external_id = 'x'"), (4, "external_id = 'y'")] {
        odd(&desk, id, set).await;
    }
    desk.users([2, 3]).await;
    desk.copy_account(2).await;
    desk.execute("UPDATE helpdesk.accounts SET sign_on = '{jwt}' WHERE id = 2")
        .await;
    let requests = [
        request(1, 2),
        in_account(2, request(1, 2)),
        in_account(2, request(3, 4)),
        request(3, 4),
    ];
    let reports = desk.run_together(&requests).await;
    let expected = [
        Ending::Completed,
        Ending::Rejected(Reason::SourceExternalId),
        Ending::Rejected(Reason::TargetExternalId),
        Ending::Completed,
    ];
    assert_eq!(endings(&reports), expected.map(Some));
    assert_log_is_exact(&desk).await;
}

/// D2, R1: every report brings the messages that its own commit promised, by their numbers in the outbox: what is
/// marked as published afterwards is what was published.
#[tokio::test]
async fn d2_each_report_brings_its_own_messages() {
    let desk = Desk::open().await;
    let mut requests = four_pairs(&desk).await;
    desk.run(&requests[1]).await.unwrap();
    requests.push(request(999, 90));
    let reports = desk.run_together(&requests).await;
    for (request, report) in requests.iter().zip(&reports) {
        let report = report.as_ref().unwrap();
        let messages = if report.ending == Ending::Completed {
            2
        } else {
            1
        };
        assert_eq!(report.promised.len(), messages, "{:?}", report.ending);
        for promised in &report.promised {
            let row = desk
                .text(&format!(
                    "SELECT concat_ws(' ', message_id, destination, merge_id, body) FROM user_merge.outbox
                     WHERE account_id = 1 AND id = {}",
                    promised.key.id
                ))
                .await;
            let draft = &promised.draft;
            let told = format!(
                "{} {} {} {}",
                draft.message_id,
                draft.destination.label(),
                report.merge,
                draft.body
            );
            assert_eq!(row, Some(told));
            let source = request.pair().source.to_string();
            assert!(
                draft.body.contains(&format!("_id\":{source},")),
                "{draft:?}"
            );
        }
    }
}
