//! The loop that looks at the database, lets the pace follow, and says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use super::Pace;
use super::history::History;
use super::throttle::{Reading, Reason, Throttle};
use crate::config;
use crate::store;
use crate::store::pace::{Health, Session, Sign};
use crate::worker::Worker;

/// How long an answer is waited for. No answer is one too: the database takes at least this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a worker says at what pace it works, where that doesn't change.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// For how many looks the time that chunks took counts, where no further ones are moved.
const FRESH: u32 = 10;
/// The cause where looks succeed and don't show all.
const UNSEEN: &str = "unseen";
/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// Looks until the worker stops.
pub(in crate::worker) async fn run(worker: Arc<Worker>) {
    let settings = &worker.settings;
    let mut watch = Watch::new(&settings.pace, settings.chunk.target_time);
    let pulse = worker.pulse("pace");
    loop {
        let stopped = pulse.through(async {
            tokio::select! {
                () = sleep(settings.pace.interval) => false,
                () = worker.stop.cancelled() => true,
            }
        });
        if stopped.await {
            break;
        }
        pulse.through(watch.turn(&worker.pool, &worker.pace)).await;
    }
    watch.leave().await;
}

/// What goes from one look to the next.
struct Watch<'a> {
    settings: &'a config::Pace,
    ignored: Vec<String>,
    /// What a chunk is to take.
    target: Duration,
    id: Uuid,
    session: Option<Session>,
    history: History,
    chunks: Option<(Duration, Instant)>,
    /// How long the last word took that was written: the look only reads, and a commit may wait for more.
    wrote: Duration,
    /// What was said last to the database, and when.
    said: Option<(Sign, Instant)>,
    /// What was said about looks that failed.
    trouble: Option<&'static str>,
}

impl<'a> Watch<'a> {
    fn new(settings: &'a config::Pace, target: Duration) -> Self {
        let names = settings.ignored_standbys.split(',').map(str::trim);
        Self {
            settings,
            ignored: names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            target,
            id: Uuid::now_v7(),
            session: None,
            history: History::default(),
            chunks: None,
            wrote: Duration::ZERO,
            said: None,
            trouble: None,
        }
    }

    async fn turn(&mut self, pool: &store::Pool, pace: &Pace) {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => match Session::open(pool).await {
                Ok(session) => session,
                Err(error) => return self.unknown(pace, error.class()),
            },
        };
        let began = Instant::now();
        let looked = timeout(PATIENCE, session.measure(&self.ignored)).await;
        let took = began.elapsed();
        let health = match looked {
            Ok(Ok(health)) => Some(health),
            // A connection that ended, a right that was taken away: no word on how the database does.
            Ok(Err(error)) => return self.unknown(pace, error.class()),
            Err(_) => None,
        };
        let took = took.max(std::mem::take(&mut self.wrote));
        let readings = self.readings(health, took, pace.chunk_time());
        let after = pace.follow(&readings);
        let Some(health) = health else {
            return; // and the session with its statement is gone
        };
        let began = Instant::now();
        match timeout(PATIENCE, self.say(&mut session, pace, after)).await {
            Ok(Ok(())) => self.session = Some(session),
            Ok(Err(error)) => return self.tell(error.class()),
            Err(_) => {}
        }
        self.wrote = began.elapsed();
        self.tell(if self.sees_enough(health) { "" } else { UNSEEN });
    }

    /// What can't be measured slows nothing down: a database that is away is the breakers' to answer.
    fn unknown(&mut self, pace: &Pace, cause: &'static str) {
        pace.follow(&[]);
        self.tell(cause);
    }

    fn sees_enough(&self, health: Health) -> bool {
        let is_asked = self.settings.lock_waits > 0 || !self.settings.replication_lag.is_zero();
        health.sees_all || !is_asked
    }

    /// What was measured, of what there is a limit for.
    fn readings(
        &mut self,
        health: Option<Health>,
        took: Duration,
        chunks: Option<Duration>,
    ) -> Vec<Reading> {
        let (now, settings) = (Instant::now(), self.settings);
        if let Some(took) = chunks {
            self.chunks = Some((took, now));
        }
        // Beyond what a chunk is meant to take, for it is sized to take that long.
        let chunk = self
            .chunks
            .filter(|(_, at)| at.elapsed() < settings.interval * FRESH);
        let chunk = chunk.map_or(Duration::ZERO, |(took, _)| took.saturating_sub(self.target));
        let mut readings = vec![(
            Reason::StatementTime,
            took.max(chunk).as_secs_f64(),
            settings.statement_time.as_secs_f64(),
        )];
        if let Some(health) = health {
            let waits = u32::try_from(health.lock_waits).unwrap_or(u32::MAX);
            readings.push((Reason::LockWaits, waits.into(), settings.lock_waits.into()));
            if let Some(rate) = self.history.look(now, health.written) {
                readings.push((Reason::Wal, rate / MIB, settings.wal_rate.into()));
            }
            if let Some(replayed) = health.replayed {
                let lag = self.history.lag(now, replayed, health.reported_lag);
                let limit = settings.replication_lag.as_secs_f64();
                readings.push((Reason::ReplicationLag, lag.as_secs_f64(), limit));
            }
        }
        let limited = readings
            .into_iter()
            .filter(|(_, _, allowed)| *allowed > 0.0);
        limited
            .map(|(reason, measured, allowed)| Reading {
                reason,
                measured,
                allowed,
            })
            .collect()
    }

    /// Where the pace is another one, and now and then.
    async fn say(
        &mut self,
        session: &mut Session,
        pace: &Pace,
        throttle: Throttle,
    ) -> store::Result<()> {
        let told = |reading: Reading| (reading.reason.label(), reading.measured, reading.allowed);
        let sign = Sign {
            worker: self.id,
            state: throttle.state().label(),
            reason: throttle.reading().map(told),
            bulk_hands: throttle.hands(pace.0.hands),
        };
        let is_same = |(said, at): &(Sign, Instant)| {
            let label = |sign: &Sign| sign.reason.map(|(label, _, _)| label);
            at.elapsed() < SIGN_OF_LIFE
                && (said.state, label(said), said.bulk_hands)
                    == (sign.state, label(&sign), sign.bulk_hands)
        };
        if self.said.as_ref().is_some_and(is_same) {
            return Ok(());
        }
        session.record(&sign).await?;
        self.said = Some((sign, Instant::now()));
        Ok(())
    }

    /// Once for each kind of trouble.
    fn tell(&mut self, cause: &'static str) {
        if self.trouble.replace(cause) == Some(cause) || cause.is_empty() {
            return;
        }
        if cause == UNSEEN {
            warn!(
                "standbys and other roles' lock waits can't be seen, and slow nothing down: \
                 grant pg_read_all_stats to the worker's role, or set their limits to 0"
            );
        } else {
            warn!(cause, "the health of the database can't be looked at");
        }
    }

    async fn leave(mut self) {
        if let Some(session) = &mut self.session {
            // Otherwise it is forgotten a little later.
            drop(timeout(PATIENCE, session.leave(self.id)).await);
        }
    }
}
