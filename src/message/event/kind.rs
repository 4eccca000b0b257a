//! The three types of outcome, and which parts an event of each has.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How a request ended; the event's field `type` and its routing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    /// The source is merged into the target, now or by an earlier request.
    #[serde(rename = "merge.completed")]
    Completed,
    /// A rule forbids the merge; nothing was changed.
    #[serde(rename = "merge.rejected")]
    Rejected,
    /// The merge was given up and waits in the dead-letter queue (rule R7).
    #[serde(rename = "merge.failed")]
    Failed,
}

impl EventType {
    /// All three.
    pub const ALL: &[Self] = &[Self::Completed, Self::Rejected, Self::Failed];

    /// The routing key on the topic exchange: the same words as in the field `type`.
    #[must_use]
    pub const fn routing_key(self) -> &'static str {
        match self {
            Self::Completed => "merge.completed",
            Self::Rejected => "merge.rejected",
            Self::Failed => "merge.failed",
        }
    }

    const fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Completed => &["tickets", "ccs", "profile"],
            Self::Rejected => &["rejection"],
            Self::Failed => &["failure", "tickets", "ccs"],
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.routing_key())
    }
}

/// The schema's conditions: an event has the parts of its type, all of them and no other.
pub(super) fn required_by_type() -> Value {
    const PARTS: [&str; 5] = ["tickets", "ccs", "profile", "rejection", "failure"];
    let conditions = EventType::ALL.iter().map(|kind| {
        let foreign = PARTS.iter().filter(|part| !kind.parts().contains(part));
        let absent: serde_json::Map<_, _> = foreign
            .map(|part| ((*part).to_owned(), json!(false)))
            .collect();
        json!({
            "if": { "properties": { "type": { "const": kind.routing_key() } } },
            "then": { "required": kind.parts(), "properties": absent },
        })
    });
    conditions.collect()
}
