use futures_util::FutureExt as _;

use super::*;

const HANDS: u16 = 4;

fn lag(seconds: f64) -> [Reading; 1] {
    [Reading {
        reason: Reason::ReplicationLag,
        measured: seconds,
        allowed: 10.0,
    }]
}

/// After so many looks at a standby that is that far behind.
fn pace(looks: usize, seconds: f64) -> Pace {
    let pace = Pace::new(HANDS);
    for _ in 0..looks {
        pace.follow(&lag(seconds));
    }
    pace
}

fn may_begin(pace: &Pace, lane: Lane, busy: usize) -> bool {
    pace.may_begin(lane, || busy).now_or_never().is_some()
}

#[tokio::test]
async fn the_bulk_lane_has_the_hands_of_its_pace_and_the_interactive_one_all() {
    // How many looks, and how many hands then.
    for (looks, hands) in [(0, 4), (1, 2), (2, 1), (4, 1), (5, 0)] {
        let pace = pace(looks, 11.0);
        for busy in 1..=4 {
            assert_eq!(
                may_begin(&pace, Lane::Bulk, busy),
                busy <= hands,
                "{looks} {busy}"
            );
        }
        assert!(may_begin(&pace, Lane::Interactive, 1_000));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_when_the_pace_rises_or_a_hand_is_done() {
    let held = pace(2, 50.0);
    let waiting = tokio::spawn({
        let pace = held.clone();
        async move { pace.may_begin(Lane::Bulk, || 1).await }
    });
    sleep(Duration::from_mins(1)).await;
    assert!(!waiting.is_finished());
    for _ in 0..3 {
        held.follow(&lag(0.0));
    }
    waiting.await.unwrap();

    let slowed = pace(1, 11.0);
    let busy = Arc::new(AtomicU64::new(4));
    let waiting = tokio::spawn({
        let busy = busy.clone();
        let busy = move || usize::try_from(busy.load(Ordering::Relaxed)).unwrap();
        async move { slowed.may_begin(Lane::Bulk, busy).await }
    });
    sleep(Duration::from_mins(1)).await;
    assert!(!waiting.is_finished());
    busy.store(2, Ordering::Relaxed);
    waiting.await.unwrap();
}

#[test]
fn chunks_are_measured_between_two_looks_and_answered_with_a_pause() {
    let pace = pace(1, 11.0);
    let (bulk, interactive) = (
        pace.between_chunks(Lane::Bulk),
        pace.between_chunks(Lane::Interactive),
    );
    assert_eq!(pace.chunk_time(), None);
    assert_eq!(bulk(Duration::from_millis(40)), Duration::from_millis(40));
    assert_eq!(
        interactive(Duration::from_millis(80)),
        Duration::from_millis(80)
    );
    assert_eq!(pace.chunk_time(), Some(Duration::from_millis(60)));
    assert_eq!(pace.chunk_time(), None);
    pace.follow(&lag(11.0));
    assert_eq!(bulk(Duration::from_millis(40)), Duration::from_millis(120));
    assert_eq!(
        interactive(Duration::from_millis(40)),
        Duration::from_millis(40)
    );
}
