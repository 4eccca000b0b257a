//! What is asked of the settings beyond their fields.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use secrecy::SecretString;

use super::error::{ConfigError, Problem, variable};
use super::{Broker, Database, Names};

impl Database {
    /// The URL, for commands that need the database.
    pub fn require_url(&self) -> Result<&SecretString, ConfigError> {
        let example = "postgres://user:password@host/database";
        self.url
            .as_ref()
            .ok_or_else(|| missing("database.url", example))
    }

    /// For a URL that starts well and turns out to be none.
    #[must_use]
    pub fn malformed_url() -> ConfigError {
        let message = "can't be read; give a URL such as postgres://user:password@host:5432/database, with \
                       reserved characters percent-encoded (the value is secret and not shown)";
        ConfigError::Invalid(vec![problem("database.url", message.to_owned())])
    }
}

impl Broker {
    /// The URL, for commands that need the broker.
    pub fn require_url(&self) -> Result<&SecretString, ConfigError> {
        let example = "amqps://user:password@host/vhost";
        self.url
            .as_ref()
            .ok_or_else(|| missing("broker.url", example))
    }
}

fn missing(setting: &str, example: &str) -> ConfigError {
    let message = format!("is not set and this command needs it; give a URL such as {example}");
    ConfigError::Invalid(vec![problem(setting, message)])
}

fn problem(setting: &str, message: String) -> Problem {
    Problem {
        setting: setting.to_owned(),
        value: None,
        origin: None,
        variable: Some(variable(setting)),
        message,
    }
}

impl Names {
    /// The retry queue of a delay: `user-merge.retry.10s`.
    #[must_use]
    pub fn retry(&self, delay: Duration) -> String {
        let delay = format_duration(delay).to_string().replace(' ', "");
        format!("{}.{delay}", self.retry_prefix)
    }

    /// Every name by its setting.
    pub(super) fn all(&self) -> [(&'static str, &str); 6] {
        [
            ("requests", &self.requests),
            ("bulk", &self.bulk),
            ("retry_prefix", &self.retry_prefix),
            ("dead", &self.dead),
            ("deletion", &self.deletion),
            ("events", &self.events),
        ]
    }
}
