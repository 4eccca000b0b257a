//! Everything that the rules A and P want to know of the help desk, in one round trip.

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::{
    Candidate, Identity, IdentityKind, OrganizationId, Pair, Profile, Role, UserId,
};
use crate::store::Result;

/// What is known of an account and of two of its users.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The account signs users in by JWT or SAML (rule A9).
    pub signs_on_by_token: bool,
    /// The account's users may be in several organizations (rule P7).
    pub multiple_organizations: bool,
    /// The source, where it exists.
    pub source: Option<UserFacts>,
    /// The target, where it exists.
    pub target: Option<UserFacts>,
}

/// What is known of one user. Presence and counts; the only values are phone numbers (rule P1).
#[derive(Debug, Clone, serde::Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as the rules name them"
)]
pub struct UserFacts {
    id: UserId,
    role: Role,
    verified: bool,
    suspended: bool,
    deleted: bool,
    merged_into: Option<UserId>,
    has_external_id: bool,
    organization_id: Option<OrganizationId>,
    dropped: std::collections::BTreeMap<String, i64>,
    /// Tickets that it requests, counted up to a cap: those that are not archived.
    pub tickets: i64,
    /// Archived ones, likewise.
    pub archived_tickets: i64,
    /// Its CCs on tickets that are not archived, likewise.
    pub ccs: i64,
    /// Its CCs on archived tickets, likewise.
    pub archived_ccs: i64,
    identities: Vec<Identity>,
    organizations: Vec<Membership>,
}

#[derive(Debug, Clone, Copy, serde::Deserialize)]
struct Membership {
    id: OrganizationId,
    is_default: bool,
}

impl UserFacts {
    /// As admission looks at it.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        let has = |kind| self.identities.iter().any(|identity| identity.kind == kind);
        Candidate {
            role: self.role,
            verified: self.verified,
            deleted: self.deleted,
            merged_into: self.merged_into,
            has_external_id: self.has_external_id,
            has_email: has(IdentityKind::Email),
            has_x: has(IdentityKind::X),
            tickets: self.tickets + self.archived_tickets,
        }
    }

    /// As the profile rules look at it.
    #[must_use]
    pub fn profile(&self) -> Profile {
        let default = self
            .organizations
            .iter()
            .find(|membership| membership.is_default);
        Profile {
            identities: self.identities.clone(),
            organizations: self
                .organizations
                .iter()
                .map(|m| m.id)
                .chain(self.organization_id)
                .collect(),
            default_organization: self
                .organization_id
                .or(default.map(|membership| membership.id)),
            suspended: self.suspended,
            private: self.dropped.clone(),
        }
    }
}

/// Reads both users. Counting stops at `cap`, so that it never becomes a scan (rule A8).
pub async fn facts(connection: &mut PgConnection, pair: Pair, cap: i64) -> Result<Facts> {
    let row = sqlx::query!(
        r#"
        SELECT
            coalesce((SELECT sign_on && '{jwt,saml}' FROM helpdesk.accounts WHERE id = $1), false)
                AS "signs_on_by_token!",
            coalesce((SELECT multiple_organizations FROM helpdesk.accounts WHERE id = $1), false)
                AS "multiple_organizations!",
            coalesce((
                SELECT jsonb_agg(to_jsonb(known))
                FROM (
                    SELECT
                        u.id, u.role, u.verified, u.suspended, u.merged_into, u.organization_id,
                        u.deleted_at IS NOT NULL AS deleted,
                        coalesce(u.external_id ~ '\S', false) AS has_external_id,
                        -- What a merge loses (rules P2, P5, P6, P8 to P13), by kind and count.
                        (
                            SELECT coalesce(jsonb_object_agg(kind, count), '{}')
                            FROM (VALUES
                                ('tags', cardinality(u.tags)),
                                ('details', (coalesce(u.details, '') <> '')::int),
                                ('notes', (coalesce(u.notes, '') <> '')::int),
                                ('photo', (coalesce(u.photo_url, '') <> '')::int),
                                ('direct_line', (coalesce(u.direct_line, '') <> '')::int),
                                ('locale', (coalesce(u.locale, '') <> '')::int),
                                ('time_zone', (coalesce(u.time_zone, '') <> '')::int),
                                ('external_id', coalesce(u.external_id ~ '\S', false)::int),
                                ('user_fields', (
                                    SELECT count(*)::int FROM jsonb_object_keys(
                                        CASE jsonb_typeof(u.user_fields) WHEN 'object' THEN u.user_fields END)))
                            ) AS private (kind, count)
                            WHERE count > 0
                        ) AS dropped,
                        (SELECT count(*) FROM (
                            SELECT FROM helpdesk.tickets
                            WHERE account_id = $1 AND requester_id = u.id LIMIT $4) capped) AS tickets,
                        (SELECT count(*) FROM (
                            SELECT FROM helpdesk.archived_tickets
                            WHERE account_id = $1 AND requester_id = u.id LIMIT $4) capped) AS archived_tickets,
                        (SELECT count(*) FROM (
                            SELECT FROM helpdesk.ticket_ccs
                            WHERE account_id = $1 AND user_id = u.id LIMIT $4) capped) AS ccs,
                        (SELECT count(*) FROM (
                            SELECT FROM helpdesk.archived_ticket_ccs
                            WHERE account_id = $1 AND user_id = u.id LIMIT $4) capped) AS archived_ccs,
                        (
                            SELECT coalesce(jsonb_agg(jsonb_build_object(
                                'id', i.id, 'kind', i.kind, 'is_primary', i.is_primary,
                                'number', CASE WHEN i.kind = 'phone' THEN i.value END) ORDER BY i.id), '[]')
                            FROM helpdesk.user_identities i
                            WHERE i.account_id = $1 AND i.user_id = u.id
                        ) AS identities,
                        (
                            SELECT coalesce(jsonb_agg(jsonb_build_object(
                                'id', o.organization_id, 'is_default', o.is_default)), '[]')
                            FROM helpdesk.organization_memberships o
                            WHERE o.account_id = $1 AND o.user_id = u.id
                        ) AS organizations
                    FROM helpdesk.users u
                    WHERE u.account_id = $1 AND u.id IN ($2, $3)
                ) known
            ), '[]') AS "users!: Json<Vec<UserFacts>>"
        "#,
        pair.account.get(),
        pair.source.get(),
        pair.target.get(),
        cap,
    )
    .fetch_one(connection)
    .await?;

    let Json(mut users) = row.users;
    let mut take = |id| {
        users
            .iter()
            .position(|user| user.id == id)
            .map(|at| users.swap_remove(at))
    };
    Ok(Facts {
        signs_on_by_token: row.signs_on_by_token,
        multiple_organizations: row.multiple_organizations,
        source: take(pair.source),
        target: take(pair.target),
    })
}
