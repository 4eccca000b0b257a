//! One connection: made within a time limit, watched, never recovered.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::tcp::OwnedTLSConfig;
use lapin::{ConnectionProperties, ConnectionStatus, Event};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::tcp::{self, Reads};
use super::{Error, Settings, failover};

/// How a connection does, for readiness and for publishers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected.
    Down,
    /// Connected.
    Up,
    /// Connected, but the broker takes no messages (memory or disk alarm).
    Blocked,
}

/// A connection to the broker. It ends at the first error. Dropping it ends it at once and without a word, which
/// the broker logs as a warning: [`close`](Self::close) it where there is time.
#[derive(Debug)]
pub struct Connection {
    pub(super) amqp: lapin::Connection,
    pub(super) reply_timeout: Duration,
    state: watch::Receiver<LinkState>,
    _watcher: AbortOnDropHandle<()>,
    socket: tcp::Socket,
}

impl Connection {
    /// Connects, to whichever of the hosts, within [`Settings::connect_timeout`]. `purpose` is a word or two for the broker's list of
    /// connections. A refusal is a lasting error ([`Error::is_lasting`]).
    pub async fn open(settings: &Settings, purpose: &str) -> Result<Self, Error> {
        Self::open_for(Reads::Usual, settings, purpose).await
    }

    /// As [`open`](Self::open), for queues with other than usual messages.
    pub(super) async fn open_for(
        reads: Reads,
        settings: &Settings,
        purpose: &str,
    ) -> Result<Self, Error> {
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: trusted(settings).await?,
        };
        let options = ConnectionProperties::default().with_connection_name(name(purpose).into());
        let (amqp, socket) = failover::connect(settings, &options, &tls, reads).await?;
        let (state, watcher) = watch_state(&amqp);
        Ok(Self {
            amqp,
            reply_timeout: settings.reply_timeout,
            state,
            _watcher: watcher,
            socket,
        })
    }

    /// Whether the connection stands, as far as this side knows: a dead peer is found within two heartbeats.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.amqp.status().connected()
    }

    /// The state, to be read or waited for.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Closes the connection and waits for the broker's answer, but not longer than the reply time-out. After it
    /// nothing is left of the connection; messages that were not settled are delivered again.
    pub async fn close(self) {
        self.shut().await;
    }

    /// As [`close`](Self::close), for a connection that is shared.
    pub(super) async fn shut(&self) {
        if self.is_open() {
            let closing = self.amqp.close(200, "done".into());
            if matches!(timeout(self.reply_timeout, closing).await, Ok(Ok(()))) {
                return self.socket.let_go();
            }
            tracing::debug!("the broker did not answer the closing of a connection");
        }
        self.socket.end();
    }

    pub(super) async fn channel(&self) -> Result<lapin::Channel, Error> {
        self.answer("opening a channel", self.amqp.create_channel())
            .await
    }

    /// Waits for one answer of the broker, but not longer than the reply time-out.
    pub(super) async fn answer<T>(
        &self,
        doing: &'static str,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        match timeout(self.reply_timeout, request).await {
            Ok(answer) => answer.map_err(|error| Error::lost(doing, &error)),
            Err(_) => Err(Error::TimedOut {
                doing,
                after: self.reply_timeout,
            }),
        }
    }
}

/// Follows the connection's events. A channel's error comes as an event of the connection too, so the status decides.
fn watch_state(amqp: &lapin::Connection) -> (watch::Receiver<LinkState>, AbortOnDropHandle<()>) {
    let (sender, receiver) = watch::channel(LinkState::Up);
    let mut events = Box::pin(amqp.events_listener());
    let status = amqp.status().clone();
    let watcher = tokio::spawn(async move {
        loop {
            let event = events.next().await;
            let now = state_of(&status);
            if sender.send_if_modified(|state| std::mem::replace(state, now) != now) {
                tracing::debug!(state = ?now, "broker connection changed");
            }
            if event.is_none_or(|event| matches!(event, Event::Error(_)) && now == LinkState::Down)
            {
                break;
            }
        }
        sender.send_replace(LinkState::Down);
    });
    (receiver, AbortOnDropHandle::new(watcher))
}

fn state_of(status: &ConnectionStatus) -> LinkState {
    match (status.connected(), status.blocked()) {
        (false, _) => LinkState::Down,
        (true, false) => LinkState::Up,
        (true, true) => LinkState::Blocked,
    }
}

async fn trusted(settings: &Settings) -> Result<Option<String>, Error> {
    let Some(path) = &settings.ca_file else {
        return Ok(None);
    };
    let unusable = |why: &str| Error::Settings(format!("ca_file {}: {why}", path.display()));
    let pem = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| unusable(&error.to_string()))?;
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(unusable("holds no certificate in PEM form"));
    }
    Ok(Some(pem))
}

/// `user-merge consuming bulk worker-7f9c/4711`, so that an operator finds the process.
fn name(purpose: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_else(|| "unknown-host".into());
    format!(
        "user-merge {purpose} {}/{}",
        host.trim(),
        std::process::id()
    )
}
