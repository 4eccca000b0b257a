//! P1, P3, P4, P15: e-mail addresses, numbers, social accounts.

use serde_json::json;

use super::{identities, merge, row};
use crate::harness::Desk;

const A: &str = "+33123456789";
const A_AGAIN: &str = "0033 (0)1 23 45 67 89";
const B: &str = "+49 30 12345678";

async fn two_users() -> Desk {
    let desk = Desk::open().await;
    desk.users([1, 2, 3]).await;
    desk
}

async fn verify(desk: &Desk, identity: i64) {
    desk.execute(&format!(
        "UPDATE helpdesk.user_identities SET verified = true WHERE id = {identity}"
    ))
    .await;
}

/// Nobody may make or remove an identity from now on; to change one is allowed.
async fn forbid_deletes_and_inserts(desk: &Desk) {
    desk.execute(
        "CREATE FUNCTION public.forbid() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'an identity was made or removed'; END $$;
         CREATE TRIGGER forbid BEFORE INSERT OR DELETE ON helpdesk.user_identities
             FOR EACH ROW EXECUTE FUNCTION public.forbid();",
    )
    .await;
}

/// P1: the source's number becomes the second one; the target's stays the first.
#[tokio::test]
async fn p1_the_number_is_added_as_the_second_one() {
    let desk = two_users().await;
    let theirs = desk.identity(1, "phone", A, true).await;
    let own = desk.identity(2, "phone", B, true).await;
    verify(&desk, theirs).await;

    let profile = merge(&desk, 1, 2).await;

    let expected = [row(theirs, 2, A, false, true), row(own, 2, B, true, false)];
    assert_eq!(identities(&desk).await, expected);
    assert_eq!(profile["phones_added"], 1);
}

/// P1: where the target has no number, the source's first one stays the first.
#[tokio::test]
async fn p1_the_first_number_of_a_target_without_any() {
    let desk = two_users().await;
    let second = desk.identity(1, "phone", B, false).await;
    let first = desk.identity(1, "phone", A, true).await;

    let profile = merge(&desk, 1, 2).await;

    let expected = [
        row(second, 2, B, false, false),
        row(first, 2, A, true, false),
    ];
    assert_eq!(identities(&desk).await, expected);
    assert_eq!(profile["phones_added"], 2);
}

/// P1: numbers compare in E.164; one that the target has, or that came already, stays on the tombstone.
#[tokio::test]
async fn p1_an_equal_number_is_not_added_twice() {
    let desk = two_users().await;
    let equal = desk.identity(1, "phone", A_AGAIN, true).await;
    let new = desk.identity(1, "phone", B, false).await;
    let new_again = desk.identity(1, "phone", "004930.12345678", false).await;
    let own = desk.identity(2, "phone", A, false).await;

    let profile = merge(&desk, 1, 2).await;

    let expected = [
        row(equal, 1, A_AGAIN, true, false),
        row(new, 2, B, false, false),
        row(new_again, 1, "004930.12345678", false, false),
        row(own, 2, A, false, false),
    ];
    assert_eq!(identities(&desk).await, expected);
    assert_eq!(profile["phones_added"], 1);
    assert_eq!(profile["dropped"], json!({}), "the target has them all");
}

/// P1: a number that a third user has too is shared with the target now, and the third keeps it.
#[tokio::test]
async fn p1_a_shared_number_stays_shared() {
    let desk = two_users().await;
    let theirs = desk.identity(1, "phone", A, true).await;
    let third = desk.identity(3, "phone", A, true).await;

    let profile = merge(&desk, 1, 2).await;

    let expected = [
        row(theirs, 2, A, true, false),
        row(third, 3, A, true, false),
    ];
    assert_eq!(identities(&desk).await, expected);
    assert_eq!(profile["phones_added"], 1);
}

/// P3: a target without an address has no primary one afterwards either.
#[tokio::test]
async fn p3_no_address_becomes_primary() {
    let desk = two_users().await;
    let first = desk.identity(1, "email", "first@example.test", true).await;

    merge(&desk, 1, 2).await;

    let expected = [row(first, 2, "first@example.test", false, false)];
    assert_eq!(identities(&desk).await, expected);
}

/// P4: all addresses are the target's, its own primary one first; each is the row that it was, verified or not.
#[tokio::test]
async fn p4_addresses_are_moved_with_their_flags() {
    let desk = two_users().await;
    let first = desk.identity(1, "email", "first@example.test", true).await;
    let second = desk
        .identity(1, "email", "second@example.test", false)
        .await;
    let own = desk.identity(2, "email", "own@example.test", true).await;
    let other = desk.identity(2, "email", "other@example.test", false).await;
    verify(&desk, first).await;
    verify(&desk, other).await;
    forbid_deletes_and_inserts(&desk).await;

    let profile = merge(&desk, 1, 2).await;

    let expected = [
        row(first, 2, "first@example.test", false, true),
        row(second, 2, "second@example.test", false, false),
        row(own, 2, "own@example.test", true, false),
        row(other, 2, "other@example.test", false, true),
    ];
    assert_eq!(identities(&desk).await, expected);
    assert_eq!(profile["emails_added"], 2);
    assert_eq!(profile["dropped"], json!({}));
}

/// P4: a moved address keeps its capitals, and nobody gets it in others.
#[tokio::test]
async fn p4_addresses_compare_without_case() {
    let desk = two_users().await;
    let moved = desk.identity(1, "email", "Ann@Example.test", true).await;

    merge(&desk, 1, 2).await;

    let expected = [row(moved, 2, "Ann@Example.test", false, false)];
    assert_eq!(identities(&desk).await, expected);
    let again = "INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value)
                 VALUES (1, 3, 'email', 'ann@example.TEST')";
    let refused = sqlx::query(again).execute(&desk.pool).await.unwrap_err();
    assert!(refused.into_database_error().unwrap().is_unique_violation());
}

/// P4: in a merge of many chunks the addresses come with the last transaction, whole.
#[tokio::test]
async fn p4_addresses_follow_a_merge_in_chunks() {
    let mut desk = two_users().await;
    (
        desk.settings.chunk.min,
        desk.settings.chunk.initial,
        desk.settings.chunk.max,
    ) = (5, 5, 5);
    desk.tickets(100, 23, 1, "open").await;
    let address = desk.identity(1, "email", "first@example.test", true).await;
    let number = desk.identity(1, "phone", A, true).await;
    forbid_deletes_and_inserts(&desk).await;

    let profile = merge(&desk, 1, 2).await;

    let expected = [
        row(address, 2, "first@example.test", false, false),
        row(number, 2, A, true, false),
    ];
    assert_eq!(identities(&desk).await, expected);
    assert_eq!(
        (&profile["emails_added"], &profile["phones_added"]),
        (&json!(1), &json!(1))
    );
    let moved = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2";
    assert_eq!(desk.number(moved).await, 23);
}

/// P15: social accounts stay on the tombstone, and the event counts them by kind.
#[tokio::test]
async fn p15_social_identities_are_lost() {
    let desk = two_users().await;
    let x = desk.identity(1, "x", "@somebody", true).await;
    let other_x = desk.identity(1, "x", "@somebody_else", false).await;
    let facebook = desk.identity(1, "facebook", "some.body", false).await;
    let google = desk.identity(1, "google", "12345", false).await;

    let profile = merge(&desk, 1, 2).await;

    let expected = [
        row(x, 1, "@somebody", true, false),
        row(other_x, 1, "@somebody_else", false, false),
        row(facebook, 1, "some.body", false, false),
        row(google, 1, "12345", false, false),
    ];
    assert_eq!(identities(&desk).await, expected);
    assert_eq!(
        profile["dropped"],
        json!({"x": 2, "facebook": 1, "google": 1})
    );
    assert!(profile.get("social_identities_added").is_none());
}

/// P15: with the setting they are carried over, after what the target has of the kind.
#[tokio::test]
async fn p15_a_setting_carries_social_identities_over() {
    let mut desk = two_users().await;
    desk.settings.merge.carry_social_identities = true;
    let x = desk.identity(1, "x", "@somebody", true).await;
    let facebook = desk.identity(1, "facebook", "some.body", true).await;
    let own = desk.identity(2, "x", "@own", true).await;
    verify(&desk, x).await;
    forbid_deletes_and_inserts(&desk).await;

    let profile = merge(&desk, 1, 2).await;

    let expected = [
        row(x, 2, "@somebody", false, true),
        row(facebook, 2, "some.body", true, false),
        row(own, 2, "@own", true, false),
    ];
    assert_eq!(identities(&desk).await, expected);
    assert_eq!(profile["social_identities_added"], 2);
    assert_eq!(profile["dropped"], json!({}));
}
