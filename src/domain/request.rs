//! What upstream asks for.

use super::{AccountId, UserId};

/// The longest idempotency key, in characters.
pub const MAX_KEY_CHARS: usize = 200;
/// The longest `requested_by`, in characters.
pub const MAX_REQUESTED_BY_CHARS: usize = 200;
/// The longest `reason`, in characters.
pub const MAX_REASON_CHARS: usize = 1_000;

/// A key that is empty, too long, or holds more than printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 200 printable ASCII characters")]
pub struct KeyError;

/// What makes a retry safe: one key, one merge (rules R1 and R2). Unique per account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
pub struct IdempotencyKey(
    #[schemars(length(min = 1, max = 200), regex(pattern = "^[ -~]+$"))] String,
);

impl IdempotencyKey {
    /// Takes 1 to 200 printable ASCII characters (space to tilde).
    pub fn new(key: impl Into<String>) -> Result<Self, KeyError> {
        let key = key.into();
        let printable = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if key.is_empty() || key.len() > MAX_KEY_CHARS || !printable {
            return Err(KeyError);
        }
        Ok(Self(key))
    }

    /// The key as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for IdempotencyKey {
    type Err = KeyError;

    fn from_str(key: &str) -> Result<Self, KeyError> {
        Self::new(key)
    }
}

impl std::fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The two users of a merge, within their account. Two requests are one where their pairs are (rule R2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The tenant both belong to.
    pub account: AccountId,
    /// The duplicate that is merged away.
    pub source: UserId,
    /// The user that remains.
    pub target: UserId,
}

/// A request to merge one user into another, already checked for form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequest {
    /// Names this request; a second one under the same key does nothing twice.
    pub idempotency_key: IdempotencyKey,
    /// The tenant both users belong to.
    pub account_id: AccountId,
    /// The duplicate that is merged away.
    pub source_user_id: UserId,
    /// The user that remains.
    pub target_user_id: UserId,
    /// Who asked, for the record: a reference such as `agent:77`, never a person's name.
    pub requested_by: Option<String>,
    /// Why, for the record. May hold anything people type: never logged.
    pub reason: Option<String>,
}

impl MergeRequest {
    /// Who is to be merged into whom.
    #[must_use]
    pub const fn pair(&self) -> Pair {
        Pair {
            account: self.account_id,
            source: self.source_user_id,
            target: self.target_user_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_ascii_of_bounded_length() {
        for bad in ["", "tab\there", "naïve", "null\0", &"k".repeat(201)] {
            assert_eq!(IdempotencyKey::new(bad), Err(KeyError), "{bad:?}");
        }
        for good in ["k", "crm-2026 #1~", &"k".repeat(200)] {
            assert!(IdempotencyKey::new(good).is_ok(), "{good:?}");
        }
    }
}
