use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const HANDS: u16 = 4;
const CHUNK: Duration = Duration::from_millis(50);

fn lag(seconds: f64) -> Reading {
    Reading {
        reason: Reason::ReplicationLag,
        measured: seconds,
        allowed: 10.0,
    }
}

fn waits(sessions: f64) -> Reading {
    Reading {
        reason: Reason::LockWaits,
        measured: sessions,
        allowed: 20.0,
    }
}

/// The pace after these lags, one look each.
fn after(lags: &[f64]) -> Throttle {
    lags.iter().fold(Throttle::FULL, |throttle, seconds| {
        throttle.after(&[lag(*seconds)])
    })
}

#[test]
fn a_healthy_database_slows_nothing_down() {
    let throttle = after(&[0.0, 7.9, 9.9, 10.0]);
    assert_eq!(throttle, Throttle::FULL);
    assert_eq!(
        (throttle.hands(HANDS), throttle.pause(CHUNK)),
        (HANDS, Duration::ZERO)
    );
}

#[test]
fn it_falls_by_halves_and_holds_only_where_that_was_not_enough() {
    let hands = |lags: &[f64]| after(lags).hands(HANDS);
    assert_eq!(hands(&[11.0]), 2);
    assert_eq!(hands(&[11.0; 2]), 1);
    assert_eq!(hands(&[11.0; 4]), 1);
    assert_eq!(after(&[11.0; 4]).state(), State::Slowed);
    assert_eq!(hands(&[11.0; 5]), 0);
    assert_eq!(after(&[11.0; 5]).state(), State::Held);
}

#[test]
fn what_is_critical_is_answered_at_once() {
    assert_eq!(after(&[20.0]).hands(HANDS), 1);
    assert_eq!(after(&[20.0; 2]).state(), State::Held);
}

#[test]
fn it_rises_step_by_step_once_there_is_room_and_not_before() {
    let held = after(&[50.0; 2]);
    assert_eq!(
        held.after(&[lag(8.1)]).state(),
        State::Held,
        "in the band between"
    );
    // Neither is a lucky moment enough, nor two.
    let lucky = held.after(&[lag(1.0)]).after(&[lag(1.0)]);
    assert_eq!(lucky.state(), State::Held);
    let lucky = lucky.after(&[lag(9.0)]).after(&[lag(1.0)]);
    assert_eq!(lucky.after(&[lag(1.0)]).state(), State::Held);
    let mut throttle = lucky.after(&[lag(1.0)]).after(&[lag(1.0)]);
    assert_eq!(
        (throttle.state(), throttle.hands(HANDS)),
        (State::Slowed, 1)
    );
    for _ in 0..15 {
        assert_eq!(throttle.state(), State::Slowed);
        throttle = throttle.after(&[lag(1.0)]);
    }
    assert_eq!(throttle, Throttle::FULL);
}

#[test]
fn the_worst_is_the_reason_and_stays_it_with_its_latest_measure() {
    let throttle = Throttle::FULL.after(&[lag(12.0), waits(30.0)]);
    assert_eq!(throttle.reading(), Some(waits(30.0)));
    let throttle = throttle.after(&[lag(9.0), waits(3.0)]);
    assert_eq!(throttle.reading(), Some(waits(3.0)));
    assert_eq!(
        throttle.after(&[]).reading(),
        Some(waits(3.0)),
        "not measured this time"
    );
    assert_eq!(throttle.after(&[lag(11.0)]).reading(), Some(lag(11.0)));
}

#[test]
fn a_bulk_merge_works_for_its_share_of_the_time_and_an_interactive_one_for_half_at_least() {
    let slowed = after(&[11.0, 11.0]);
    assert_eq!(slowed.pause(CHUNK), 3 * CHUNK);
    assert_eq!(slowed.interactive_pause(CHUNK), CHUNK);
    let held = after(&[50.0; 2]);
    assert_eq!(held.pause(CHUNK), LONGEST);
    assert_eq!(held.interactive_pause(CHUNK), CHUNK);
}

fn reading() -> impl Strategy<Value = Reading> {
    let measured = prop_oneof![0.0..3.0, Just(0.0), Just(f64::from(u32::MAX))];
    (select(&Reason::ALL[..]), measured).prop_map(|(reason, measured)| Reading {
        reason,
        measured,
        allowed: 1.0,
    })
}

proptest! {
    /// Whatever is measured, in whatever order.
    #[test]
    fn the_pace_keeps_its_bounds(
        looks in vec(vec(reading(), 0..4), 0..60),
        hands in 1..1000_u16,
        took in 0..100_000_u64,
    ) {
        let took = Duration::from_millis(took);
        let mut throttle = Throttle::FULL;
        for look in looks {
            let (before, state) = (throttle, throttle.state());
            throttle = throttle.after(&look);
            let worst = look.iter().map(Reading::excess).fold(0.0, f64::max);
            if worst > 1.0 {
                prop_assert!(throttle.hands(hands) <= before.hands(hands));
                prop_assert!(throttle.state() != State::Full);
            } else if worst > RESUME {
                prop_assert_eq!((throttle.share, throttle.state()), (before.share, state));
            } else {
                prop_assert!(throttle.hands(hands) >= before.hands(hands));
            }
            prop_assert!((1..=WHOLE).contains(&throttle.share));
            prop_assert!(throttle.hands(hands) <= hands);
            prop_assert_eq!(throttle.hands(hands) == 0, throttle.state() == State::Held);
            prop_assert_eq!(throttle.reading().is_none(), throttle.state() == State::Full);
            prop_assert!(throttle.pause(took) <= LONGEST);
            prop_assert!(throttle.interactive_pause(took) <= took);
            prop_assert!(throttle.interactive_pause(took) <= throttle.pause(took));
        }
        for _ in 0..=WHOLE + u16::from(CALM) {
            throttle = throttle.after(&[]);
        }
        prop_assert_eq!(throttle, Throttle::FULL);
    }
}
