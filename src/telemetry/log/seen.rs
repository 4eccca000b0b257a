//! The fields that were recorded on a span or an event.

use std::fmt::Write as _;

use serde_json::Value;
use tracing::field::{Field, Visit};

use super::fields::listed;
use super::filter::ours;

/// What stands for the value of a field that isn't listed.
const WITHHELD: &str = "(not in telemetry::log::FIELDS)";

/// The fields of a span or an event, in their order; the last of a name counts.
#[derive(Default)]
pub(super) struct Seen {
    ours: bool,
    /// By name.
    pub values: Vec<(&'static str, Value)>,
}

impl Seen {
    /// For a span or an event of this target.
    pub fn of(target: &str) -> Self {
        Self {
            ours: ours(target),
            values: Vec::new(),
        }
    }

    /// Puts a value in the place of the last one of that name.
    pub fn put(&mut self, name: &'static str, value: Value) {
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    fn see(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let shown = !self.ours || name == "message" || listed(name);
        self.put(name, if shown { value } else { Value::from(WITHHELD) });
    }

    /// The message, which is a field among the others.
    pub fn take_message(&mut self) -> String {
        let Some(at) = self.values.iter().position(|(name, _)| *name == "message") else {
            return String::new();
        };
        match self.values.remove(at).1 {
            Value::String(message) => message,
            other => other.to_string(),
        }
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.see(field, Value::from(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.see(field, Value::from(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.see(field, Value::from(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.see(field, Value::from(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.see(field, Value::from(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.see(field, Value::from(value));
    }
    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let _ = write!(chain, ": {cause}");
            source = cause.source();
        }
        self.see(field, Value::from(chain));
    }
}
