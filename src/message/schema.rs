//! JSON Schemas (draft 2020-12) of the messages, made from the types that read and write them.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::request::WireRequest;
use super::{DeletionRequest, OutcomeEvent};

mod examples;
#[cfg(test)]
mod tests;

/// The names of all schemas, as `user-merge schema NAME` takes them.
pub const NAMES: [&str; 3] = ["merge-request", "deletion-request", "outcome-event"];

/// The schema of that name, with title, description and examples; none where the name is unknown.
///
/// It has no `$id`: where a schema is published is the installation's choice.
#[must_use]
pub fn schema(name: &str) -> Option<Value> {
    let incoming = || settings().for_deserialize();
    let outgoing = || {
        settings()
            .for_serialize()
            .with_transform(RecursiveTransform(drop_null))
    };
    let (schema, examples) = match name {
        "merge-request" => (of::<WireRequest>(incoming()), examples::merge_requests()),
        "deletion-request" => (
            of::<DeletionRequest>(outgoing()),
            examples::deletion_requests(),
        ),
        "outcome-event" => (of::<OutcomeEvent>(outgoing()), examples::outcome_events()),
        _ => return None,
    };
    let mut schema = schema.to_value();
    schema["examples"] = examples;
    Some(schema)
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(bound_integers))
}

fn of<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    settings.into_generator().into_root_schema_for::<T>()
}

/// Says what every 64-bit number here obeys: an id starts at 1, a count at 0. The types can't say it
/// themselves: schemars follows the ids' `serde(try_from)` to a plain integer, and counts are plain ones.
fn bound_integers(schema: &mut Schema) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, property) in properties {
            let is_id = name.ends_with("_id") || name == "merged_into";
            bound(property, i64::from(is_id));
        }
    }
    if let Some(counts) = schema.get_mut("additionalProperties") {
        bound(counts, 0);
    }
}

fn bound(property: &mut Value, minimum: i64) {
    if property["format"] == "int64" {
        property["minimum"] = json!(minimum);
        property["maximum"] = json!(i64::MAX);
    }
}

/// What this worker sends leaves an absent field out and never writes `null`.
fn drop_null(schema: &mut Schema) {
    let Some(Value::Array(types)) = schema.get_mut("type") else {
        return;
    };
    types.retain(|name| name != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        schema.insert("type".to_owned(), only);
    }
}
