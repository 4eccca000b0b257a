//! One connection of a publisher, and what goes out over it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lapin::types::ShortString;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::declare::short;
use super::window::{self, Job};
use super::{
    Connection, Destination, Error, Lane, LinkState, Outgoing, PublishError, Settings, declare,
};

/// A connection in confirm mode. Each destination has channels of its own: one whose queue doesn't confirm, or is gone,
/// holds up no other. It has one for the bulk lane and one for all else, which doesn't wait for a backfill's confirms.
pub(super) struct Link {
    pub(super) connection: Arc<Connection>,
    ways: Mutex<HashMap<(Lane, Destination), Way>>,
    permits: Semaphore,
    capacity: u32,
    retired: AtomicBool,
}

/// Tells of a confirm.
type Confirmed = oneshot::Receiver<Result<(), PublishError>>;

/// Where the messages to one destination are left.
struct Way {
    jobs: mpsc::UnboundedSender<Job>,
    _publishing: AbortOnDropHandle<()>,
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
        Self {
            connection: Arc::new(connection),
            ways: Mutex::default(),
            permits: Semaphore::new(settings.max_in_flight.into()),
            capacity: settings.max_in_flight.into(),
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

    fn is_blocked(&self) -> bool {
        *self.connection.state().borrow() == LinkState::Blocked
    }

    /// Publishes and waits for the confirms, but not beyond the deadline: a result for each. Dropped midway, it leaves
    /// nothing behind: nobody hears of its confirms.
    pub(super) async fn publish(
        &self,
        outgoing: Vec<Outgoing>,
        lane: Lane,
        settings: &Settings,
        deadline: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let count = u32::try_from(outgoing.len()).unwrap_or(u32::MAX);
        let all = |error: PublishError| outgoing.iter().map(|_| Err(error.clone())).collect();
        let permits = self.permits.acquire_many(count.min(self.capacity));
        let _permits = match timeout_at(deadline, permits).await {
            Ok(Ok(permits)) => permits,
            Ok(Err(_)) => return all(PublishError::Closed),
            Err(_) => return all(self.late(settings)),
        };
        let sent = outgoing
            .into_iter()
            .map(|one| self.send(one, lane, settings));
        let sent: Vec<_> = sent.collect();
        let mut results = Vec::with_capacity(sent.len());
        for sent in sent {
            results.push(match sent {
                Ok(confirmed) => match timeout_at(deadline, confirmed).await {
                    Ok(told) => told.unwrap_or_else(|_| Err(Self::closed())),
                    Err(_) => Err(self.late(settings)),
                },
                Err(error) => Err(error),
            });
        }
        results
    }

    fn late(&self, settings: &Settings) -> PublishError {
        if self.is_blocked() {
            PublishError::Blocked
        } else {
            PublishError::TimedOut(settings.publish_timeout)
        }
    }

    /// Leaves it to be published. Answers who will tell of its confirm.
    fn send(
        &self,
        outgoing: Outgoing,
        lane: Lane,
        settings: &Settings,
    ) -> Result<Confirmed, PublishError> {
        if let Destination::Retry { delay, .. } = &outgoing.destination
            && !settings.delays.contains(delay)
        {
            return Err(PublishError::Invalid(
                "there is no retry queue for this delay",
            ));
        }
        let properties = outgoing
            .properties
            .to_amqp()
            .map_err(PublishError::Invalid)?;
        let (exchange, key) = outgoing.destination.route(&settings.names);
        let exchange = short(&exchange)?;
        let routing_key = ShortString::try_new(key)
            .map_err(|_| PublishError::Invalid("routing key over 255 bytes"))?;
        let (told, confirmed) = oneshot::channel();
        let way = (lane, outgoing.destination.way());
        let job = Job {
            outgoing,
            exchange,
            routing_key,
            properties,
            told,
        };
        self.leave(way, job);
        Ok(confirmed)
    }

    fn closed() -> PublishError {
        let lost = Error::Lost {
            doing: "publishing",
            reason: "the connection is closed".into(),
        };
        lost.into()
    }

    fn leave(&self, way: (Lane, Destination), job: Job) {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let way = ways.entry(way).or_insert_with(|| {
            let (jobs, waiting) = mpsc::unbounded_channel();
            let publishing = tokio::spawn(window::run(self.connection.clone(), waiting));
            Way {
                jobs,
                _publishing: AbortOnDropHandle::new(publishing),
            }
        });
        // Where nobody takes it, its sender hears so.
        drop(way.jobs.send(job));
    }
}
