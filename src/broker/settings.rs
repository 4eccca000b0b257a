//! What the room must be told, and the defaults.

use std::path::PathBuf;
use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Error, Names};

/// How to reach the broker and how long to wait for it. Every time-out is from the call to its answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `amqp://user:password@host:port/vhost` or `amqps://…`, percent-encoded; without a vhost part `/` is meant.
    #[serde(deserialize_with = "secret")]
    pub url: SecretString,
    /// Queues and exchanges.
    #[serde(default)]
    pub names: Names,
    /// The delays for which there is a retry queue, whole seconds. One that is taken out again leaves its queue
    /// and what waits in it; that still returns.
    #[serde(default = "delays", deserialize_with = "as_people_write_them")]
    pub delays: Vec<Duration>,
    /// How often a sign of life is asked for; a dead peer is found within two of these. Whole seconds. A
    /// `heartbeat` in the URL goes before.
    #[serde(default = "seconds::<10>", with = "humantime_serde")]
    pub heartbeat: Duration,
    /// For a connection: TCP, TLS and login together.
    #[serde(default = "seconds::<10>", with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// For one publish, from the call to the confirm, a new connection included.
    #[serde(default = "seconds::<15>", with = "humantime_serde")]
    pub publish_timeout: Duration,
    /// For every other answer of the broker: declarations, acknowledgements, closing.
    #[serde(default = "seconds::<10>", with = "humantime_serde")]
    pub reply_timeout: Duration,
    /// How many publishes may await their confirms at once.
    #[serde(default = "in_flight")]
    pub max_in_flight: u16,
    /// PEM file with the certificates of a private authority, trusted besides the system's own. For `amqps` only.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// The defaults for this URL.
    #[must_use]
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            names: Names::default(),
            delays: delays(),
            heartbeat: seconds::<10>(),
            connect_timeout: seconds::<10>(),
            publish_timeout: seconds::<15>(),
            reply_timeout: seconds::<10>(),
            max_in_flight: in_flight(),
            ca_file: None,
        }
    }

    /// Checks everything that can be checked without the broker; the error is lasting and names the setting.
    pub fn check(&self) -> Result<(), Error> {
        self.names.check().map_err(Error::Settings)?;
        for delay in &self.delays {
            if delay.as_secs() == 0 || delay.subsec_nanos() != 0 || delay.as_secs() > 30 * 24 * 3600
            {
                return Err(Error::Settings(
                    "delays: whole seconds up to 30 days".into(),
                ));
            }
        }
        if self.heartbeat.as_secs() == 0 || self.heartbeat.as_secs() > u64::from(u16::MAX) {
            return Err(Error::Settings("heartbeat: from 1 to 65535 seconds".into()));
        }
        if self.max_in_flight == 0 {
            return Err(Error::Settings("max_in_flight: at least 1".into()));
        }
        self.uri().map(drop)
    }

    /// The URL in parts, with a heartbeat. Errors never repeat it: it holds the password.
    pub(super) fn uri(&self) -> Result<AMQPUri, Error> {
        let url = self.url.expose_secret();
        let bad = |why: &str| Error::Settings(format!("url: {why}"));
        if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
            return Err(bad("must start with amqp:// or amqps://"));
        }
        let mut uri: AMQPUri = url
            .parse()
            .map_err(|_| bad("must be amqp://user:password@host:port/vhost"))?;
        // The library reads an IPv6 literal as `localhost`, and would connect to another broker.
        if url.contains("@[") || url.contains("//[") {
            return Err(bad("an IPv6 address can't be used; give a host name"));
        }
        if uri.query.heartbeat.is_none_or(|seconds| seconds == 0) {
            uri.query.heartbeat = Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
        }
        Ok(uri)
    }
}

const fn seconds<const N: u64>() -> Duration {
    Duration::from_secs(N)
}

const fn in_flight() -> u16 {
    256
}

fn delays() -> Vec<Duration> {
    [5, 30, 120, 600, 3600].map(Duration::from_secs).to_vec()
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

fn as_people_write_them<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<Duration>, D::Error> {
    let delays = Vec::<humantime_serde::Serde<Duration>>::deserialize(from)?;
    Ok(delays
        .into_iter()
        .map(humantime_serde::Serde::into_inner)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(url: &str) -> String {
        Settings::new(url).check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_need_only_a_url() {
        let settings: Settings =
            serde_json::from_str(r#"{"url": "amqp://u:p@h", "delays": ["5s", "2m"]}"#).unwrap();
        settings.check().unwrap();
        assert_eq!(settings.delays, [5, 120].map(Duration::from_secs));
        assert_eq!(settings.names, Names::default());
        assert!(serde_json::from_str::<Settings>(r#"{"url": "amqp://h", "retries": 3}"#).is_err());
    }

    #[test]
    fn no_error_repeats_the_password() {
        for url in [
            "amqp:u:s3cret@h",
            "http://u:s3cret@h",
            "amqp://u:s3cret@h:notaport/",
            "amqp://u:s3cret@[::1]/",
            "s3cret",
        ] {
            let text = why(url);
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert!(!format!("{:?}", Settings::new("amqp://u:s3cret@h")).contains("s3cret"));
    }

    #[test]
    fn the_heartbeat_goes_into_the_url_unless_it_is_there() {
        let heartbeat = |url: &str| Settings::new(url).uri().unwrap().query.heartbeat;
        assert_eq!(heartbeat("amqp://h/%2f"), Some(10));
        assert_eq!(heartbeat("amqp://h/%2f?heartbeat=3"), Some(3));
        assert_eq!(
            heartbeat("amqp://h/%2f?heartbeat=0"),
            Some(10),
            "without one a dead peer is never found"
        );
    }
}
