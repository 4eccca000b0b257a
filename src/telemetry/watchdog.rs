//! Looks after the loops from outside: a thread of its own, which no stuck task and no blocked runtime holds up.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Health;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// A look that comes later than this: the whole process stood still.
const OVERSLEPT: Duration = Duration::from_secs(3);
/// How long the last log line may take: standard error may be what everyone is stuck at.
const LAST_LINE: Duration = Duration::from_secs(1);

/// Watches until it is dropped.
#[must_use = "dropped, it watches no more"]
pub struct Watchdog(#[allow(dead_code, reason = "its end is what counts")] Sender<()>);

impl Watchdog {
    /// Ends the process once a pulse is late, two looks in a row. Nothing is waited for: a loop that is stuck
    /// would not end, and what it holds is delivered again (rules R4 and R5).
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn start(health: Health) -> std::io::Result<Self> {
        Self::calling(health, |stuck| {
            let (done, line) = channel();
            let stuck = stuck.join(", ");
            drop(thread::Builder::new().spawn(move || {
                tracing::error!(
                    task = stuck,
                    "stuck: the process ends, for only a restart helps"
                );
                let _ = done.send(());
            }));
            let _ = line.recv_timeout(LAST_LINE);
            std::process::exit(1);
        })
    }

    fn calling(
        health: Health,
        end: impl FnOnce(Vec<&'static str>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (dropped, alive) = channel();
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                let mut late = Vec::new();
                loop {
                    let began = Instant::now();
                    if alive.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                    if began.elapsed() > OVERSLEPT {
                        health.forgive();
                    }
                    let stuck = health.stuck();
                    if stuck.iter().any(|name| late.contains(name)) {
                        return end(stuck);
                    }
                    late = stuck;
                }
            })?;
        Ok(Self(dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_loop_whose_pulse_is_late_and_no_other() {
        let health = Health::default();
        let _stuck = health.pulse("relay", Duration::from_millis(10));
        let _alive = health.pulse("sweep", Duration::from_mins(1));
        let (named, heard) = channel();
        let watchdog = Watchdog::calling(health, move |stuck| named.send(stuck).unwrap());
        assert_eq!(heard.recv().unwrap(), ["relay"]);
        drop(watchdog);
    }

    #[test]
    fn it_is_silent_while_all_beat_and_once_it_is_dropped() {
        let health = Health::default();
        let pulse = health.pulse("relay", LOOK * 10);
        let (named, heard) = channel();
        let watchdog = Watchdog::calling(health, move |stuck| named.send(stuck).unwrap());
        for _ in 0..4 {
            assert_eq!(heard.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout));
            pulse.beat();
        }
        drop(watchdog);
        // The thread ends, and with it the sender.
        assert!(heard.recv().is_err());
    }
}
