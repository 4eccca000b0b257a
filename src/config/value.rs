//! How a single value is read: from a file with its type, from the environment as text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use config::ValueKind;
use humantime_serde::re::humantime;
use secrecy::SecretString;

/// A type that a single setting can have.
pub(super) trait Single: Sized {
    /// What would be right, as an error says it.
    const EXPECTED: &str;
    /// Whether the value must never be shown.
    const SECRET: bool = false;
    /// None: not such a value.
    fn parse(value: &ValueKind) -> Option<Self>;
}

fn text(value: &ValueKind) -> Option<&str> {
    match value {
        // A secret that was mounted as a file tends to end with a line feed.
        ValueKind::String(text) => Some(text.trim()),
        _ => None,
    }
}

macro_rules! whole_numbers {
    ($($type:ty: $expected:literal;)*) => {$(
        impl Single for $type {
            const EXPECTED: &str = $expected;
            fn parse(value: &ValueKind) -> Option<Self> {
                match value {
                    ValueKind::I64(number) => Self::try_from(*number).ok(),
                    other => text(other)?.parse().ok(),
                }
            }
        }
    )*};
}

whole_numbers! {
    u16: "a whole number up to 65535";
    u32: "a whole number up to 4294967295";
}

impl Single for bool {
    const EXPECTED: &str = "true or false";
    fn parse(value: &ValueKind) -> Option<Self> {
        match value {
            ValueKind::Boolean(truth) => Some(*truth),
            other => text(other)?.parse().ok(),
        }
    }
}

impl Single for Duration {
    const EXPECTED: &str = "a duration such as \"750ms\", \"30s\", \"5m\" or \"7d\"";
    fn parse(value: &ValueKind) -> Option<Self> {
        humantime::parse_duration(text(value)?).ok()
    }
}

impl Single for Vec<Duration> {
    const EXPECTED: &str = "a list of durations: [\"1s\", \"10s\"], in the environment 1s,10s";
    fn parse(value: &ValueKind) -> Option<Self> {
        match value {
            ValueKind::Array(items) => items
                .iter()
                .map(|item| Duration::parse(&item.kind))
                .collect(),
            other => text(other)?
                .split(',')
                .map(|item| humantime::parse_duration(item.trim()).ok())
                .collect(),
        }
    }
}

impl Single for String {
    const EXPECTED: &str = "a text";
    fn parse(value: &ValueKind) -> Option<Self> {
        text(value).map(str::to_owned)
    }
}

impl Single for SecretString {
    const EXPECTED: &str = "a text";
    const SECRET: bool = true;
    fn parse(value: &ValueKind) -> Option<Self> {
        text(value).map(Self::from)
    }
}

impl Single for PathBuf {
    const EXPECTED: &str = "a path";
    fn parse(value: &ValueKind) -> Option<Self> {
        text(value).map(Self::from)
    }
}

impl Single for SocketAddr {
    const EXPECTED: &str = "an address and port such as \"127.0.0.1:9464\" or \"[::]:9464\"";
    fn parse(value: &ValueKind) -> Option<Self> {
        text(value)?.parse().ok()
    }
}

/// An empty text is "not set": an environment can then unset what a file sets.
impl<T: Single> Single for Option<T> {
    const EXPECTED: &str = T::EXPECTED;
    const SECRET: bool = T::SECRET;
    fn parse(value: &ValueKind) -> Option<Self> {
        match text(value) {
            Some("") => Some(None),
            _ => T::parse(value).map(Some),
        }
    }
}
