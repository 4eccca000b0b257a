//! The first failing rule decides; every reason code is reached on the way.

use user_merge::domain::{MergeRequest, Reason};
use user_merge::merge::Ending;

use crate::harness::{Desk, key};

/// What is wrong is put right step by step: the reason that was given, and the repair.
const REPAIRS: [(Reason, &str); 15] = [
    (
        Reason::SourceNotFound,
        "INSERT INTO helpdesk.users
             (account_id, id, role, name, verified, external_id, merged_into, merged_at, deleted_at)
         VALUES (1, 3, 'end_user', 'third', true, NULL, NULL, NULL, NULL),
                (1, 1, 'agent', 'source', false, 'ext-1', 3, now(), now())",
    ),
    (
        Reason::TargetNotFound,
        "INSERT INTO helpdesk.users
             (account_id, id, role, name, verified, external_id, merged_into, merged_at, deleted_at)
         VALUES (1, 2, 'admin', 'target', false, 'ext-2', 3, now(), now())",
    ),
    (
        Reason::SourceMergedElsewhere,
        "UPDATE helpdesk.users SET merged_into = NULL WHERE id = 1",
    ),
    (
        Reason::TargetMerged,
        "UPDATE helpdesk.users SET merged_into = NULL WHERE id = 2",
    ),
    (
        Reason::SourceDeleted,
        "UPDATE helpdesk.users SET deleted_at = NULL WHERE id = 1",
    ),
    (
        Reason::TargetDeleted,
        "UPDATE helpdesk.users SET deleted_at = NULL WHERE id = 2",
    ),
    (
        Reason::SourceNotEndUser,
        "UPDATE helpdesk.users SET role = 'end_user' WHERE id = 1",
    ),
    (
        Reason::TargetNotEndUser,
        "UPDATE helpdesk.users SET role = 'end_user' WHERE id = 2",
    ),
    (
        Reason::SourceUnverifiedWithoutContact,
        "UPDATE helpdesk.users SET verified = true WHERE id = 1",
    ),
    (
        Reason::TargetUnverifiedWithoutContact,
        "UPDATE helpdesk.users SET verified = true WHERE id = 2",
    ),
    (
        Reason::SourceTooManyTickets,
        "DELETE FROM helpdesk.tickets WHERE requester_id = 1 AND id = 10",
    ),
    (
        Reason::TargetTooManyTickets,
        "DELETE FROM helpdesk.tickets WHERE requester_id = 2 AND id = 20",
    ),
    (
        Reason::SourceExternalId,
        "UPDATE helpdesk.users SET external_id = NULL WHERE id = 1",
    ),
    (
        Reason::TargetExternalId,
        "UPDATE helpdesk.users SET external_id = NULL WHERE id = 2",
    ),
    // Not a rule of admission: the key of the first request, for another pair.
    (Reason::IdempotencyKeyReused, "SELECT"),
];

/// A1 to A9: of two users for whom every rule fails, the first failing rule gives the reason; once all is put
/// right, they are merged. Every reason code is reached.
#[tokio::test]
async fn a1_to_a9_the_first_failing_rule_decides() {
    let mut desk = Desk::open().await;
    desk.settings.merge.ticket_limit = 2;
    desk.execute("UPDATE helpdesk.accounts SET sign_on = '{jwt}'")
        .await;
    let mut seen = vec![Reason::SameUser];
    assert_eq!(
        ending(&desk, &key("same", 1, 1)).await,
        Ending::Rejected(Reason::SameUser)
    );
    for (step, (reason, repair)) in REPAIRS.iter().enumerate() {
        let request = match reason {
            Reason::IdempotencyKeyReused => key("same", 1, 2),
            _ => key(&format!("step-{step}"), 1, 2),
        };
        assert_eq!(
            ending(&desk, &request).await,
            Ending::Rejected(*reason),
            "step {step}"
        );
        desk.execute(repair).await;
        if *reason == Reason::TargetNotFound {
            desk.tickets(10, 3, 1, "open").await;
            desk.tickets(20, 3, 2, "open").await;
        }
        seen.push(*reason);
    }
    assert_eq!(
        ending(&desk, &key("at last", 1, 2)).await,
        Ending::Completed
    );

    for reason in Reason::ALL {
        assert!(seen.contains(reason), "{reason} was never given");
    }
}

/// A5 and A6: each of the two, agents as well as admins.
#[tokio::test]
async fn a5_a6_deleted_users_and_staff_are_not_merged() {
    let mut accounts = super::Accounts::open().await;
    let cases = [
        ("deleted_at = now() WHERE id = 1", Reason::SourceDeleted),
        ("deleted_at = now() WHERE id = 2", Reason::TargetDeleted),
        ("role = 'agent' WHERE id = 1", Reason::SourceNotEndUser),
        ("role = 'admin' WHERE id = 1", Reason::SourceNotEndUser),
        ("role = 'agent' WHERE id = 2", Reason::TargetNotEndUser),
        ("role = 'admin' WHERE id = 2", Reason::TargetNotEndUser),
    ];
    for (change, reason) in cases {
        let sql = format!("UPDATE helpdesk.users SET {change} AND account_id = :a");
        assert_eq!(
            accounts.ending_after(&["password"], &sql).await,
            Ending::Rejected(reason),
            "{change}"
        );
    }
    // None of it is an obstacle where it is somebody else's.
    let third = "UPDATE helpdesk.users SET deleted_at = now(), role = 'admin' WHERE id = 3 AND account_id = :a";
    assert_eq!(
        accounts.ending_after(&["password"], third).await,
        Ending::Completed
    );
}

/// A2: a user of another account is simply not found.
#[tokio::test]
async fn a2_a_user_of_another_account_is_not_found() {
    let mut accounts = super::Accounts::open().await;
    assert_eq!(
        accounts.ending_after(&["password"], "SELECT").await,
        Ending::Completed
    );
    for (id, reason) in [(1, Reason::SourceNotFound), (2, Reason::TargetNotFound)] {
        // Accounts made before and after have all three users.
        let sql = format!("DELETE FROM helpdesk.users WHERE id = {id} AND account_id = :a");
        assert_eq!(
            accounts.ending_after(&["password"], &sql).await,
            Ending::Rejected(reason)
        );
        assert_eq!(
            accounts.ending_after(&["password"], "SELECT").await,
            Ending::Completed
        );
    }
}

async fn ending(desk: &Desk, request: &MergeRequest) -> Ending {
    desk.run(request).await.unwrap().ending
}
