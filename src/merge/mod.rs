//! The use case: admit, move, complete.
//!
//! A small merge is one transaction. A large one is admitted in a first transaction, moves its tickets in
//! chunks of one short transaction each, and ends in a last transaction that locks the source, sweeps up what came
//! meanwhile, checks that nothing is left, and writes profile, tombstone and outbox together.

mod admit;
mod announce;
mod chunks;
mod complete;
mod fail;
mod first;
mod ground;
mod late;
mod relation;
mod report;
mod size;
mod stranded;
mod sweep;
mod together;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use fail::{Cause, Given};
pub use report::{Ending, Failed, Panicked, Report};

use crate::config;
use crate::domain::MergeId;
use crate::store;
use crate::store::merges::{Envelope, Held, Progress};
use admit::Admission;
use size::ChunkSize;

/// Merges users, one request at a time; shared by all that do so in this process.
pub struct Merger {
    pool: store::Pool,
    rules: config::Merge,
    retry: config::Retry,
    lease: Duration,
    /// A worker that has a merge in hand shows it more often than this: it moves something, or fails.
    silence: Duration,
    size: ChunkSize,
    /// Connections that nobody needs: each lets a large merge move two chunks side by side.
    spare: Semaphore,
}

/// How long a merge may go on before it hands its place to others.
#[derive(Clone)]
pub struct Until {
    stop: CancellationToken,
    slice_ends: Instant,
    listener: Option<Listener>,
    pacing: Option<Pacing>,
}

/// Hears of each chunk how long it took, and says how long to leave the database alone after it.
pub type Pacing = Arc<dyn Fn(Duration) -> Duration + Send + Sync>;

/// Hears of each step of a large merge.
pub type Listener = Arc<dyn Fn(Step) + Send + Sync>;

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A chunk is tried, for the first time or again.
    Tried,
    /// A chunk is committed.
    Committed,
}

impl Until {
    /// Until the worker is told to stop, or the time slice is over.
    #[must_use]
    pub fn new(stop: CancellationToken, slice: Duration) -> Self {
        Self {
            stop,
            slice_ends: Instant::now() + slice,
            listener: None,
            pacing: None,
        }
    }

    /// Tells of each step.
    #[must_use]
    pub fn telling(self, listener: Listener) -> Self {
        Self {
            listener: Some(listener),
            ..self
        }
    }

    /// Leaves the database alone between chunks, for as long as it is told.
    #[must_use]
    pub fn paced(self, pacing: Pacing) -> Self {
        Self {
            pacing: Some(pacing),
            ..self
        }
    }

    /// Rests after a chunk that took so long, without a transaction or a connection: nobody waits for it. Ends early
    /// where the worker stops. Nothing gives a sign of life meanwhile, so it must be short; it is seconds at most.
    async fn rest(&self, took: Duration) {
        let pause = self.pacing.as_ref().map(|pacing| pacing(took));
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    fn tell(&self, step: Step) {
        if let Some(listener) = &self.listener {
            listener(step);
        }
    }

    /// Asked between chunks: why to leave off, if there is a reason. A slice never ends before it has moved
    /// anything: on a database so slow that the way to the next row takes a whole slice, the merge would
    /// otherwise go round for ever.
    fn pause(&self, moved: &Progress) -> Option<Ending> {
        if self.stop.is_cancelled() {
            Some(Ending::Stopped)
        } else if moved.has_moved() && Instant::now() >= self.slice_ends {
            Some(Ending::SliceOver)
        } else {
            None
        }
    }
}

/// Puts the merge on every log line from now on.
fn name(merge: MergeId) {
    tracing::Span::current().record("merge.id", tracing::field::display(merge));
}

impl Merger {
    /// `lease`: how long a promised message belongs to whoever committed it, before the relay takes it up.
    #[must_use]
    pub fn new(pool: store::Pool, settings: &config::Settings) -> Self {
        Self {
            pool,
            rules: settings.merge.clone(),
            retry: settings.retry.clone(),
            lease: settings.relay.lease,
            // A chunk is a connection and two statements, each tried so often.
            silence: settings.retry.immediate
                * (settings.database.connect_timeout + 2 * settings.database.statement_timeout),
            size: ChunkSize::new(&settings.chunk),
            spare: Semaphore::new(settings.spare_connections() as usize),
        }
    }

    /// Runs a request to its end, or until it has to pause. Safe to repeat at any time: what is recorded is
    /// not done again (rules R1 to R5).
    ///
    /// Never drop this future halfway (see [`store::Transaction`]): run it in a task of its own.
    ///
    /// # Errors
    /// Whatever the database answered; [`store::Error::is_passing`] tells whether to try again. Nothing is
    /// half done: what was committed stays, what was not is rolled back.
    ///
    /// # Panics
    /// With [`Panicked`], where this program's own mistake ends a merge that was held.
    pub async fn run(&self, envelope: Envelope<'_>, until: &Until) -> Result<Report, Failed> {
        match self.first_of_one(envelope).await? {
            Admission::Settled(report) => Ok(report),
            // Never of one: it waits for what it needs.
            Admission::Apart => Err(store::Error::Fenced.into()),
            Admission::Large(held) => {
                let fence = held.record.fence;
                let running = AssertUnwindSafe(self.run_large(envelope, &held, until));
                match running.catch_unwind().await {
                    Ok(run) => run.map_err(|error| Failed {
                        error,
                        fence: Some(fence),
                    }),
                    // On its way up it says whose it is.
                    Err(_) => std::panic::resume_unwind(Box::new(Panicked { fence })),
                }
            }
        }
    }

    async fn run_large(
        &self,
        envelope: Envelope<'_>,
        held: &Held,
        until: &Until,
    ) -> store::Result<Report> {
        let mut report = Report::of(held.record.id);
        report.ending = loop {
            if let Some(pause) = self.drain(envelope, held, until, &mut report).await? {
                break pause;
            }
            if let Some(ending) = self.complete(envelope, held, &mut report).await? {
                break ending;
            }
        };
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rest_lasts_as_long_as_it_is_told_and_ends_early_when_the_worker_stops() {
        const HOUR: Duration = Duration::from_hours(1);
        let stop = CancellationToken::new();
        let until = Until::new(stop.clone(), HOUR);
        let began = tokio::time::Instant::now();
        until.rest(HOUR).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody sets a pace");
        let until = until.paced(Arc::new(|took| took * 3));
        until.rest(HOUR).await;
        assert_eq!(began.elapsed(), 3 * HOUR);
        stop.cancel();
        until.rest(HOUR).await;
        assert_eq!(began.elapsed(), 3 * HOUR);
        assert_eq!(until.pause(&Progress::default()), Some(Ending::Stopped));
    }
}
