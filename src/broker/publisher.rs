//! Publishes with confirms, over a connection of its own: an alarm on the broker blocks it, and must not block
//! acknowledgements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::link::Link;
use super::{Error, Lane, LinkState, Outgoing, PublishError, Settings};

/// A cheap handle; all clones share one connection. It connects on the first publish, and again on the first
/// publish after a failure: one attempt, the caller retries.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    settings: Settings,
    purpose: String,
    slot: Mutex<Slot>,
    state: watch::Sender<LinkState>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Slot {
    current: Option<(Arc<Link>, AbortOnDropHandle<()>)>,
    failed: Option<(Instant, Error)>,
}

impl Publisher {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(settings: Settings, purpose: &str) -> Self {
        let (slot, state) = (Mutex::default(), watch::Sender::new(LinkState::Down));
        let purpose = format!("publishing {purpose}");
        Self(Arc::new(Inner {
            settings,
            purpose,
            slot,
            state,
            closed: AtomicBool::new(false),
        }))
    }

    /// Connects and declares the topology, if there is no connection; for a start that fails at once, and for
    /// readiness while there is nothing to publish.
    pub async fn connect(&self) -> Result<(), PublishError> {
        self.link().await.map(drop)
    }

    /// The state of the connection, to be read or waited for. `Down` too as long as nothing was published.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.0.state.subscribe()
    }

    /// Publishes and waits until the broker has stored the message, within [`Settings::publish_timeout`]. Any
    /// number may do so at once; at most [`Settings::max_in_flight`] are under way. Dropping the future gives up
    /// waiting: the message may be stored all the same.
    pub async fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        let results = self.publish_all(vec![outgoing], Lane::Interactive).await;
        results.into_iter().collect()
    }

    /// The same for several messages at once, with less ado: a result for each, in their order. Those for the
    /// bulk lane go out over channels of their own, so that others needn't wait for their confirms.
    pub async fn publish_all(
        &self,
        outgoing: Vec<Outgoing>,
        lane: Lane,
    ) -> Vec<Result<(), PublishError>> {
        let settings = &self.0.settings;
        let deadline = Instant::now() + settings.publish_timeout;
        let all = |error: PublishError| outgoing.iter().map(|_| Err(error.clone())).collect();
        let link = match timeout_at(deadline, self.link()).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return all(error),
            Err(_) => return all(PublishError::TimedOut(settings.publish_timeout)),
        };
        let results = link.publish(outgoing, lane, settings, deadline).await;
        // A new connection finds out whether it was this one, and declares what is missing.
        let is_to_go = |result: &Result<(), PublishError>| {
            matches!(
                result,
                Err(PublishError::TimedOut(_)
                    | PublishError::Unroutable(_)
                    | PublishError::Connection(_))
            )
        };
        if results.iter().any(is_to_go) {
            link.retire();
        }
        results
    }

    /// Waits for what is under way, closes the connection, and refuses everything after that.
    pub async fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        let Some((link, watcher)) = self.0.slot.lock().await.current.take() else {
            return;
        };
        drop(watcher);
        self.0.state.send_replace(LinkState::Down);
        link.finish(&self.0.settings).await;
    }

    async fn link(&self) -> Result<Arc<Link>, PublishError> {
        let asked = Instant::now();
        let mut slot = self.0.slot.lock().await;
        if self.0.closed.load(Ordering::Acquire) {
            return Err(PublishError::Closed);
        }
        if let Some((link, _)) = slot.current.as_ref().filter(|(link, _)| link.is_usable()) {
            return Ok(link.clone());
        }
        // Those who waited for an attempt share its failure; otherwise each would wait for all the others' too.
        if let Some((_, error)) = slot.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone().into());
        }
        if let Some((old, _)) = slot.current.take() {
            // Beside the new one: others may still await their confirms on the old one.
            let inner = self.0.clone();
            tokio::spawn(async move { old.finish(&inner.settings).await });
        }
        self.0.state.send_replace(LinkState::Down);
        match Link::open(&self.0.settings, &self.0.purpose).await {
            Ok(link) => {
                let link = Arc::new(link);
                slot.current = Some((link.clone(), self.follow(&link)));
                Ok(link)
            }
            Err(error) => {
                slot.failed = Some((Instant::now(), error.clone()));
                Err(error.into())
            }
        }
    }

    /// Passes the state of the current link on, until the link is replaced.
    fn follow(&self, link: &Link) -> AbortOnDropHandle<()> {
        let (mut from, to) = (link.connection.state(), self.0.state.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let now = *from.borrow_and_update();
                to.send_replace(now);
                if from.changed().await.is_err() {
                    to.send_replace(LinkState::Down);
                    return;
                }
            }
        }))
    }
}
