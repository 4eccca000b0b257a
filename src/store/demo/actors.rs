//! The users that a rule needs: few, and each for a reason.

use sqlx::PgConnection;

use crate::store::Result;

/// A user with what a rule looks at. Without more it is a verified end user with an e-mail address.
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as the rules name them"
)]
pub struct Actor {
    /// The same in each account.
    pub id: i64,
    /// What it's called.
    pub name: &'static str,
    /// `end_user`, `agent` or `admin` (rule A6).
    pub role: &'static str,
    /// Whether it has proved who it is (rule A7).
    pub verified: bool,
    /// Whether it is deleted (rule A5).
    pub deleted: bool,
    /// Into whom the help desk itself merged it, long ago (rules A3 and A4).
    pub merged_into: Option<i64>,
    /// Its id in another system (rule A9).
    pub external_id: Option<&'static str>,
    /// The part of its e-mail address before the @.
    pub email: Option<&'static str>,
    /// Its X account.
    pub x: Option<&'static str>,
    /// A number, in whatever notation (rule P1).
    pub phone: Option<&'static str>,
    /// Its organization (rule P7).
    pub organization: Option<i64>,
    /// A note of an agent, lost with a source (rule P10).
    pub notes: Option<&'static str>,
    /// Commas between, lost with a source (rule P8).
    pub tags: &'static str,
    /// `fr-FR` and the like (rule P5).
    pub locale: &'static str,
}

/// Adds them to each of the accounts, with their identities and memberships.
pub async fn add_actors(
    connection: &mut PgConnection,
    accounts: &[i64],
    actors: &[Actor],
) -> Result<()> {
    let column = |of: fn(&Actor) -> Option<&'static str>| -> Vec<Option<String>> {
        actors
            .iter()
            .map(|actor| of(actor).map(str::to_owned))
            .collect()
    };
    let ids: Vec<i64> = actors.iter().map(|actor| actor.id).collect();
    let verified: Vec<bool> = actors.iter().map(|actor| actor.verified).collect();
    let deleted: Vec<bool> = actors.iter().map(|actor| actor.deleted).collect();
    let merged: Vec<Option<i64>> = actors.iter().map(|actor| actor.merged_into).collect();
    let organizations: Vec<Option<i64>> = actors.iter().map(|actor| actor.organization).collect();
    sqlx::query!(
        r#"
        /* demo */
        INSERT INTO helpdesk.users
            (account_id, id, name, role, verified, deleted_at, merged_into, merged_at, external_id,
             organization_id, notes, tags, locale, time_zone, created_at, updated_at)
        SELECT account, u.id, u.name, u.role, u.verified, CASE WHEN u.deleted THEN day - interval '2 days' END,
               u.merged_into, CASE WHEN u.merged_into IS NOT NULL THEN day - interval '90 days' END,
               u.external_id, u.organization, u.notes, coalesce(string_to_array(nullif(u.tags, ''), ','), '{}'),
               u.locale, 'Europe/Paris', day - interval '500 days', day - interval '10 days'
        FROM unnest($1::bigint[]) AS account, date_trunc('day', now()) AS day,
             unnest($2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::boolean[], $7::bigint[],
                    $8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[])
             AS u (id, name, role, verified, deleted, merged_into, external_id, organization, notes, tags, locale)
        "#,
        accounts,
        &ids,
        &column(|actor| Some(actor.name)) as &[Option<String>],
        &column(|actor| Some(actor.role)) as &[Option<String>],
        &verified,
        &deleted,
        &merged as &[Option<i64>],
        &column(|actor| actor.external_id) as &[Option<String>],
        &organizations as &[Option<i64>],
        &column(|actor| actor.notes) as &[Option<String>],
        &column(|actor| Some(actor.tags)) as &[Option<String>],
        &column(|actor| Some(actor.locale)) as &[Option<String>],
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        /* demo */
        INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary, verified)
        SELECT account, u.id, i.kind, i.value, true, i.kind <> 'x'
        FROM unnest($1::bigint[]) AS account,
             unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) AS u (id, email, phone, x),
             LATERAL (VALUES ('email', u.email), ('phone', u.phone), ('x', u.x)) AS i (kind, value)
        WHERE i.value IS NOT NULL
        "#,
        accounts,
        &ids,
        &column(|actor| actor.email) as &[Option<String>],
        &column(|actor| actor.phone) as &[Option<String>],
        &column(|actor| actor.x) as &[Option<String>],
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "/* demo */ INSERT INTO helpdesk.organization_memberships (account_id, user_id, organization_id, is_default)
         SELECT account_id, id, organization_id, true FROM helpdesk.users
         WHERE account_id = ANY ($1) AND id = ANY ($2) AND organization_id IS NOT NULL",
        accounts,
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}
