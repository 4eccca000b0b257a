//! Why two users may not be merged: one label serves the event, the metric and the table in the README.

use super::UserId;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $rule:literal;)*) => {
        /// The reason code of a rejection. The table in the README lists the same codes; a test compares.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $label)] $name,)*
        }

        impl Reason {
            /// Every reason, in the order in which the rules are checked.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code in events, metrics, logs and the database.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }

            /// The rule that it comes from.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule),* }
            }
        }
    };
}

reasons! {
    /// The key belongs to another request, which stays as it is.
    IdempotencyKeyReused = "idempotency_key_reused", "R2";
    /// Source and target are one user.
    SameUser = "same_user", "A1";
    /// No such source user in this account.
    SourceNotFound = "source_not_found", "A2";
    /// No such target user in this account.
    TargetNotFound = "target_not_found", "A2";
    /// The source was merged into a third user.
    SourceMergedElsewhere = "source_merged_elsewhere", "A3";
    /// The target was merged away itself.
    TargetMerged = "target_merged", "A4";
    /// The source is deleted, or queued for it.
    SourceDeleted = "source_deleted", "A5";
    /// The target is deleted, or queued for it.
    TargetDeleted = "target_deleted", "A5";
    /// The source is an agent or an admin.
    SourceNotEndUser = "source_not_end_user", "A6";
    /// The target is an agent or an admin.
    TargetNotEndUser = "target_not_end_user", "A6";
    /// The source is unverified and has neither an e-mail address nor an X account.
    SourceUnverifiedWithoutContact = "source_unverified_without_contact", "A7";
    /// The target is unverified and has neither an e-mail address nor an X account.
    TargetUnverifiedWithoutContact = "target_unverified_without_contact", "A7";
    /// The source requests more tickets than the limit.
    SourceTooManyTickets = "source_too_many_tickets", "A8";
    /// The target requests more tickets than the limit.
    TargetTooManyTickets = "target_too_many_tickets", "A8";
    /// The account signs users in by JWT or SAML, and the source has an external id.
    SourceExternalId = "source_external_id", "A9";
    /// The account signs users in by JWT or SAML, and the target has an external id.
    TargetExternalId = "target_external_id", "A9";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

impl std::str::FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(label: &str) -> Result<Self, UnknownReason> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.label() == label)
            .ok_or(UnknownReason)
    }
}

/// A label that no reason has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason code")]
pub struct UnknownReason;

/// A refusal: a normal outcome, recorded and announced, never retried.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Rejection {
    /// The first rule that failed.
    pub reason: Reason,
    /// Who the merged user is today, where that is why (rules A3 and A4).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub canonical_user_id: Option<UserId>,
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            canonical_user_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_leads_back_to_its_reason() {
        for &reason in Reason::ALL {
            assert_eq!(reason.label().parse(), Ok(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.label());
        }
        assert_eq!("no_such_reason".parse::<Reason>(), Err(UnknownReason));
    }
}
