//! What all messages share: the version field, and how a type becomes bytes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::SCHEMA_VERSION;

/// The field `schema_version`: it has one value, so a message can't be built with another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub(super) struct Version;

impl From<Version> for i64 {
    fn from(_: Version) -> Self {
        SCHEMA_VERSION
    }
}

impl TryFrom<i64> for Version {
    type Error = UnsupportedVersion;

    fn try_from(version: i64) -> Result<Self, UnsupportedVersion> {
        if version == SCHEMA_VERSION {
            Ok(Self)
        } else {
            Err(UnsupportedVersion)
        }
    }
}

impl JsonSchema for Version {
    fn schema_name() -> Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "const": SCHEMA_VERSION })
    }
}

/// A version that this worker doesn't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the number {SCHEMA_VERSION}")]
pub(super) struct UnsupportedVersion;

/// The message as compact JSON, its fields in the order in which the type declares them.
pub(super) fn to_json(message: &impl Serialize) -> Vec<u8> {
    // Only a failing writer, a map with keys that aren't strings or a failing `Serialize` could
    // break this; the messages have none of them.
    let mut json = serde_json::to_vec(message).expect("a message of plain fields is always JSON");
    // Very many wait at once for the broker, and the buffer may be twice the message.
    json.shrink_to_fit();
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_version() {
        assert_eq!(serde_json::to_string(&Version).unwrap(), "1");
        assert_eq!(serde_json::from_str::<Version>("1").unwrap(), Version);
        for other in ["0", "2", "-1", "1.0", "true", "\"1\"", "null"] {
            assert!(serde_json::from_str::<Version>(other).is_err(), "{other}");
        }
    }
}
