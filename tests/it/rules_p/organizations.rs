//! P7: organizations, with one and with several for each user.

use serde_json::{Value, json};

use super::merge;
use crate::harness::Desk;

async fn desk_with_organizations(several: bool) -> Desk {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.execute(&format!(
        "UPDATE helpdesk.accounts SET multiple_organizations = {several};
         INSERT INTO helpdesk.organizations SELECT 1, id, 'organization' FROM generate_series(10, 14) id"
    ))
    .await;
    desk
}

/// Makes a user a member, the first organization being the default one.
async fn join(desk: &Desk, user: i64, organizations: &[i64]) {
    sqlx::query(
        "WITH members AS (
             INSERT INTO helpdesk.organization_memberships
             SELECT 1, $1, id, id = ($2::bigint[])[1] FROM unnest($2::bigint[]) id
         )
         UPDATE helpdesk.users SET organization_id = ($2::bigint[])[1] WHERE id = $1",
    )
    .bind(user)
    .bind(organizations)
    .execute(&desk.pool)
    .await
    .unwrap();
}

/// The default organization by the user's row, and the memberships: those marked as default, and the others.
async fn organizations(desk: &Desk, user: i64) -> Value {
    let of = |which| {
        format!(
            "SELECT coalesce(jsonb_agg(organization_id ORDER BY organization_id), '[]')
             FROM helpdesk.organization_memberships WHERE user_id = {user} AND {which}"
        )
    };
    let sql = format!(
        "SELECT jsonb_build_array(
             (SELECT organization_id FROM helpdesk.users WHERE id = {user}),
             ({}), ({}))::text",
        of("is_default"),
        of("NOT is_default")
    );
    serde_json::from_str(&desk.text(&sql).await.unwrap()).unwrap()
}

/// P7, several allowed: the union, the target's default stays; the source's rows stay with the source.
#[tokio::test]
async fn p7_several_organizations_are_united() {
    let desk = desk_with_organizations(true).await;
    join(&desk, 1, &[11, 12, 13]).await;
    join(&desk, 2, &[10, 12]).await;

    let profile = merge(&desk, 1, 2).await;

    assert_eq!(
        organizations(&desk, 2).await,
        json!([10, [10], [11, 12, 13]])
    );
    assert_eq!(organizations(&desk, 1).await, json!([11, [11], [12, 13]]));
    assert_eq!(profile["organizations_added"], 2);
    assert_eq!(profile["dropped"], json!({}));
}

/// P7, several allowed: a target without any gets them all, and the source's default.
#[tokio::test]
async fn p7_several_organizations_for_a_target_without_any() {
    let desk = desk_with_organizations(true).await;
    join(&desk, 1, &[12, 11]).await;

    let profile = merge(&desk, 1, 2).await;

    assert_eq!(organizations(&desk, 2).await, json!([12, [12], [11]]));
    assert_eq!(profile["organizations_added"], 2);
}

/// P7, one only: the target keeps its own, the source's is lost.
#[tokio::test]
async fn p7_one_organization_is_the_targets_own() {
    let desk = desk_with_organizations(false).await;
    join(&desk, 1, &[11]).await;
    join(&desk, 2, &[10]).await;

    let profile = merge(&desk, 1, 2).await;

    assert_eq!(organizations(&desk, 2).await, json!([10, [10], []]));
    assert_eq!(profile["organizations_added"], 0);
    assert_eq!(profile["dropped"], json!({"organizations": 1}));
}

/// P7, one only: a target without any gets exactly one, the source's default.
#[tokio::test]
async fn p7_one_organization_for_a_target_without_any() {
    let desk = desk_with_organizations(false).await;
    join(&desk, 1, &[13, 11]).await;

    let profile = merge(&desk, 1, 2).await;

    assert_eq!(organizations(&desk, 2).await, json!([13, [13], []]));
    assert_eq!(profile["organizations_added"], 1);
    assert_eq!(profile["dropped"], json!({"organizations": 1}));
}

/// P7, one only: of a source without a default it is the one with the lowest id.
#[tokio::test]
async fn p7_the_lowest_id_where_there_is_no_default() {
    let desk = desk_with_organizations(false).await;
    join(&desk, 1, &[13, 12]).await;
    desk.execute(
        "UPDATE helpdesk.organization_memberships SET is_default = false;
         UPDATE helpdesk.users SET organization_id = NULL",
    )
    .await;

    merge(&desk, 1, 2).await;

    assert_eq!(organizations(&desk, 2).await, json!([12, [12], []]));
}

/// P7: an organization that only the user's row names counts like a membership.
#[tokio::test]
async fn p7_an_organization_without_a_membership_row_counts() {
    let desk = desk_with_organizations(true).await;
    desk.execute(
        "UPDATE helpdesk.users SET organization_id = 14 WHERE id = 1;
         UPDATE helpdesk.users SET organization_id = 10 WHERE id = 2",
    )
    .await;

    let profile = merge(&desk, 1, 2).await;

    assert_eq!(organizations(&desk, 2).await, json!([10, [], [14]]));
    assert_eq!(profile["organizations_added"], 1);
}
