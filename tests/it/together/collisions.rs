//! Requests with a user or a key in common: one follows from the other, so the later one waits for its turn.

use user_merge::domain::{MergeRequest, Reason};
use user_merge::merge::Ending;

use super::{assert_same_as_one_by_one, endings, run_all};
use crate::harness::{Desk, in_account, key, request};

const DONE: Option<Ending> = Some(Ending::Completed);

/// Users 1 to 9 with two tickets each, in two accounts that are alike.
async fn desk() -> Desk {
    let desk = Desk::open().await;
    desk.users(1..=9).await;
    for user in 1..=9 {
        desk.tickets(100 * user, 2, user, "open").await;
        desk.archived_tickets(100 * user + 50, 1, user).await;
        let address = format!("user{user}@example.com");
        desk.identity(user, "email", &address, true).await;
    }
    desk.copy_account(2).await;
    desk
}

/// What happens together, and how each then ends by itself.
struct Case {
    what: &'static str,
    requests: Vec<MergeRequest>,
    together: Vec<Option<Ending>>,
    all: Vec<Ending>,
}

fn case(what: &'static str, requests: Vec<(MergeRequest, Option<Ending>, Ending)>) -> Case {
    let mut case = Case {
        what,
        requests: Vec::new(),
        together: Vec::new(),
        all: Vec::new(),
    };
    for (request, together, end) in requests {
        case.requests.push(request);
        case.together.push(together);
        case.all.push(end);
    }
    case
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    use Ending::{AlreadyMerged, Completed, Rejected, Repeated};
    let other = || (request(8, 9), DONE, Completed);
    let elsewhere = Rejected(Reason::SourceMergedElsewhere);
    vec![
        case(
            "the same source into two targets",
            vec![
                (request(1, 2), DONE, Completed),
                (request(1, 3), None, elsewhere),
                other(),
            ],
        ),
        case(
            "two sources into the same target",
            vec![
                (request(1, 3), DONE, Completed),
                (request(2, 3), None, Completed),
                other(),
            ],
        ),
        case(
            "a chain in its order",
            vec![
                (request(1, 2), DONE, Completed),
                (request(2, 3), None, Completed),
                (request(3, 4), None, Completed),
                other(),
            ],
        ),
        case(
            "a chain against its order",
            vec![
                (request(2, 3), DONE, Completed),
                (request(1, 2), None, Rejected(Reason::TargetMerged)),
                other(),
            ],
        ),
        case(
            "a circle",
            vec![
                (request(1, 2), DONE, Completed),
                (request(2, 1), None, Rejected(Reason::TargetMerged)),
                other(),
            ],
        ),
        case(
            "what meets a request that itself has to wait",
            vec![
                (request(1, 2), DONE, Completed),
                (request(2, 3), None, Completed),
                (request(4, 3), None, Completed),
                other(),
            ],
        ),
        case(
            "the same message twice",
            vec![
                (request(1, 2), DONE, Completed),
                (request(1, 2), None, Repeated),
                other(),
            ],
        ),
        case(
            "the same pair under another key",
            vec![
                (request(1, 2), DONE, Completed),
                (key("again", 1, 2), None, AlreadyMerged),
                other(),
            ],
        ),
        case(
            "the same key for another pair",
            vec![
                (key("key", 1, 2), DONE, Completed),
                (
                    key("key", 3, 4),
                    None,
                    Rejected(Reason::IdempotencyKeyReused),
                ),
                other(),
            ],
        ),
        case(
            "a user into itself",
            vec![
                (request(1, 1), None, Rejected(Reason::SameUser)),
                (request(3, 4), DONE, Completed),
                other(),
            ],
        ),
        case(
            "the same users and keys in another account, which are others",
            vec![
                (request(1, 2), DONE, Completed),
                (in_account(2, request(1, 2)), DONE, Completed),
                (in_account(2, key("merge-3-4", 2, 3)), None, Completed),
                (request(3, 4), DONE, Completed),
                (in_account(2, request(4, 5)), DONE, Completed),
                other(),
            ],
        ),
    ]
}

/// A3, A4, A10, R1, R2: only the first of those that meet is done with the others; each of the rest then ends as if
/// there had been no batch.
#[tokio::test]
async fn what_has_a_user_or_a_key_in_common_takes_its_turn() {
    let desk = desk().await;
    for case in cases() {
        let together = desk.copy().await;
        let reports = together.run_together(&case.requests).await;
        assert_eq!(endings(&reports), case.together, "{}", case.what);
        let all = desk.copy().await;
        let ends = run_all(&all, &case.requests).await;
        assert_eq!(ends, case.all, "{}", case.what);
        assert_same_as_one_by_one(&desk, &case.requests).await;
    }
}

/// Nothing to gain: one request, or none, goes by itself.
#[tokio::test]
async fn a_batch_of_one_is_left_alone() {
    let desk = desk().await;
    assert_eq!(endings(&desk.run_together(&[]).await), []);
    assert_eq!(endings(&desk.run_together(&[request(1, 2)]).await), [None]);
    let meeting = [request(1, 2), request(1, 2)];
    assert_eq!(endings(&desk.run_together(&meeting).await), [None, None]);
    let in_two_accounts = [request(1, 2), in_account(2, request(3, 4))];
    let reports = desk.run_together(&in_two_accounts).await;
    assert_eq!(endings(&reports), [None, None]);
    let rows = "SELECT count(*) FROM user_merge.merges";
    assert_eq!(desk.number(rows).await, 0);
}
