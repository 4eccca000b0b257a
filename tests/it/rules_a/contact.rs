//! A7: who can be reached. A9: who is known to a sign-on of the account's own.

use user_merge::domain::Reason;
use user_merge::merge::Ending;

use super::Accounts;

/// A7: an unverified user needs an e-mail address or an X account; a phone number or another account is none.
#[tokio::test]
async fn a7_an_unverified_user_needs_an_address_or_an_x_account() {
    let mut accounts = Accounts::open().await;
    let contacts: [(&[&str], bool); 7] = [
        (&[], false),
        (&["phone"], false),
        (&["facebook", "google", "phone"], false),
        (&["email"], true),
        (&["x"], true),
        (&["email", "x"], true),
        (&["email", "phone"], true),
    ];
    let sides = [
        (1, Reason::SourceUnverifiedWithoutContact),
        (2, Reason::TargetUnverifiedWithoutContact),
    ];
    for (user, reason) in sides {
        for (kinds, is_enough) in contacts {
            for verified in [false, true] {
                let sql = unverified_with(user, kinds, verified);
                let expected = if is_enough || verified {
                    Ending::Completed
                } else {
                    Ending::Rejected(reason)
                };
                assert_eq!(
                    accounts.ending_after(&["password"], &sql).await,
                    expected,
                    "user {user}, verified: {verified}, with {kinds:?}"
                );
            }
        }
    }
}

/// A7: what the other one has doesn't help.
#[tokio::test]
async fn a7_each_of_the_two_needs_a_contact_of_its_own() {
    let mut accounts = Accounts::open().await;
    let sql = unverified_with(1, &[], false) + ";" + &unverified_with(2, &["email", "x"], false);
    assert_eq!(
        accounts.ending_after(&["password"], &sql).await,
        Ending::Rejected(Reason::SourceUnverifiedWithoutContact)
    );
    let both = unverified_with(1, &["x"], false) + ";" + &unverified_with(2, &["email"], false);
    assert_eq!(
        accounts.ending_after(&["password"], &both).await,
        Ending::Completed
    );
}

/// A9: an external id is an obstacle only where the account signs users in by JWT or SAML, and only one that
/// is not blank.
#[tokio::test]
async fn a9_an_external_id_is_an_obstacle_to_token_sign_on_only() {
    let mut accounts = Accounts::open().await;
    let sign_ons: [(&[&str], bool); 7] = [
        (&[], false),
        (&["password"], false),
        (&["openid"], false),
        (&["password", "openid"], false),
        (&["jwt"], true),
        (&["saml"], true),
        (&["password", "saml", "jwt"], true),
    ];
    let external_ids = [
        ("'ext-1'", true),
        ("' 0 '", true),
        ("NULL", false),
        ("''", false),
        ("'   '", false),
        (r"E' \t\r\n '", false),
    ];
    for (sign_on, by_token) in sign_ons {
        for (external_id, counts) in external_ids {
            for (user, reason) in [(1, Reason::SourceExternalId), (2, Reason::TargetExternalId)] {
                let sql = format!(
                    "UPDATE helpdesk.users SET external_id = {external_id} WHERE account_id = :a AND id = {user}"
                );
                let expected = if by_token && counts {
                    Ending::Rejected(reason)
                } else {
                    Ending::Completed
                };
                assert_eq!(
                    accounts.ending_after(sign_on, &sql).await,
                    expected,
                    "user {user}, sign-on {sign_on:?}, external id {external_id}"
                );
            }
        }
    }
}

fn unverified_with(user: i64, kinds: &[&str], verified: bool) -> String {
    let values: Vec<String> = kinds.iter().map(|kind| format!("'{kind}'")).collect();
    format!(
        "UPDATE helpdesk.users SET verified = {verified} WHERE account_id = :a AND id = {user};
         INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value)
         SELECT :a, {user}, kind, kind || '-{user}' FROM unnest(ARRAY[{}]::text[]) kind",
        values.join(", ")
    )
}
