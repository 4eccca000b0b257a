//! What a merge did, in numbers: counts and kinds only, never a value (no personal data).

use std::collections::BTreeMap;

/// Tickets that got the target as requester (rule T1), by where they were.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct TicketCounts {
    /// Neither closed nor archived.
    pub live: i64,
    /// Status `closed`, not archived.
    pub closed: i64,
    /// In the archive.
    pub archived: i64,
}

impl TicketCounts {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.live + self.closed + self.archived
    }
}

/// CC rows of the source user, by what became of them (rules T4 and T5).
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct CcCounts {
    /// The target is now copied instead of the source.
    pub moved: i64,
    /// Rows that went because the target was copied, or is the requester, already.
    pub deduplicated: i64,
}

/// What the target's profile gained, and what was lost with the source's (rules P1 to P16).
#[derive(
    Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct ProfileCounts {
    /// Addresses that are now the target's secondary ones (rule P4).
    pub emails_added: i64,
    /// Numbers added (rule P1).
    pub phones_added: i64,
    /// Organizations added (rule P7).
    pub organizations_added: i64,
    /// Social identities carried over; only where the setting asks for it (rule P15).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub social_identities_added: i64,
    /// One of the two was suspended and the other was not; the target's flag stays (rule P16).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspension_differs: bool,
    /// What was lost, by kind: `tags`, `notes`, `details`, `x` and so on.
    pub dropped: BTreeMap<String, i64>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
const fn is_zero(count: &i64) -> bool {
    *count == 0
}
