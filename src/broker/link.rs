//! One connection of a publisher, and its channels.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::declare::short;
use super::error::Refusal;
use super::{Connection, Error, LinkState, Outgoing, PublishError, Settings, declare};

/// A connection in confirm mode. Each channel has one publish in flight: on a shared one the client library gives
/// a returned message to whichever confirm comes next, and the message that was returned would count as stored.
pub(super) struct Link {
    pub(super) connection: Connection,
    idle: Mutex<Vec<Channel>>,
    permits: Semaphore,
    capacity: u32,
    retired: AtomicBool,
}

impl Link {
    pub(super) async fn open(settings: &Settings, purpose: &str) -> Result<Self, Error> {
        let connection = Connection::open(settings, purpose).await?;
        if let Err(error) = declare(&connection, settings).await {
            connection.close().await;
            return Err(error);
        }
        Ok(Self::on(connection, settings))
    }

    /// Over a connection that stands, to queues that are there or not.
    pub(super) fn on(connection: Connection, settings: &Settings) -> Self {
        // Channels of cancelled publishes close in the background: leave them room. 0 means no limit.
        let allowed = match connection.amqp.configuration().channel_max() {
            0 => u16::MAX,
            limit => (limit / 2).max(1),
        };
        let capacity = settings.max_in_flight.min(allowed);
        Self {
            connection,
            idle: Mutex::default(),
            permits: Semaphore::new(capacity.into()),
            capacity: capacity.into(),
            retired: AtomicBool::new(false),
        }
    }

    /// No new publish takes this link.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Waits for what is under way, but not longer than a publish may last, and closes the connection.
    pub(super) async fn finish(&self, settings: &Settings) {
        self.retire();
        let all = self.permits.acquire_many(self.capacity);
        drop(timeout(settings.publish_timeout, all).await);
        self.permits.close();
        self.connection.shut().await;
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Acquire) && self.connection.is_open()
    }

    pub(super) fn is_blocked(&self) -> bool {
        *self.connection.state().borrow() == LinkState::Blocked
    }

    /// Publishes and waits for the confirm; time-outs are the caller's. Dropped midway, it leaves nothing behind:
    /// its channel is not used again.
    pub(super) async fn publish(
        &self,
        outgoing: &Outgoing,
        settings: &Settings,
    ) -> Result<(), PublishError> {
        let properties = outgoing
            .properties
            .to_amqp()
            .map_err(PublishError::Invalid)?;
        let (exchange, key) = outgoing.destination.route(&settings.names);
        let exchange = short(&exchange)?;
        let key = ShortString::try_new(key)
            .map_err(|_| PublishError::Invalid("routing key over 255 bytes"))?;
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| PublishError::Closed)?;
        // While blocked nothing is sent: it would all go out when the alarm ends, after the callers gave up.
        let mut state = self.connection.state();
        if state
            .wait_for(|state| *state != LinkState::Blocked)
            .await
            .is_err()
        {
            return Err(Error::Lost {
                doing: "publishing",
                reason: "the connection is closed".into(),
            }
            .into());
        }
        let channel = self.channel().await?;
        let options = BasicPublishOptions {
            mandatory: outgoing.destination.is_mandatory(),
            immediate: false,
        };
        let confirmation = async {
            channel
                .basic_publish(exchange, key, options, &outgoing.body, properties)
                .await?
                .await
        };
        let unroutable = || PublishError::Unroutable(outgoing.destination.to_string());
        let outcome = match confirmation.await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => Err(unroutable()),
            // Not to be used again: where an operator lifts the limit of a quorum queue, the broker goes on refusing
            // what comes by a channel that it has refused before.
            Ok(Confirmation::Nack(None)) => {
                return Err(PublishError::Nacked(outgoing.destination.to_string()));
            }
            Ok(Confirmation::NotRequested) => {
                return Err(PublishError::Invalid("the channel is not in confirm mode"));
            }
            Err(error) => return Err(not_confirmed(&error, unroutable)),
        };
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(channel);
        outcome
    }

    async fn channel(&self) -> Result<Channel, Error> {
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(channel) = idle else { break };
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = self.connection.channel().await?;
        let confirm = channel.confirm_select(ConfirmSelectOptions::default());
        self.connection
            .answer("asking for confirms", confirm)
            .await?;
        Ok(channel)
    }
}

fn not_confirmed(error: &lapin::Error, unroutable: impl FnOnce() -> PublishError) -> PublishError {
    match Refusal::of(error) {
        // The exchange is gone.
        Some(Refusal::Missing) => unroutable(),
        _ => Error::lost("publishing", error).into(),
    }
}
