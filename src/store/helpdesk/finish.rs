//! The last write on the help desk: profile and tombstone, if nothing of the source is left.

use sqlx::PgConnection;

use crate::domain::{OrganizationId, Pair, ProfileChange};
use crate::store::{Error, Pairs, Result, count};

/// Gives the targets what the rules P grant them, checks that nothing of the sources is left, and marks the
/// sources as merged (rules D1 and D3). `changes` are in the pairs' order. The caller holds the locks on all users and
/// moved the tickets before.
///
/// # Errors
/// [`Error::Leftover`] where a ticket, a CC or an e-mail address still belongs to a source;
/// [`Error::RowCount`] where a row changed since it was read. Either way the transaction must be rolled back.
pub async fn finish(
    connection: &mut PgConnection,
    pairs: &Pairs,
    changes: &[ProfileChange],
    move_archived_ccs: bool,
) -> Result<()> {
    let columns = Columns::of(pairs, changes);
    let done = sqlx::query!(
        r#"
        WITH identities AS (
            UPDATE helpdesk.user_identities
            SET user_id = ($3::bigint[])[array_position($2::bigint[], user_id)], is_primary = id = ANY ($5),
                updated_at = now()
            WHERE account_id = $1 AND id = ANY ($4) AND user_id = ANY ($2)
            RETURNING kind
        ), memberships AS (
            INSERT INTO helpdesk.organization_memberships (account_id, user_id, organization_id, is_default)
            SELECT $1, user_id, organization_id, is_default
            FROM unnest($6::bigint[], $7::bigint[], $8::boolean[]) AS added (user_id, organization_id, is_default)
            ON CONFLICT DO NOTHING
        ), targets AS (
            UPDATE helpdesk.users
            SET organization_id = coalesce(($9::bigint[])[array_position($3, id)], organization_id),
                updated_at = now()
            WHERE account_id = $1 AND id = ANY ($3)
            RETURNING id
        ), tombstones AS (
            UPDATE helpdesk.users
            SET merged_into = ($3)[array_position($2, id)], merged_at = now(), updated_at = now()
            WHERE account_id = $1 AND id = ANY ($2) AND merged_into IS NULL
            RETURNING id
        ), followers AS (
            UPDATE helpdesk.users
            SET merged_into = ($3)[array_position($2, merged_into)], updated_at = now()
            -- Found by their ids alone: `+ 0` keeps the planner from reading all that was ever merged, which it may take
            -- for little.
            WHERE account_id = $1 AND merged_into + 0 = ANY ($2) AND id = ANY (ARRAY(
                SELECT follower.id FROM unnest($2) AS source (id) CROSS JOIN LATERAL (
                    SELECT id FROM helpdesk.users
                    WHERE account_id = $1 AND merged_into BETWEEN source.id AND source.id
                    ORDER BY merged_into OFFSET 0
                ) follower
            ))
        )
        -- A look for each source by itself, by a range with an order: so the planner takes the index that begins with
        -- account and user, whatever it believes of a table that was empty when it made the plan.
        SELECT
            EXISTS (SELECT FROM unnest($2) AS source (id) CROSS JOIN LATERAL (
                SELECT FROM helpdesk.tickets
                WHERE account_id = $1 AND requester_id BETWEEN source.id AND source.id
                ORDER BY requester_id LIMIT 1) one) AS "tickets!",
            EXISTS (SELECT FROM unnest($2) AS source (id) CROSS JOIN LATERAL (
                SELECT FROM helpdesk.archived_tickets
                WHERE account_id = $1 AND requester_id BETWEEN source.id AND source.id
                ORDER BY requester_id LIMIT 1) one) AS "archived_tickets!",
            EXISTS (SELECT FROM unnest($2) AS source (id) CROSS JOIN LATERAL (
                SELECT FROM helpdesk.ticket_ccs
                WHERE account_id = $1 AND user_id BETWEEN source.id AND source.id
                ORDER BY user_id LIMIT 1) one) AS "ccs!",
            $10 AND EXISTS (SELECT FROM unnest($2) AS source (id) CROSS JOIN LATERAL (
                SELECT FROM helpdesk.archived_ticket_ccs
                WHERE account_id = $1 AND user_id BETWEEN source.id AND source.id
                ORDER BY user_id LIMIT 1) one) AS "archived_ccs!",
            -- As it was before this statement: each of them must be among those that were moved.
            (SELECT count(*) FROM helpdesk.user_identities
             WHERE account_id = $1 AND user_id = ANY ($2) AND kind = 'email')
                > (SELECT count(*) FROM identities WHERE kind = 'email') AS "emails!",
            (SELECT count(*) FROM identities) AS "identities!",
            (SELECT count(*) FROM targets) AS "targets!",
            (SELECT count(*) FROM tombstones) AS "tombstones!"
        "#,
        pairs.account,
        &pairs.sources,
        &pairs.targets,
        &columns.identities,
        &columns.primary,
        &columns.members,
        &columns.memberships,
        &columns.defaults,
        &columns.organizations as &[Option<i64>],
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
    let identities = count(columns.identities.len());
    Error::expect_rows("moved identities", identities, done.identities)?;
    Error::expect_rows("target user", count(pairs.len()), done.targets)?;
    Error::expect_rows("tombstone", count(pairs.len()), done.tombstones)
}

/// The changes by column.
#[derive(Default)]
struct Columns {
    /// Identities that change hands, and which of them are primary ones then.
    identities: Vec<i64>,
    primary: Vec<i64>,
    /// New memberships: whose, of which organization, and whether it is the default one.
    members: Vec<i64>,
    memberships: Vec<i64>,
    defaults: Vec<bool>,
    /// The default organization of each target that gets one.
    organizations: Vec<Option<i64>>,
}

impl Columns {
    fn of(pairs: &Pairs, changes: &[ProfileChange]) -> Self {
        let mut columns = Self::default();
        for (target, change) in pairs.targets.iter().zip(changes) {
            let default = change.default_organization;
            columns.organizations.push(default.map(OrganizationId::get));
            for identity in &change.identities {
                columns.identities.push(identity.id);
                if identity.is_primary {
                    columns.primary.push(identity.id);
                }
            }
            for organization in &change.organizations {
                columns.members.push(*target);
                columns.memberships.push(organization.get());
                columns.defaults.push(default == Some(*organization));
            }
        }
        columns
    }
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
