//! Rules P1 to P16: what becomes of the source's profile.

use std::collections::{BTreeMap, BTreeSet};

use super::{OrganizationId, ProfileCounts, phone};

/// What an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdentityKind {
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// An X account.
    X,
    /// A Facebook account.
    Facebook,
    /// A Google account.
    Google,
}

impl IdentityKind {
    const ALL: [Self; 5] = [
        Self::Email,
        Self::Phone,
        Self::X,
        Self::Facebook,
        Self::Google,
    ];

    /// Reads the word that the help desk has for it.
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::X => "x",
            Self::Facebook => "facebook",
            Self::Google => "google",
        }
    }
}

/// One identity of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id, unique within the account.
    pub id: i64,
    /// What it is.
    pub kind: IdentityKind,
    /// The number, for phones; other values are of no concern here and are never read.
    pub number: Option<String>,
    /// The one that is used first among those of its kind.
    pub is_primary: bool,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A phone number is personal: not even a debug line shows it.
        f.debug_struct("Identity")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A user's profile as far as a merge looks at it: presence and counts where the value doesn't matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// All identities.
    pub identities: Vec<Identity>,
    /// The organizations the user is a member of, the default one included.
    pub organizations: BTreeSet<OrganizationId>,
    /// The default organization.
    pub default_organization: Option<OrganizationId>,
    /// Suspended users can't sign in and their mail is held (rule P16).
    pub suspended: bool,
    /// Everything a merge drops, by kind and count: `tags`, `details`, `notes`, `user_fields` and so on.
    pub private: BTreeMap<String, i64>,
}

/// How accounts and settings bend the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileRules {
    /// Users of this account may be in several organizations (rule P7).
    pub multiple_organizations: bool,
    /// Carry social identities over instead of losing them (rule P15).
    pub carry_social_identities: bool,
}

/// An identity row that changes hands. Rows are moved, never deleted and made anew (rule P4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityMove {
    /// The row.
    pub id: i64,
    /// Whether it is the target's primary one of its kind from now on.
    pub is_primary: bool,
}

/// What to write for the target, and what to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// Identities that the target gets.
    pub identities: Vec<IdentityMove>,
    /// Memberships that the target gets.
    pub organizations: Vec<OrganizationId>,
    /// The target's default organization, where it had no organization at all.
    pub default_organization: Option<OrganizationId>,
    /// The same as counts, and what is lost.
    pub counts: ProfileCounts,
}

/// Applies the table of profile rules.
#[must_use]
pub fn combine(source: &Profile, target: &Profile, rules: ProfileRules) -> ProfileChange {
    let mut change = ProfileChange::default();
    change.counts.dropped.clone_from(&source.private); // P2, P5, P6, P8, P9, P10, P11, P12, P13
    change.counts.suspension_differs = source.suspended != target.suspended; // P16
    identities(source, target, rules, phone::comparable, &mut change);
    organizations(source, target, rules, &mut change);
    change
}

/// P1, P3, P4, P15. Numbers are equal where `comparable` makes the same of them.
fn identities(
    source: &Profile,
    target: &Profile,
    rules: ProfileRules,
    comparable: impl Fn(&str) -> String,
    change: &mut ProfileChange,
) {
    let compares = compares(source, target);
    let mut numbers = BTreeSet::new();
    if compares {
        let theirs = phones(target).filter_map(|identity| identity.number.as_deref());
        numbers.extend(theirs.map(&comparable));
    }
    // Kinds of which the target has an identity, and so a first one: the source's don't go before it.
    let mut settled: BTreeSet<IdentityKind> = target.identities.iter().map(|i| i.kind).collect();
    // The primary one goes first: of two equal numbers it is the one that counts.
    let (primary, others): (Vec<&Identity>, Vec<_>) =
        source.identities.iter().partition(|i| i.is_primary);

    for identity in primary.into_iter().chain(others) {
        let counts = &mut change.counts;
        let is_primary = match identity.kind {
            // P3: the target's primary address stays as it is, even if there is none.
            IdentityKind::Email => {
                counts.emails_added += 1;
                false
            }
            IdentityKind::Phone => {
                let number = identity.number.as_deref();
                if compares && !numbers.insert(number.map(&comparable).unwrap_or_default()) {
                    continue; // the target has this number: nothing is added, nothing is lost
                }
                counts.phones_added += 1;
                identity.is_primary && settled.insert(identity.kind)
            }
            social @ (IdentityKind::X | IdentityKind::Facebook | IdentityKind::Google) => {
                if !rules.carry_social_identities {
                    *counts.dropped.entry(social.label().to_owned()).or_default() += 1;
                    continue;
                }
                counts.social_identities_added += 1;
                identity.is_primary && settled.insert(social)
            }
        };
        change.identities.push(IdentityMove {
            id: identity.id,
            is_primary,
        });
    }
}

/// Whether a number of the source meets another one: reading even one takes the numbering plans of the world.
fn compares(source: &Profile, target: &Profile) -> bool {
    let added = phones(source).count();
    added > 0 && added + phones(target).count() > 1
}

fn phones(profile: &Profile) -> impl Iterator<Item = &Identity> {
    let identities = profile.identities.iter();
    identities.filter(|identity| identity.kind == IdentityKind::Phone)
}

/// P7.
fn organizations(
    source: &Profile,
    target: &Profile,
    rules: ProfileRules,
    change: &mut ProfileChange,
) {
    let first = source
        .default_organization
        .or_else(|| source.organizations.first().copied());
    let homeless = target.organizations.is_empty();

    change.organizations = if rules.multiple_organizations {
        source
            .organizations
            .difference(&target.organizations)
            .copied()
            .collect()
    } else if homeless {
        first.into_iter().collect()
    } else {
        Vec::new()
    };
    if homeless {
        change.default_organization = first;
    }

    let kept = |id: &&OrganizationId| {
        target.organizations.contains(id) || change.organizations.contains(id)
    };
    let lost = source.organizations.iter().filter(|id| !kept(id)).count();
    if lost > 0 {
        change.counts.dropped.insert(
            "organizations".to_owned(),
            i64::try_from(lost).unwrap_or(i64::MAX),
        );
    }
    change.counts.organizations_added =
        i64::try_from(change.organizations.len()).unwrap_or(i64::MAX);
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
