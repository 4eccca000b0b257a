//! One worker at a time looks after what nobody else would: messages that a crash left in the outbox, merged users
//! that something still reaches, merges that stand still. It is whoever holds the database's lock.
//!
//! The lock saves work and is not what makes that work safe: rows are leased, locked and fenced, so two keepers at
//! once, where a lost connection wasn't noticed yet, do nothing twice that one alone wouldn't.
//!
//! Who can't reach the broker doesn't keep: what it claimed from the outbox would wait with it, while another worker
//! could publish it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Worker, sweep};
use crate::store::keeper::Session;
use crate::store::{self, Error};
use crate::telemetry::{Pulse, metric};

/// How often a worker asks for the lock, or makes sure that it still has it.
const TURN: Duration = Duration::from_secs(1);
/// How long it waits for an answer to that.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long without a word from its keeper, the server ends the session, and with it the lock.
const SILENCE: Duration = Duration::from_secs(12);

/// Whether this worker is the one.
#[derive(Default)]
pub(super) struct Keeping(watch::Sender<bool>);

impl Keeping {
    pub(super) fn is_ours(&self) -> bool {
        *self.0.borrow()
    }

    /// For whoever wants to begin at once.
    pub(super) fn changes(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    fn set(&self, keeps: bool) {
        self.0.send_replace(keeps);
        metric::keeper(keeps);
    }
}

/// Why a question to the database has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error(transparent)]
    Database(#[from] Error),
    #[error("no answer from the database in time")]
    Late,
    #[error("each statement has another session: there must be no pooler in transaction mode")]
    Shared,
}

impl Unanswered {
    /// A word from a fixed list.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Database(error) => error.class(),
            Self::Late => "timed_out",
            Self::Shared => "shared_session",
        }
    }
}

/// Asks for the lock, and keeps as long as it holds, until the worker stops.
pub(super) async fn run(worker: Arc<Worker>) {
    worker.keeping.set(false);
    let mut session = None;
    let mut is_silent = false;
    let pulse = worker.pulse("keeper");
    while !worker.stop.is_cancelled() {
        pulse.beat();
        if can_publish(&worker).await {
            match locked(&worker, &mut session).await {
                Ok(None) => is_silent = false,
                Ok(Some(lock)) => {
                    is_silent = false;
                    keep(&worker, lock, &pulse).await;
                }
                // Once, and not at each turn while the database is away.
                Err(error) if !is_silent => {
                    is_silent = true;
                    warn!(
                        cause = error.class(),
                        "the keeper's lock can't be asked for: {error}"
                    );
                }
                Err(_) => {}
            }
        }
        tokio::select! {
            () = tokio::time::sleep(TURN) => {}
            () = worker.stop.cancelled() => {}
        }
    }
    if let Some(session) = session {
        close(session).await;
    }
}

/// The session that holds the lock, if it could be had. Otherwise it stays open for the next question; an error
/// ends it.
async fn locked(
    worker: &Worker,
    session: &mut Option<Session>,
) -> Result<Option<Session>, Unanswered> {
    let mut asking = match session.take() {
        Some(session) => session,
        None => {
            answered(
                worker.settings.database.connect_timeout + PATIENCE,
                Session::open(&worker.pool, SILENCE),
            )
            .await?
        }
    };
    if !answered(PATIENCE, asking.try_lock()).await? {
        *session = Some(asking);
        return Ok(None);
    }
    if answered(PATIENCE, asking.stands()).await? {
        Ok(Some(asking))
    } else {
        Err(Unanswered::Shared)
    }
}

/// Does the rounds while the lock is held. They stop before the next statement once it isn't.
async fn keep(worker: &Arc<Worker>, mut lock: Session, pulse: &Pulse) {
    info!("keeper: this worker looks after the outbox, merged users and merges that stand still");
    worker.keeping.set(true);
    let over = CancellationToken::new();
    let mut rounds = tokio::spawn(sweep::run(worker.clone(), over.clone()));
    let lost = loop {
        pulse.beat();
        tokio::select! {
            () = tokio::time::sleep(TURN) => {}
            () = worker.stop.cancelled() => break None,
            ended = &mut rounds => return ended_early(worker, ended),
        }
        match answered(PATIENCE, lock.stands()).await {
            Ok(true) if can_publish(worker).await => {}
            Ok(true) => {
                warn!("keeper: there is no way to the broker, another worker may have one");
                break None;
            }
            Ok(false) => break Some(Unanswered::Shared),
            Err(error) => break Some(error),
        }
    };
    worker.keeping.set(false);
    over.cancel();
    if let Some(error) = &lost {
        warn!(
            cause = error.class(),
            "keeper: the lock is lost, another worker may have it: {error}"
        );
    }
    // What is under way is a statement or two. If the database hangs, they end with their connections.
    finish(worker, rounds).await;
    if lost.is_none() {
        close(lock).await;
        info!("keeper: this worker lets go of the lock");
    }
}

async fn finish(worker: &Worker, mut rounds: JoinHandle<()>) {
    let patience = worker.settings.database.statement_timeout;
    if let Ok(ended) = timeout(patience, &mut rounds).await {
        ended_early(worker, ended);
    } else {
        warn!("keeper: a round goes on without the lock, until the database answers");
    }
}

/// A mistake in this program ends the loop that runs this one, and so the worker.
fn ended_early(worker: &Worker, ended: Result<(), tokio::task::JoinError>) {
    worker.keeping.set(false);
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Connects, where there is no connection.
async fn can_publish(worker: &Worker) -> bool {
    matches!(
        timeout(PATIENCE, worker.publisher.connect()).await,
        Ok(Ok(()))
    )
}

async fn close(session: Session) {
    // Dropping it would do as well, a moment later.
    drop(timeout(PATIENCE, session.close()).await);
}

/// A session whose answer is late is as good as gone: the server ends it.
async fn answered<T>(
    patience: Duration,
    asking: impl Future<Output = store::Result<T>>,
) -> Result<T, Unanswered> {
    match timeout(patience, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Unanswered::Late),
    }
}
