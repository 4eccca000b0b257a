//! Everything that the rules A and P want to know of the help desk, in one round trip.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::domain::{Candidate, Identity, IdentityKind, OrganizationId, Profile, Role, UserId};
use crate::store::{Error, Pairs, Result};

/// What is known of an account and of two of its users.
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as the rules name them"
)]
pub struct UserFacts {
    role: Role,
    verified: bool,
    deleted: bool,
    merged_into: Option<UserId>,
    has_external_id: bool,
    profile: Profile,
    /// Tickets that it requests, counted up to a cap: those that are not archived.
    pub tickets: i64,
    /// Archived ones, likewise.
    pub archived_tickets: i64,
    /// A source's CCs on tickets that are not archived, likewise.
    pub ccs: i64,
    /// A source's CCs on archived tickets, likewise.
    pub archived_ccs: i64,
}

impl UserFacts {
    /// As admission looks at it.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        let identities = &self.profile.identities;
        let has = |kind| identities.iter().any(|identity| identity.kind == kind);
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
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }
}

/// Reads both users of each pair, in the pairs' order. Counting stops at `cap`, so that it never becomes a scan
/// (rule A8); nor does it by a range with an order, which only the index that begins with account and user has.
pub async fn facts(connection: &mut PgConnection, pairs: &Pairs, cap: i64) -> Result<Vec<Facts>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT
            u.id AS "id!",
            coalesce((SELECT sign_on && '{jwt,saml}' FROM helpdesk.accounts WHERE id = $1), false)
                AS "signs_on_by_token!",
            coalesce((SELECT multiple_organizations FROM helpdesk.accounts WHERE id = $1), false)
                AS "multiple_organizations!",
            u.role AS "role!", u.verified AS "verified!", u.suspended AS "suspended!", u.merged_into,
            u.organization_id, u.deleted_at IS NOT NULL AS "deleted!",
            coalesce(u.external_id ~ '\S', false) AS "external_id!",
            coalesce(cardinality(u.tags), 0)::bigint AS "tags!",
            coalesce(u.details, '') <> '' AS "details!", coalesce(u.notes, '') <> '' AS "notes!",
            coalesce(u.photo_url, '') <> '' AS "photo!", coalesce(u.direct_line, '') <> '' AS "direct_line!",
            coalesce(u.locale, '') <> '' AS "locale!", coalesce(u.time_zone, '') <> '' AS "time_zone!",
            CASE WHEN jsonb_typeof(u.user_fields) = 'object' AND u.user_fields <> '{}' THEN (
                SELECT count(*) FROM jsonb_object_keys(
                    CASE jsonb_typeof(u.user_fields) WHEN 'object' THEN u.user_fields END)
            ) ELSE 0 END AS "user_fields!",
            (SELECT count(*) FROM (
                SELECT FROM helpdesk.tickets
                WHERE account_id = $1 AND requester_id BETWEEN u.id AND u.id ORDER BY requester_id LIMIT $4) capped) AS "tickets!",
            (SELECT count(*) FROM (
                SELECT FROM helpdesk.archived_tickets
                WHERE account_id = $1 AND requester_id BETWEEN u.id AND u.id ORDER BY requester_id LIMIT $4) capped) AS "archived_tickets!",
            CASE WHEN u.id = ANY ($3) THEN (SELECT count(*) FROM (
                SELECT FROM helpdesk.ticket_ccs
                WHERE account_id = $1 AND user_id BETWEEN u.id AND u.id ORDER BY user_id LIMIT $4) capped) ELSE 0 END AS "ccs!",
            CASE WHEN u.id = ANY ($3) THEN (SELECT count(*) FROM (
                SELECT FROM helpdesk.archived_ticket_ccs
                WHERE account_id = $1 AND user_id BETWEEN u.id AND u.id ORDER BY user_id LIMIT $4) capped) ELSE 0 END AS "archived_ccs!",
            coalesce(i.ids, '{}') AS "identity_ids!", coalesce(i.kinds, '{}') AS "identity_kinds!",
            coalesce(i.primary_ones, '{}') AS "identity_primary_ones!",
            coalesce(i.numbers, '{}') AS "identity_numbers!: Vec<Option<String>>",
            coalesce(o.ids, '{}') AS "organization_ids!", coalesce(o.defaults, '{}') AS "organization_defaults!"
        FROM (
            SELECT id, role, verified, suspended, merged_into, organization_id, deleted_at, external_id, tags, details,
                   notes, photo_url, direct_line, locale, time_zone, user_fields
            FROM helpdesk.users WHERE account_id = $1 AND id = ANY ($2)
        ) u
        LEFT JOIN LATERAL (
            SELECT array_agg(i.id) AS ids, array_agg(i.kind) AS kinds, array_agg(i.is_primary) AS primary_ones,
                   array_agg(CASE WHEN i.kind = 'phone' THEN i.value END) AS numbers
            FROM helpdesk.user_identities i
            WHERE i.account_id = $1 AND i.user_id = u.id
        ) i ON true
        LEFT JOIN LATERAL (
            SELECT array_agg(o.organization_id) AS ids, array_agg(o.is_default) AS defaults
            FROM helpdesk.organization_memberships o
            WHERE o.account_id = $1 AND o.user_id = u.id
        ) o ON true
        "#,
        pairs.account,
        &pairs.users(),
        &pairs.sources,
        cap,
    )
    .fetch_all(connection)
    .await?;

    let (mut signs_on_by_token, mut multiple_organizations) = (false, false);
    let mut users = HashMap::new();
    for row in rows {
        signs_on_by_token = row.signs_on_by_token;
        multiple_organizations = row.multiple_organizations;
        users.insert(row.id, UserFacts::try_from(row)?);
    }
    let of_pair = |(source, target)| Facts {
        signs_on_by_token,
        multiple_organizations,
        source: users.get(source).cloned(),
        target: users.get(target).cloned(),
    };
    Ok(std::iter::zip(&pairs.sources, &pairs.targets)
        .map(of_pair)
        .collect())
}

#[allow(clippy::struct_excessive_bools, reason = "columns")]
struct Row {
    id: i64,
    signs_on_by_token: bool,
    multiple_organizations: bool,
    role: String,
    verified: bool,
    suspended: bool,
    merged_into: Option<i64>,
    organization_id: Option<i64>,
    deleted: bool,
    external_id: bool,
    tags: i64,
    details: bool,
    notes: bool,
    photo: bool,
    direct_line: bool,
    locale: bool,
    time_zone: bool,
    user_fields: i64,
    tickets: i64,
    archived_tickets: i64,
    ccs: i64,
    archived_ccs: i64,
    identity_ids: Vec<i64>,
    identity_kinds: Vec<String>,
    identity_primary_ones: Vec<bool>,
    identity_numbers: Vec<Option<String>>,
    organization_ids: Vec<i64>,
    organization_defaults: Vec<bool>,
}

impl TryFrom<Row> for UserFacts {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let user = |id: i64| UserId::try_from(id).map_err(|_| Error::Unreadable("user id"));
        Ok(Self {
            role: Role::parse(&row.role).ok_or(Error::Unreadable("role"))?,
            verified: row.verified,
            deleted: row.deleted,
            merged_into: row.merged_into.map(user).transpose()?,
            has_external_id: row.external_id,
            tickets: row.tickets,
            archived_tickets: row.archived_tickets,
            ccs: row.ccs,
            archived_ccs: row.archived_ccs,
            profile: row.profile()?,
        })
    }
}

impl Row {
    fn profile(self) -> Result<Profile> {
        let organization = |id: i64| {
            OrganizationId::try_from(id).map_err(|_| Error::Unreadable("organization id"))
        };
        // What a merge loses (rules P2, P5, P6, P8 to P13), by kind and count.
        let private = [
            ("tags", self.tags),
            ("details", self.details.into()),
            ("notes", self.notes.into()),
            ("photo", self.photo.into()),
            ("direct_line", self.direct_line.into()),
            ("locale", self.locale.into()),
            ("time_zone", self.time_zone.into()),
            ("external_id", self.external_id.into()),
            ("user_fields", self.user_fields),
        ];
        let default = self.organization_id.map(organization).transpose()?;
        let mut organizations: Vec<(OrganizationId, bool)> = Vec::new();
        for (id, is_default) in self
            .organization_ids
            .into_iter()
            .zip(self.organization_defaults)
        {
            organizations.push((organization(id)?, is_default));
        }
        let kinds = self.identity_kinds.iter().zip(self.identity_primary_ones);
        let identities = self
            .identity_ids
            .into_iter()
            .zip(kinds)
            .zip(self.identity_numbers)
            .map(|((id, (kind, is_primary)), number)| {
                let kind = IdentityKind::parse(kind).ok_or(Error::Unreadable("identity kind"))?;
                Ok(Identity {
                    id,
                    kind,
                    number,
                    is_primary,
                })
            });
        let mut identities = identities.collect::<Result<Vec<_>>>()?;
        // The rules take them in the order in which they were added.
        identities.sort_unstable_by_key(|identity| identity.id);
        Ok(Profile {
            identities,
            default_organization: default.or_else(|| {
                organizations
                    .iter()
                    .find(|(_, is_default)| *is_default)
                    .map(|(id, _)| *id)
            }),
            organizations: organizations
                .into_iter()
                .map(|(id, _)| id)
                .chain(default)
                .collect(),
            suspended: self.suspended,
            private: private
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| (kind.to_owned(), count))
                .collect(),
        })
    }
}
