//! The settings: typed, checked once at the start, unknown keys refused.
//!
//! Sources, each over the one before: the built-in `config/default.toml`, the file given with
//! `--config`, and the environment (`USER_MERGE__SECTION__KEY`). `sections.rs` is the one list of
//! settings with their types and rules; the built-in file holds the defaults.

mod access;
mod check;
mod error;
mod layers;
mod log_format;
mod nearest;
mod reader;
mod rules;
mod section;
mod sections;
mod urls;
mod value;

use std::path::Path;

pub use error::{ConfigError, Problem};
pub use log_format::LogFormat;
pub use sections::{
    Broker, Chunk, Database, Lane, Lanes, Merge, Names, Pace, Relay, Retry, Settings, Sweep,
    Telemetry, Worker,
};
pub use urls::urls;

use layers::Layer;
use reader::{Reader, Setting};

impl Settings {
    /// Reads the built-in defaults, then the file, then this process's environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let file = match file {
            None => None,
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                        path: path.to_owned(),
                        source,
                    })?;
                Some((path.display().to_string(), text))
            }
        };
        let file = file
            .as_ref()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        // A variable that isn't UTF-8 can't be meant for us unless its name is; its text then fails its check.
        let env = std::env::vars_os().map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        });
        Self::from_layers(file, env)
    }

    /// The same from given sources, without a look at the process: for tests.
    pub fn from_sources(
        file_text: Option<&str>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::from_layers(file_text.map(|text| ("the settings file", text)), env)
    }

    /// The name of every setting, such as `broker.names.dead`, in the order of the sections.
    #[must_use]
    pub fn keys() -> Vec<String> {
        let mut keys = Vec::new();
        <Self as Setting>::keys("", &mut keys);
        keys
    }

    fn from_layers(
        file: Option<(&str, &str)>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = vec![Layer::built_in()?];
        if let Some((name, text)) = file {
            layers.push(Layer::file(name, text)?);
        }
        layers.push(Layer::environment(env));

        let mut reader = Reader::new(layers, &Self::keys());
        let settings = Self::read(&mut reader, "");
        if let Some(settings) = &settings {
            check::across(settings, &mut reader);
        }
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(ConfigError::Invalid(reader.problems)),
        }
    }
}

#[cfg(test)]
mod tests;
