//! Whether the process is well: alive as long as its loops turn, ready as long as it can do its work.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::metric;
use super::probe::Probe;

/// Something that must hold for the process to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The queue of the lane with this label is consumed.
    Consuming(&'static str),
    /// The breaker of the lane with this label lets messages through.
    Taking(&'static str),
    /// Anything else, by its name.
    Other(&'static str),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consuming(lane) => write!(f, "consuming {lane}"),
            Self::Taking(lane) => write!(f, "taking {lane}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// The handle that everyone reports to; clones share one state.
#[derive(Clone, Default)]
pub struct Health(Arc<State>);

#[derive(Default)]
struct State {
    conditions: Mutex<BTreeMap<Condition, bool>>,
    probes: Mutex<Vec<Arc<Probe>>>,
    hearts: Mutex<Vec<Weak<Heart>>>,
}

struct Heart {
    name: &'static str,
    limit: Duration,
    last: Mutex<Instant>,
}

/// A loop's sign of life, which it must give before each time limit ends. Dropped, it is no longer expected.
pub struct Pulse(Arc<Heart>);

impl Pulse {
    /// Still turning.
    pub fn beat(&self) {
        *lock(&self.0.last) = Instant::now();
    }

    /// Waits for something that may rightly take longer than the limit, and beats meanwhile: what ends the beat
    /// then is a thread that is blocked.
    pub async fn through<T>(&self, waiting: impl Future<Output = T>) -> T {
        tokio::pin!(waiting);
        loop {
            self.beat();
            tokio::select! {
                biased;
                output = &mut waiting => {
                    self.beat();
                    return output;
                }
                () = tokio::time::sleep(self.0.limit / 4) => {}
            }
        }
    }
}

impl Health {
    /// Not ready until each of these conditions has been reported to hold.
    #[must_use]
    pub fn expecting(conditions: impl IntoIterator<Item = Condition>) -> Self {
        let health = Self::default();
        for condition in conditions {
            health.set(condition, false);
        }
        health
    }

    /// Reports whether a condition holds. Of a lane it sets the metric too.
    pub fn set(&self, condition: Condition, holds: bool) {
        show(condition, holds);
        lock(&self.0.conditions).insert(condition, holds);
    }

    /// Sets the metrics once more, for a recorder that came later than the conditions.
    pub(super) fn report(&self) {
        for (condition, holds) in lock(&self.0.conditions).iter() {
            show(*condition, *holds);
        }
    }

    /// Asks this too before it says ready; at most once a second, and not for long.
    pub fn probe<F, A>(&self, name: &'static str, ask: F)
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = bool> + Send + 'static,
    {
        let probe = Probe::new(name, Box::new(move || Box::pin(ask())));
        lock(&self.0.probes).push(Arc::new(probe));
    }

    /// Watches a loop that turns at least once in this time.
    #[must_use]
    pub fn pulse(&self, name: &'static str, limit: Duration) -> Pulse {
        let heart = Arc::new(Heart {
            name,
            limit,
            last: Mutex::new(Instant::now()),
        });
        lock(&self.0.hearts).push(Arc::downgrade(&heart));
        Pulse(heart)
    }

    /// The loops that have stopped turning. Only a restart helps then.
    #[must_use]
    pub fn stuck(&self) -> Vec<&'static str> {
        let mut hearts = lock(&self.0.hearts);
        hearts.retain(|heart| heart.strong_count() > 0);
        let stuck = |heart: &Arc<Heart>| lock(&heart.last).elapsed() > heart.limit;
        hearts
            .iter()
            .filter_map(Weak::upgrade)
            .filter(stuck)
            .map(|heart| heart.name)
            .collect()
    }

    /// Takes every loop for alive once more: the whole process stood still, and they can't have turned.
    pub(super) fn forgive(&self) {
        for heart in lock(&self.0.hearts).iter().filter_map(Weak::upgrade) {
            *lock(&heart.last) = Instant::now();
        }
    }

    /// What is missing for the process to be ready.
    pub async fn missing(&self) -> Vec<String> {
        let mut missing: Vec<_> = lock(&self.0.conditions)
            .iter()
            .filter(|(_, holds)| !**holds)
            .map(|(condition, _)| condition.to_string())
            .collect();
        let probes = lock(&self.0.probes).clone();
        for probe in probes {
            if !probe.answers().await {
                missing.push(probe.name.to_owned());
            }
        }
        missing
    }
}

/// Sets the metric of a condition that has one.
fn show(condition: Condition, holds: bool) {
    match condition {
        Condition::Consuming(lane) => metric::consuming(lane, holds),
        Condition::Taking(lane) => metric::breaker_open(lane, !holds),
        Condition::Other(_) => {}
    }
}

/// A panic elsewhere must not make the process look healthy or dead by itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_means_that_every_condition_holds_and_every_probe_answers() {
        let lanes = [
            Condition::Consuming("interactive"),
            Condition::Consuming("bulk"),
        ];
        let health = Health::expecting(lanes);
        health.probe("database", || async { false });
        health.set(lanes[0], true);
        assert_eq!(health.missing().await, ["consuming bulk", "database"]);

        let health = Health::expecting(lanes);
        health.probe("database", || async { true });
        for lane in lanes {
            health.clone().set(lane, true);
        }
        assert!(health.missing().await.is_empty());
        health.set(lanes[1], false);
        assert_eq!(health.missing().await, ["consuming bulk"]);
    }

    #[test]
    fn a_loop_is_stuck_once_its_pulse_is_late_unless_it_has_ended() {
        let health = Health::default();
        let quick = health.pulse("relay", Duration::ZERO);
        let slow = health.pulse("sweep", Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(2));
        slow.beat();
        assert_eq!(health.stuck(), ["relay"]);
        drop(quick);
        assert!(health.stuck().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rightful_wait_beats_and_a_blocked_thread_does_not() {
        let health = Health::default();
        let pulse = health.pulse("relay", Duration::from_millis(40));
        pulse
            .through(tokio::time::sleep(Duration::from_mins(1)))
            .await;
        assert!(health.stuck().is_empty());
        let blocked = pulse.through(async {
            std::thread::sleep(Duration::from_millis(60));
            health.stuck()
        });
        assert_eq!(blocked.await, ["relay"]);
    }
}
