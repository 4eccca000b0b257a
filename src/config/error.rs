//! What can be wrong with the settings, said so that it can be put right without the source code.

use std::fmt;
use std::path::PathBuf;

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file given with `--config` can't be read.
    #[error("can't read the settings file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A source is not TOML. The offending line isn't repeated: it may hold a password.
    #[error("{origin} is not valid TOML: {detail}")]
    Syntax {
        /// The source.
        origin: String,
        /// Line, column and what is wrong there.
        detail: String,
    },
    /// Every setting that is missing, unknown or wrong: all of them, not just the first.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
}

/// One setting that is missing, unknown or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, such as `broker.url`; of an unknown variable its name.
    pub setting: String,
    /// Its value, unless it is a secret or unset.
    pub value: Option<String>,
    /// Where the value came from, unless it is the built-in default.
    pub origin: Option<String>,
    /// The environment variable that would set it; none if there is no such setting.
    pub variable: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The environment variable of a setting.
#[must_use]
pub(super) fn variable(setting: &str) -> String {
    format!(
        "{}{}",
        super::layers::PREFIX,
        setting.to_uppercase().replace('.', "__")
    )
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.setting)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        // The variable's name is derived, and long: nobody should have to put it together.
        match (&self.origin, &self.variable) {
            (Some(origin), Some(variable)) if !origin.contains(variable) => {
                write!(f, " (from {origin}; environment variable {variable})")?;
            }
            (Some(origin), _) => write!(f, " (from {origin})")?,
            (None, Some(variable)) => write!(f, " (environment variable {variable})")?,
            (None, None) => {}
        }
        write!(f, ": {}", self.message)
    }
}

fn list(problems: &[Problem]) -> String {
    match problems {
        [problem] => format!("wrong setting: {problem}"),
        _ => problems.iter().fold(
            format!("{} wrong settings:", problems.len()),
            |text, problem| text + "\n  " + &problem.to_string(),
        ),
    }
}
