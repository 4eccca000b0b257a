//! The last write on the help desk: profile and tombstone, if nothing of the source is left.

use sqlx::PgConnection;

use crate::domain::{OrganizationId, Pair, ProfileChange};
use crate::store::{Error, Result};

/// Gives the target what the rules P grant it, checks that nothing of the source is left, and marks the
/// source as merged (rules D1 and D3). The caller holds the lock on both users and moved the tickets before.
///
/// # Errors
/// [`Error::Leftover`] where a ticket, a CC or an e-mail address still belongs to the source;
/// [`Error::RowCount`] where a row changed since it was read. Either way the transaction must be rolled back.
pub async fn finish(
    connection: &mut PgConnection,
    pair: Pair,
    change: &ProfileChange,
    move_archived_ccs: bool,
) -> Result<()> {
    let (ids, primary): (Vec<i64>, Vec<bool>) = change
        .identities
        .iter()
        .map(|identity| (identity.id, identity.is_primary))
        .unzip();
    let organizations: Vec<i64> = change.organizations.iter().map(|&id| id.into()).collect();

    let done = sqlx::query!(
        r#"
        WITH identities AS (
            UPDATE helpdesk.user_identities i
            SET user_id = $3, is_primary = moved.is_primary, updated_at = now()
            FROM unnest($4::bigint[], $5::boolean[]) AS moved (id, is_primary)
            WHERE i.account_id = $1 AND i.id = moved.id AND i.user_id = $2
            RETURNING i.id
        ), memberships AS (
            INSERT INTO helpdesk.organization_memberships (account_id, user_id, organization_id, is_default)
            SELECT $1, $3, id, id IS NOT DISTINCT FROM $7 FROM unnest($6::bigint[]) AS added (id)
            ON CONFLICT DO NOTHING
        ), target AS (
            UPDATE helpdesk.users
            SET organization_id = coalesce($7, organization_id), updated_at = now()
            WHERE account_id = $1 AND id = $3
            RETURNING id
        ), tombstone AS (
            UPDATE helpdesk.users
            SET merged_into = $3, merged_at = now(), updated_at = now()
            WHERE account_id = $1 AND id = $2 AND merged_into IS NULL
            RETURNING id
        ), followers AS (
            UPDATE helpdesk.users
            SET merged_into = $3, updated_at = now()
            WHERE account_id = $1 AND merged_into = $2
        )
        SELECT
            EXISTS (SELECT FROM helpdesk.tickets WHERE account_id = $1 AND requester_id = $2) AS "tickets!",
            EXISTS (SELECT FROM helpdesk.archived_tickets
                    WHERE account_id = $1 AND requester_id = $2) AS "archived_tickets!",
            EXISTS (SELECT FROM helpdesk.ticket_ccs WHERE account_id = $1 AND user_id = $2) AS "ccs!",
            $8 AND EXISTS (SELECT FROM helpdesk.archived_ticket_ccs
                           WHERE account_id = $1 AND user_id = $2) AS "archived_ccs!",
            EXISTS (SELECT FROM helpdesk.user_identities
                    WHERE account_id = $1 AND user_id = $2 AND kind = 'email'
                      AND id NOT IN (SELECT id FROM identities)) AS "emails!",
            (SELECT count(*) FROM identities) AS "identities!",
            (SELECT count(*) FROM target) AS "target!",
            (SELECT count(*) FROM tombstone) AS "tombstone!"
        "#,
        pair.account.get(),
        pair.source.get(),
        pair.target.get(),
        &ids,
        &primary,
        &organizations,
        change.default_organization.map(OrganizationId::get),
        move_archived_ccs,
    )
    .fetch_one(connection)
    .await?;

    nothing_left(&[
        (done.tickets, "ticket"),
        (done.archived_tickets, "archived ticket"),
        (done.ccs, "CC"),
        (done.archived_ccs, "archived CC"),
        (done.emails, "e-mail identity"),
    ])?;
    let moved = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    Error::expect_rows("moved identities", moved, done.identities)?;
    Error::expect_rows("target user", 1, done.target)?;
    Error::expect_rows("tombstone", 1, done.tombstone)
}

/// The end of a merge whose source was deleted halfway: there is neither a profile nor a row to mark, but where no
/// foreign key holds them, addresses may be left, which go on like all others (rule P4). Says how many, and checks
/// that nothing else is left (rule D1).
///
/// # Errors
/// [`Error::Leftover`] like [`finish`].
pub async fn finish_without_source(
    connection: &mut PgConnection,
    pair: Pair,
    move_archived_ccs: bool,
) -> Result<i64> {
    let done = sqlx::query!(
        r#"
        WITH emails AS (
            UPDATE helpdesk.user_identities
            SET user_id = $3, is_primary = false, updated_at = now()
            WHERE account_id = $1 AND user_id = $2 AND kind = 'email'
            RETURNING id
        ), followers AS (
            UPDATE helpdesk.users
            SET merged_into = $3, updated_at = now()
            WHERE account_id = $1 AND merged_into = $2
        )
        SELECT
            EXISTS (SELECT FROM helpdesk.tickets WHERE account_id = $1 AND requester_id = $2) AS "tickets!",
            EXISTS (SELECT FROM helpdesk.archived_tickets
                    WHERE account_id = $1 AND requester_id = $2) AS "archived_tickets!",
            EXISTS (SELECT FROM helpdesk.ticket_ccs WHERE account_id = $1 AND user_id = $2) AS "ccs!",
            $4 AND EXISTS (SELECT FROM helpdesk.archived_ticket_ccs
                           WHERE account_id = $1 AND user_id = $2) AS "archived_ccs!",
            (SELECT count(*) FROM emails) AS "emails!"
        "#,
        pair.account.get(),
        pair.source.get(),
        pair.target.get(),
        move_archived_ccs,
    )
    .fetch_one(connection)
    .await?;
    nothing_left(&[
        (done.tickets, "ticket"),
        (done.archived_tickets, "archived ticket"),
        (done.ccs, "CC"),
        (done.archived_ccs, "archived CC"),
    ])?;
    Ok(done.emails)
}

/// Rule D1.
fn nothing_left(leftovers: &[(bool, &'static str)]) -> Result<()> {
    match leftovers.iter().find(|(is_left, _)| *is_left) {
        Some((_, kind)) => Err(Error::Leftover(kind)),
        None => Ok(()),
    }
}
