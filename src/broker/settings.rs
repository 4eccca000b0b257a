//! What the room must be told, and the defaults.

use std::path::PathBuf;
use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use super::{Error, Names, places};

/// How to reach the broker and how long to wait for it. Every time-out is from the call to its answer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `amqp://user:password@host:port/vhost` or `amqps://…`, percent-encoded; without a vhost part `/` is meant.
    /// With several hosts, or several such URLs, commas between: the nodes of one cluster.
    pub url: SecretString,
    /// Queues and exchanges.
    pub names: Names,
    /// The delays for which there is a retry queue, whole seconds. One that is taken out again leaves its queue
    /// and what waits in it; that still returns.
    pub delays: Vec<Duration>,
    /// After so many returns to its queue the broker itself moves a request to the dead-letter queue: the backstop
    /// against a message that kills every worker. Attempts are counted in the database, not here.
    pub delivery_limit: u32,
    /// How often a sign of life is asked for; a dead peer is found within two of these. Whole seconds. A
    /// `heartbeat` in the URL goes before.
    pub heartbeat: Duration,
    /// For a connection: TCP, TLS and login together, at whichever of the hosts.
    pub connect_timeout: Duration,
    /// For one publish, from the call to the confirm, a new connection included.
    pub publish_timeout: Duration,
    /// For every other answer of the broker: declarations, acknowledgements, closing.
    pub reply_timeout: Duration,
    /// How many publishes may await their confirms at once.
    pub max_in_flight: u16,
    /// PEM file with the certificates of a private authority, trusted besides the system's own. For `amqps` only.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// These queues at this URL, with the usual limits.
    #[must_use]
    pub fn new(url: impl Into<SecretString>, names: Names) -> Self {
        Self {
            url: url.into(),
            names,
            delays: Vec::new(),
            delivery_limit: 20,
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(15),
            reply_timeout: Duration::from_secs(10),
            max_in_flight: 1024,
            ca_file: None,
        }
    }

    /// Checks what the settings' own checks leave open, without the broker: that the URL can be read.
    pub fn check(&self) -> Result<(), Error> {
        self.places().map(drop)
    }

    /// The URL in parts for each host, with a heartbeat. Errors never repeat it: it holds the password.
    pub(super) fn places(&self) -> Result<Vec<AMQPUri>, Error> {
        let mut places = places::places(self.url.expose_secret())
            .map_err(|why| Error::Settings(format!("url: {why}")))?;
        let heartbeat = u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX);
        for place in &mut places {
            let asked = place.query.heartbeat.filter(|seconds| *seconds > 0);
            place.query.heartbeat = Some(asked.unwrap_or(heartbeat));
        }
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        let defaults = crate::config::Settings::from_sources(None, std::iter::empty()).unwrap();
        Settings::new(url, defaults.broker.names)
    }

    fn why(url: &str) -> String {
        settings(url).check().unwrap_err().to_string()
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
        assert!(!format!("{:?}", settings("amqp://u:s3cret@h")).contains("s3cret"));
    }

    #[test]
    fn the_heartbeat_goes_into_the_url_unless_it_is_there() {
        let heartbeat = |url: &str| settings(url).places().unwrap()[0].query.heartbeat;
        assert_eq!(heartbeat("amqp://h/%2f"), Some(10));
        assert_eq!(heartbeat("amqp://h/%2f?heartbeat=3"), Some(3));
        assert_eq!(
            heartbeat("amqp://h/%2f?heartbeat=0"),
            Some(10),
            "without one a dead peer is never found"
        );
    }
}
