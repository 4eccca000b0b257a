//! The deletion request: hands the merged source user over to the deletion pipeline (rule D2).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::wire::{Version, to_json};
use crate::domain::{AccountId, MergeId, UserId};

/// Asks for the deletion of a user that was merged away. Sent at least once and only after the merge is
/// final, always with the same `idempotency_key`, which is the AMQP `message_id` too.
// The fields are private, so that the key always fits the user and nobody builds a request to delete
// a user for another reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "Deletion request")]
pub struct DeletionRequest {
    /// The version of this schema.
    schema_version: Version,
    /// `user-deletion:<account_id>:<user_id>`: one deletion per user, however often it is asked for.
    #[schemars(regex(pattern = "^user-deletion:[1-9][0-9]*:[1-9][0-9]*$"))]
    idempotency_key: String,
    /// The help-desk tenant.
    account_id: AccountId,
    /// The user to delete: the merge's source.
    user_id: UserId,
    /// Why the user is deleted.
    reason: DeletionReason,
    /// The user that remains: the merge's target.
    merged_into: UserId,
    /// The merge, as in its outcome event.
    #[schemars(with = "String", extend("format" = "uuid"))]
    merge_id: MergeId,
    /// When the merge was committed, in UTC.
    merged_at: DateTime<Utc>,
    /// Always true: votes, subscriptions, posts and comments in the help centre stay visible (rule P14).
    #[schemars(extend("const" = true))]
    keep_contributions: bool,
}

/// Why a user is deleted; this worker knows one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DeletionReason {
    Merged,
}

impl DeletionRequest {
    /// The request for the source of a merge that is committed together with it (rules D1 and D2).
    #[must_use]
    pub fn new(
        account_id: AccountId,
        source: UserId,
        target: UserId,
        merge_id: MergeId,
        merged_at: DateTime<Utc>,
    ) -> Self {
        Self {
            schema_version: Version,
            idempotency_key: format!("user-deletion:{account_id}:{source}"),
            account_id,
            user_id: source,
            reason: DeletionReason::Merged,
            merged_into: target,
            merge_id,
            merged_at,
            keep_contributions: true,
        }
    }

    /// `user-deletion:<account>:<user>`: the same for one user, whoever asks and how often (rule D2).
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// The AMQP `message_id`: the key.
    #[must_use]
    pub fn message_id(&self) -> &str {
        self.idempotency_key()
    }

    /// The body: compact JSON, the fields in the contract's order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::schema;
    use super::*;

    fn user(id: i64) -> UserId {
        UserId::try_from(id).unwrap()
    }

    fn deletion(
        account: i64,
        source: i64,
        target: i64,
        merged_at: DateTime<Utc>,
    ) -> DeletionRequest {
        let account = AccountId::try_from(account).unwrap();
        let merge = Uuid::from_u128(0x0193_52a0_7c00_7000_8000_0000_0000_0001);
        DeletionRequest::new(account, user(source), user(target), merge, merged_at)
    }

    #[test]
    fn the_contracts_example_is_written() {
        let deletion = deletion(42, 1001, 1002, "2026-11-22T09:00:00Z".parse().unwrap());
        let expected = concat!(
            r#"{"schema_version":1,"idempotency_key":"user-deletion:42:1001","account_id":42,"#,
            r#""user_id":1001,"reason":"merged","merged_into":1002,"#,
            r#""merge_id":"019352a0-7c00-7000-8000-000000000001","#,
            r#""merged_at":"2026-11-22T09:00:00Z","keep_contributions":true}"#,
        );
        assert_eq!(String::from_utf8(deletion.encode()).unwrap(), expected);
    }

    #[test]
    fn d2_the_key_depends_on_the_user_alone() {
        let one = deletion(42, 1001, 1002, "2026-11-22T09:00:00Z".parse().unwrap());
        let other = deletion(42, 1001, 7, "2027-01-01T00:00:00.5Z".parse().unwrap());
        assert_eq!(one.idempotency_key(), "user-deletion:42:1001");
        assert_eq!(one.idempotency_key(), other.idempotency_key());
        assert_eq!(one.message_id(), one.idempotency_key());
    }

    proptest! {
        #[test]
        fn every_one_fits_the_schema(
            account in 1_i64.., source in 1_i64.., target in 1_i64.., micros in 0..4_000_000_000_000_000_i64,
        ) {
            let merged_at = DateTime::from_timestamp_micros(micros).unwrap();
            let body = deletion(account, source, target, merged_at).encode();
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            prop_assert!(value["merged_at"].as_str().unwrap().ends_with('Z'));
            prop_assert!(jsonschema::is_valid(&schema("deletion-request").unwrap(), &value));
        }
    }
}
