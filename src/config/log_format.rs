//! A setting with its own type.

use config::ValueKind;

use super::value::Single;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

impl Single for LogFormat {
    const EXPECTED: &str = "auto, text or json";

    fn parse(value: &ValueKind) -> Option<Self> {
        match String::parse(value)?.as_str() {
            "auto" => Some(Self::Auto),
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}
