//! How fast messages are sent again.

use std::str::FromStr;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// So many in a second or in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    number: u32,
    per: Duration,
}

/// What is no rate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1/s to 1000/s, or 1/m to 60000/m")]
pub(super) struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (number, per) = text.split_once('/').unwrap_or((text, "s"));
        let (per, most) = match per {
            "s" => (Duration::from_secs(1), 1_000),
            "m" => (Duration::from_mins(1), 60_000),
            _ => return Err(RateError),
        };
        let number: u32 = number.parse().map_err(|_| RateError)?;
        if number == 0 || number > most {
            return Err(RateError);
        }
        Ok(Self { number, per })
    }
}

/// Lets one after the other through, never closer together than the rate says: time that was lost is not made up.
pub(super) struct Pace(Interval);

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        let mut turns = interval_at(Instant::now(), rate.per / rate.number);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(turns)
    }

    /// Waits until it is the next one's turn. Cancel-safe.
    pub(super) async fn turn(&mut self) {
        self.0.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_is_per_second_or_per_minute() {
        assert_eq!(rate("50/s"), rate("50"));
        assert_eq!(rate("60/m").per / 60, rate("1/s").per);
        for wrong in [
            "", "0", "-1", "1/h", "50 /s", "1001/s", "60001/m", "fast", "1/",
        ] {
            assert_eq!(wrong.parse::<Rate>(), Err(RateError), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_the_rate() {
        let (began, mut pace) = (Instant::now(), Pace::new(rate("20/s")));
        for turn in 0..100_u32 {
            pace.turn().await;
            assert_eq!(began.elapsed().as_millis(), u128::from(turn) * 50);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_was_lost_is_not_made_up() {
        let mut pace = Pace::new(rate("10/s"));
        pace.turn().await;
        // A broker that took long to confirm.
        tokio::time::advance(Duration::from_secs(30)).await;
        pace.turn().await;
        let began = Instant::now();
        for _ in 0..10 {
            pace.turn().await;
        }
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }
}
