//! The merge request: what upstream asks for, read once at the edge (rule R6).

use schemars::JsonSchema;
use serde::Serialize;

use super::error::{DecodeError, DecodeReason};
use super::fields::Fields;
use super::wire::{UnsupportedVersion, Version, to_json};
use crate::domain::{
    AccountId, IdempotencyKey, KeyError, MAX_REASON_CHARS, MAX_REQUESTED_BY_CHARS, MergeRequest,
    UserId,
};

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// Reads a request, and compares its key with the AMQP `message_id`, where that is set.
///
/// Strict, since a merge can't be undone: at most [`MAX_BYTES`](super::MAX_BYTES), no field twice, no
/// unknown field, and whole numbers written as such (`1.0` and `1e3` are refused). A `null` counts as
/// absent for `requested_by` and `reason`, and is refused elsewhere. The fields are checked in the order
/// of the contract, the unknown ones after them, `message_id` last; the first error is returned.
pub fn decode(body: &[u8], message_id: Option<&str>) -> Result<MergeRequest, DecodeError> {
    let mut fields = Fields::read(body)?;
    check_version(&mut fields)?;
    let request = MergeRequest {
        idempotency_key: take_key(&mut fields)?,
        account_id: fields.id("account_id")?,
        source_user_id: fields.id("source_user_id")?,
        target_user_id: fields.id("target_user_id")?,
        requested_by: fields.optional_text("requested_by", MAX_REQUESTED_BY_CHARS)?,
        reason: fields.optional_text("reason", MAX_REASON_CHARS)?,
    };
    fields.finish()?;
    check_message_id(&request.idempotency_key, message_id)?;
    Ok(request)
}

/// The request as a producer sends it; its AMQP `message_id` is the key, or is left unset.
///
/// The lengths of `requested_by` and `reason` are not checked here: where they come from a person,
/// [`decode`] the result before it is sent.
#[must_use]
pub fn encode(request: &MergeRequest) -> Vec<u8> {
    to_json(&WireRequest {
        schema_version: Version,
        idempotency_key: &request.idempotency_key,
        account_id: request.account_id,
        source_user_id: request.source_user_id,
        target_user_id: request.target_user_id,
        requested_by: request.requested_by.as_deref(),
        reason: request.reason.as_deref(),
    })
}

fn check_version(fields: &mut Fields) -> Result<(), DecodeError> {
    const NAME: &str = "schema_version";
    let version = fields.integer(NAME, UnsupportedVersion)?;
    let version = version
        .ok_or(UnsupportedVersion)
        .and_then(Version::try_from);
    version
        .map(|Version| ())
        .map_err(|must| DecodeError::of_field(DecodeReason::UnsupportedSchemaVersion, NAME, must))
}

fn take_key(fields: &mut Fields) -> Result<IdempotencyKey, DecodeError> {
    const NAME: &str = "idempotency_key";
    let key = fields.text(NAME, KeyError)?;
    IdempotencyKey::new(key)
        .map_err(|must| DecodeError::of_field(DecodeReason::InvalidKey, NAME, must))
}

fn check_message_id(key: &IdempotencyKey, message_id: Option<&str>) -> Result<(), DecodeError> {
    if message_id.is_none_or(|id| id == key.as_str()) {
        return Ok(());
    }
    let sentence = "must equal idempotency_key, or be left unset";
    let reason = DecodeReason::MessageIdMismatch;
    Err(DecodeError::of_field(reason, "message_id", sentence))
}

/// Asks to merge the source user into the target user, for good. At most 64 KiB of UTF-8. Beyond this
/// schema: no field may be there twice, and whole numbers are written without fraction or exponent.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "Merge request", deny_unknown_fields)]
pub(super) struct WireRequest<'a> {
    /// The version of this schema.
    schema_version: Version,
    /// Names this request, unique per account. The same key again repeats the recorded outcome.
    idempotency_key: &'a IdempotencyKey,
    /// The help-desk tenant that both users belong to.
    account_id: AccountId,
    /// The duplicate that is merged away.
    source_user_id: UserId,
    /// The user that remains.
    target_user_id: UserId,
    /// Who asked, as a reference such as `agent:77`: it is handed on in events, so no personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_REQUESTED_BY_CHARS), regex(pattern = r"^[^\u0000]*$"))]
    requested_by: Option<&'a str>,
    /// Why, for the record; never logged or handed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_REASON_CHARS), regex(pattern = r"^[^\u0000]*$"))]
    reason: Option<&'a str>,
}
