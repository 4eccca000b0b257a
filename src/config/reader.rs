//! Lays the sources over each other and reads settings from them, noting every problem on the way.

use std::collections::BTreeMap;

use config::ValueKind;

use super::error::{Problem, variable};
use super::layers::{Layer, PREFIX};
use super::nearest::nearest;
use super::value::Single;

/// A setting, or a section of them.
pub(super) trait Setting: Sized {
    /// Adds the names of all settings in it.
    fn keys(path: &str, keys: &mut Vec<String>);
    /// Reads it; none if anything in it is wrong, which the reader has noted then.
    fn read(reader: &mut Reader, path: &str) -> Option<Self>;
}

impl<T: Single> Setting for T {
    fn keys(path: &str, keys: &mut Vec<String>) {
        keys.push(path.to_owned());
    }

    fn read(reader: &mut Reader, path: &str) -> Option<Self> {
        reader.single(path)
    }
}

struct Given {
    value: ValueKind,
    origin: Option<String>,
    secret: bool,
}

/// The values that count, and what was found wrong.
pub(super) struct Reader {
    given: BTreeMap<String, Given>,
    /// Everything wrong so far.
    pub problems: Vec<Problem>,
}

impl Reader {
    /// Lays the layers over each other, the last on top, and refuses unknown names in each.
    pub fn new(layers: Vec<Layer>, keys: &[String]) -> Self {
        let mut reader = Self {
            given: BTreeMap::new(),
            problems: Vec::new(),
        };
        for layer in layers {
            for (name, value) in layer.values {
                reader.lay(keys, name, value, layer.origin.clone(), layer.environment);
            }
        }
        reader
    }

    fn lay(
        &mut self,
        keys: &[String],
        name: String,
        value: ValueKind,
        origin: Option<String>,
        environment: bool,
    ) {
        let named = |key: &str| {
            if environment {
                variable(key)
            } else {
                key.to_owned()
            }
        };
        if let Some(key) = keys.iter().find(|key| named(key) == name) {
            let origin = if environment {
                Some(format!("environment variable {name}"))
            } else {
                origin
            };
            // Until its type says otherwise, it may be a secret.
            self.given.insert(
                key.clone(),
                Given {
                    value,
                    origin,
                    secret: true,
                },
            );
            return;
        }
        let all: Vec<_> = keys.iter().map(|key| named(key)).collect();
        self.problems.push(Problem {
            message: match nearest(&name, &all) {
                Some(known) => format!("no such setting; is {known} meant?"),
                None if environment => {
                    format!("no such setting; variables are named {PREFIX}SECTION__KEY")
                }
                None => "no such setting; config/default.toml lists them all".to_owned(),
            },
            setting: name,
            // It may be a secret under a mistyped name.
            value: None,
            origin,
            variable: None,
        });
    }

    /// Reads a single value.
    pub fn single<T: Single>(&mut self, path: &str) -> Option<T> {
        let parsed = self.given.get_mut(path).and_then(|given| {
            given.secret = T::SECRET;
            T::parse(&given.value)
        });
        if parsed.is_none() {
            self.wrong(path, &format!("must be {}", T::EXPECTED));
        }
        parsed
    }

    /// Applies a rule to what was read.
    pub fn check<T>(
        &mut self,
        path: &str,
        value: Option<T>,
        rule: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        let value = value?;
        match rule(&value) {
            Ok(()) => Some(value),
            Err(message) => {
                self.wrong(path, &message);
                None
            }
        }
    }

    /// Notes what would be right for a setting, beside its value and its origin.
    pub fn wrong(&mut self, path: &str, message: &str) {
        let given = self.given.get(path);
        self.problems.push(Problem {
            setting: path.to_owned(),
            value: given
                .filter(|given| !given.secret)
                .map(|given| shown(&given.value)),
            origin: given.and_then(|given| given.origin.clone()),
            variable: Some(variable(path)),
            message: message.to_owned(),
        });
    }
}

/// A value as its owner wrote it. A URL in the wrong place is not shown: it may hold a password.
fn shown(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) if text.contains("://") => "(a URL, not shown)".to_owned(),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}
