//! The crash matrix: at every failpoint the worker is killed, made to fail, and held up, in the scenarios that reach
//! it. After each, the work is finished, and every effect is there exactly once.

mod case;
mod checks;
mod fenced;
mod ledger;
mod scenario;
mod setting;
mod stage;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use user_merge::failpoint::Point;

use case::Action;

/// Help desks, queues and workers at once, in all tests together: more would wait for each other.
static HANDS: Semaphore = Semaphore::const_new(8);

/// Whether all of it is to be run: `tests/prove` asks for that. Otherwise it is a part that is bounded in time, with
/// a kill at every failpoint.
fn is_whole() -> bool {
    std::env::var("USER_MERGE_PROOF").is_ok_and(|part| part == "whole")
}

/// Every failpoint in each of its scenarios, or, in the bounded part, each `nth` one in its first.
async fn all_with(action: Action, nth: usize) {
    let nth = if is_whole() { 1 } else { nth };
    let mut cases = JoinSet::new();
    for &point in Point::ALL.iter().step_by(nth) {
        let scenarios = scenario::of(point);
        let some = if is_whole() { scenarios.len() } else { 1 };
        for &scenario in &scenarios[..some] {
            cases.spawn(async move {
                let _hand = HANDS.acquire().await.unwrap();
                let running = AssertUnwindSafe(case::run(point, scenario, action)).catch_unwind();
                let name = format!("{} in {scenario:?}", point.name());
                running.await.is_err().then_some(name)
            });
        }
    }
    let count = cases.len();
    let failed: Vec<String> = cases.join_all().await.into_iter().flatten().collect();
    println!("{action:?}: {count} cases, {} failed", failed.len());
    assert!(failed.is_empty(), "{action:?}: {failed:#?}");
}

/// R4: killed anywhere, without a chance to put anything in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_worker_may_be_killed_at_every_failpoint() {
    all_with(Action::Kill, 1).await;
}

/// R7: something fails anywhere that may pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_an_error_may_come_at_every_failpoint() {
    all_with(Action::Error, 4).await;
}

/// R1, R5: held up anywhere, while the same message comes once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_a_worker_may_be_held_up_at_every_failpoint() {
    all_with(Action::Delay, 4).await;
}
