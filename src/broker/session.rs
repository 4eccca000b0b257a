//! Everything that consuming one lane takes, made in one go and dropped as a whole.

use super::tcp::Reads;
use super::{Connection, Consumer, Delivery, Error, Lane, Settings, declare, queue_state};

/// A connection, the topology, a prefetch and a consumer for one lane. On any error: [`close`](Self::close) it,
/// wait, open the next one.
pub struct Session {
    lane: Lane,
    // First the consumer, then its connection: they are dropped in this order.
    consumer: Consumer,
    connection: Connection,
}

impl Session {
    /// Connects, declares the topology and starts consuming: one attempt, each step within its time-out.
    pub async fn open(settings: &Settings, lane: Lane, prefetch: u16) -> Result<Self, Error> {
        // One by one, as after a message that could not be read: then its properties may be of any size.
        let reads = if prefetch == 1 {
            Reads::Large
        } else {
            Reads::Usual
        };
        let purpose = format!("consuming {lane}");
        let connection = Connection::open_for(reads, settings, &purpose).await?;
        match Self::consume(&connection, settings, lane, prefetch).await {
            Ok(consumer) => Ok(Self {
                lane,
                consumer,
                connection,
            }),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    async fn consume(
        connection: &Connection,
        settings: &Settings,
        lane: Lane,
        prefetch: u16,
    ) -> Result<Consumer, Error> {
        declare(connection, settings).await?;
        Consumer::open(connection, settings.names.lane(lane), prefetch).await
    }

    /// The lane.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        self.lane
    }

    /// See [`Consumer::next`]. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Delivery, Error>> {
        self.consumer.next().await
    }

    /// Whether messages can come and be settled. To be asked while nobody is waiting in [`next`](Self::next), as
    /// when all hands are busy: an end shows here at once, a dead peer within two heartbeats.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connection.is_open() && self.consumer.is_open()
    }

    /// To be asked where nothing has come for a while: neither connection nor channel would tell that the queue
    /// has forgotten its consumer. Says whether there are messages that nobody has taken.
    pub async fn check(&self) -> Result<bool, Error> {
        let state = queue_state(&self.connection, self.consumer.queue()).await?;
        if state.consumers == 0 {
            return Err(self.silent());
        }
        Ok(state.messages > 0)
    }

    /// The error of a session that gets nothing of what is there.
    #[must_use]
    pub fn silent(&self) -> Error {
        let queue = self.consumer.queue().to_owned();
        Error::Silent { queue }
    }

    /// The error of a session that has ended without one.
    #[must_use]
    pub fn cancelled(&self) -> Error {
        let queue = self.consumer.queue().to_owned();
        Error::Cancelled { queue }
    }

    /// See [`Consumer::cancel`].
    pub async fn cancel(&mut self, waiting: Vec<Delivery>) -> Result<u32, Error> {
        self.consumer.cancel(waiting).await
    }

    /// Ends the session, within the reply time-out. What wasn't settled is delivered again.
    pub async fn close(self) {
        let Self {
            consumer,
            connection,
            ..
        } = self;
        // Dropping the consumer closes its channel beside the connection, and the client library takes the
        // broker's answer to the one for an error of the other.
        connection.close().await;
        drop(consumer);
    }
}
