mod checks;
mod secrets;
mod sources;

use super::*;

/// What a file and variables amount to.
fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::from_sources(Some(file), env)
}

/// The error that they end in.
fn error(file: &str, env: &[(&str, &str)]) -> String {
    load(file, env)
        .err()
        .unwrap_or_else(|| panic!("accepted: {file} {env:?}"))
        .to_string()
}
