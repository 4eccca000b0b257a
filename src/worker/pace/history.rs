//! The database's log over time: from where it was when, how far a standby is behind, and how fast it grows.
//!
//! The server's own figure of a standby's delay moves only when the standby answers, and stays for a while when it has
//! caught up. The age of the oldest change that it has not replayed yet is true at each look.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Looks that are remembered, of those at which the log had grown: a delay is measured up to their age.
const REMEMBERED: usize = 900;
/// Not more of them than that.
const APART: Duration = Duration::from_secs(1);

/// How far the log had been written at each look, oldest first.
#[derive(Default)]
pub(super) struct History {
    looks: VecDeque<(Instant, i64)>,
    last: Option<(Instant, i64)>,
}

impl History {
    /// Takes a look down, and says how many bytes a second were written since the one before.
    pub(super) fn look(&mut self, now: Instant, written: i64) -> Option<f64> {
        let before = self.last.replace((now, written));
        if before.is_some_and(|(_, until)| written < until) {
            // Another server after a failover, and its log is another one.
            *self = Self::default();
            self.last = Some((now, written));
        }
        let is_due = self.looks.back().is_none_or(|(at, until)| {
            written > *until && now.saturating_duration_since(*at) >= APART
        });
        if is_due {
            self.looks.push_back((now, written));
            if self.looks.len() > REMEMBERED {
                self.looks.pop_front();
            }
        }
        let (at, until) = before?;
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        (seconds > 0.0 && written >= until).then(|| bytes(written - until) / seconds)
    }

    /// For how long at least what a standby has still to replay has been there. `reported`: the server's own figure, in
    /// seconds, which counts only where the standby is behind the first look.
    pub(super) fn lag(&self, now: Instant, replayed: i64, reported: Option<f64>) -> Duration {
        let missing = self.looks.iter().position(|(_, until)| *until > replayed);
        let Some(first) = missing else {
            return Duration::ZERO;
        };
        let (at, _) = self.looks[first];
        let seen = now.saturating_duration_since(at);
        let reported = reported.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if first == 0 {
            seen.max(reported.unwrap_or_default())
        } else {
            seen
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "far below 2^52 between two looks"
)]
fn bytes(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_hours(1);

    /// A history of looks one second apart, at which the log was so far; and the time of each.
    fn history(written: &[i64]) -> (History, impl Fn(u64) -> Instant) {
        let began = Instant::now() + START;
        let at = move |second: u64| began + Duration::from_secs(second);
        let mut history = History::default();
        for (second, written) in (0..).zip(written) {
            history.look(at(second), *written);
        }
        (history, at)
    }

    #[test]
    fn a_standby_is_as_far_behind_as_the_oldest_change_that_it_lacks_is_old() {
        let (history, at) = history(&[100, 200, 300, 400]);
        assert_eq!(
            history.lag(at(3), 400, Some(9.0)),
            Duration::ZERO,
            "it has all"
        );
        assert_eq!(
            history.lag(at(3), 300, Some(9.0)),
            Duration::ZERO,
            "what it lacks is new"
        );
        assert_eq!(history.lag(at(3), 250, Some(9.0)), Duration::from_secs(1));
        assert_eq!(history.lag(at(3), 100, None), Duration::from_secs(2));
        assert_eq!(history.lag(at(3), 199, None), Duration::from_secs(2));
    }

    #[test]
    fn a_standby_that_has_stopped_falls_behind_though_the_server_says_nothing() {
        let (history, at) = history(&[100, 200]);
        assert_eq!(history.lag(at(601), 150, None), Duration::from_mins(10));
    }

    #[test]
    fn one_that_was_behind_before_the_first_look_is_at_least_as_far_behind_as_the_server_says() {
        let (history, at) = history(&[100, 200]);
        assert_eq!(history.lag(at(1), 50, Some(40.0)), Duration::from_secs(40));
        assert_eq!(history.lag(at(90), 50, Some(40.0)), Duration::from_secs(90));
    }

    #[test]
    fn the_log_grows_by_so_much_a_second() {
        let (mut history, at) = history(&[1_000]);
        assert_eq!(history.look(at(2), 9_000), Some(4_000.0));
        assert_eq!(history.look(at(3), 9_000), Some(0.0));
        assert_eq!(history.look(at(4), 500), None, "another server");
        assert_eq!(history.look(at(4), 600), None, "no time between");
        assert_eq!(
            history.lag(at(9), 500, None),
            Duration::ZERO,
            "the old server's log is not missed"
        );
    }

    #[test]
    fn it_remembers_so_much_and_no_more() {
        let began = Instant::now();
        let mut history = History::default();
        for look in 0..20_000 {
            let now = began + Duration::from_millis(look * 100);
            history.look(now, i64::try_from(look).unwrap());
        }
        assert_eq!(history.looks.len(), REMEMBERED);
        let lag = history.lag(began + Duration::from_secs(2_000), 0, None);
        assert!((899..=901).contains(&lag.as_secs()), "{lag:?}");
    }
}
