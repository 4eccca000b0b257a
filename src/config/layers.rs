//! The sources: each is a flat list of names and values, and remembers where it is from.

use std::collections::BTreeMap;

use config::{Config, File, FileFormat, Source, ValueKind};

use super::ConfigError;

/// What every environment variable of ours starts with.
pub(super) const PREFIX: &str = "USER_MERGE__";

const BUILT_IN: &str = include_str!("../../config/default.toml");

/// One source.
pub(super) struct Layer {
    /// Where its values are from, as an error says it; none for the built-in defaults.
    pub origin: Option<String>,
    /// By setting (`broker.url`), or by variable where it is the environment.
    pub values: BTreeMap<String, ValueKind>,
    /// Whether the names are those of environment variables.
    pub environment: bool,
}

impl Layer {
    /// The built-in defaults.
    pub fn built_in() -> Result<Self, ConfigError> {
        Ok(Self {
            origin: None,
            values: parse("the built-in default.toml", BUILT_IN)?,
            environment: false,
        })
    }

    /// A settings file's text.
    pub fn file(name: &str, text: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            origin: Some(name.to_owned()),
            values: parse(name, text)?,
            environment: false,
        })
    }

    /// Those variables that have our prefix.
    pub fn environment(variables: impl Iterator<Item = (String, String)>) -> Self {
        let values = variables
            .filter(|(name, _)| name.starts_with(PREFIX))
            .map(|(name, value)| (name, ValueKind::String(value)))
            .collect();
        Self {
            origin: None,
            values,
            environment: true,
        }
    }
}

fn parse(origin: &str, text: &str) -> Result<BTreeMap<String, ValueKind>, ConfigError> {
    let table = Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .build()
        .and_then(|config| config.collect())
        .map_err(|error| ConfigError::Syntax {
            origin: origin.to_owned(),
            detail: without_the_line(&error.to_string()),
        })?;
    let mut values = BTreeMap::new();
    for (name, value) in table {
        flatten(name, value.kind, &mut values);
    }
    Ok(values)
}

/// The parser quotes the offending line between its first and its last.
fn without_the_line(report: &str) -> String {
    let quoted = |line: &str| line.contains(" |") || line.contains("| ");
    let lines: Vec<_> = report
        .lines()
        .map(str::trim)
        .filter(|line| !quoted(line) && *line != "|")
        .collect();
    lines.join(": ")
}

fn flatten(name: String, value: ValueKind, values: &mut BTreeMap<String, ValueKind>) {
    match value {
        ValueKind::Table(table) => {
            for (key, value) in table {
                flatten(format!("{name}.{key}"), value.kind, values);
            }
        }
        value => {
            values.insert(name, value);
        }
    }
}
