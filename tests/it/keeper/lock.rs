//! One keeper, and another one soon when it is gone, however it went.

use std::time::Duration;

use user_merge::store::keeper::Session;

use super::{HOLDERS, all_published, keeper_of, keeps, left_behind};
use crate::harness::{Desk, Process, Queues, eventually};

/// No server ends a session of this test's for it.
const SILENCE: Duration = Duration::from_hours(1);

async fn two(desk: &Desk) -> [Process; 2] {
    let (one, other) = (Process::worker(desk), Process::worker(desk));
    [one.ready().await, other.ready().await]
}

async fn desk() -> (Desk, Queues) {
    let mut desk = Desk::open().await;
    desk.settings.relay.interval = Duration::from_millis(100);
    let queues = Queues::open(&mut desk).await;
    desk.users(1..=9).await;
    (desk, queues)
}

/// D2: of two workers one keeps; when it is killed the other takes over, and what was left behind goes out, once.
#[tokio::test]
async fn d2_when_the_keeper_is_killed_the_other_one_takes_over() {
    let (desk, queues) = desk().await;
    let workers = two(&desk).await;
    let first = keeper_of(&[&workers[0], &workers[1]]).await;
    assert_eq!(desk.number(HOLDERS).await, 1);

    left_behind(&desk, 1, 2).await;
    assert_eq!(queues.event().await.json()["source_user_id"], 1);
    all_published(&desk).await;

    workers[first].signal("KILL");
    left_behind(&desk, 3, 4).await;
    assert_eq!(queues.event().await.json()["source_user_id"], 3);
    let other = &workers[1 - first];
    assert!(keeps(other).await);
    other.line("keeper: this worker looks after").await;
    all_published(&desk).await;
    assert!(queues.events().await.is_empty(), "each went out once");
}

/// D2: an operator ends the lock's session: its worker stops keeping, and somebody keeps again, one alone.
#[tokio::test]
async fn d2_a_lock_whose_session_is_ended_is_given_up_and_taken_again() {
    let (desk, queues) = desk().await;
    let workers = two(&desk).await;
    let first = keeper_of(&[&workers[0], &workers[1]]).await;
    let end = HOLDERS.replace("count(*)", "pg_terminate_backend(pid)::int::bigint");
    assert_eq!(desk.number(&end).await, 1);

    workers[first].line("keeper: the lock is lost").await;
    keeper_of(&[&workers[0], &workers[1]]).await;
    left_behind(&desk, 1, 2).await;
    assert_eq!(queues.event().await.json()["source_user_id"], 1);
    all_published(&desk).await;
    assert!(queues.events().await.is_empty());
    assert_eq!(desk.number(HOLDERS).await, 1);
}

/// D2: a process that hangs, while its machine goes on answering for it, is not waited for: the server ends its
/// session. When it wakes up it finds that it keeps no longer.
#[tokio::test]
async fn d2_a_keeper_that_hangs_loses_the_lock() {
    let (desk, queues) = desk().await;
    let workers = two(&desk).await;
    let first = keeper_of(&[&workers[0], &workers[1]]).await;
    workers[first].signal("STOP");
    let other = &workers[1 - first];
    eventually("the other one keeps", || async {
        keeps(other).await.then_some(())
    })
    .await;
    left_behind(&desk, 1, 2).await;
    assert_eq!(queues.event().await.json()["source_user_id"], 1);

    workers[first].signal("CONT");
    workers[first].line("keeper: the lock is lost").await;
    assert_eq!(keeper_of(&[&workers[0], &workers[1]]).await, 1 - first);
}

/// D2: a keeper that is told to stop lets go of the lock.
#[tokio::test]
async fn d2_a_keeper_that_stops_lets_go() {
    let (desk, _queues) = desk().await;
    let [one, other] = two(&desk).await;
    let (mut first, second) = if keeper_of(&[&one, &other]).await == 0 {
        (one, other)
    } else {
        (other, one)
    };
    first.signal("TERM");
    assert_eq!(first.exit().await, 0);
    first.line("keeper: this worker lets go of the lock").await;
    keeper_of(&[&second]).await;
}

/// R5: the lock belongs to one session, ends with it whether it is closed or dropped, and never stays behind on a
/// connection of the pool.
#[tokio::test]
async fn r5_the_lock_is_one_sessions_and_ends_with_it() {
    let desk = Desk::open().await;
    let pool = user_merge::app::pool(&desk.settings).unwrap();
    let mut first = Session::open(&pool, SILENCE).await.unwrap();
    let mut second = Session::open(&pool, SILENCE).await.unwrap();
    assert!(first.try_lock().await.unwrap());
    assert!(!second.try_lock().await.unwrap());
    assert!(first.stands().await.unwrap());
    first.close().await.unwrap();
    eventually("the second session has it", || async {
        (desk.number(HOLDERS).await == 0).then_some(())
    })
    .await;
    assert!(second.try_lock().await.unwrap());

    drop(second);
    eventually("nobody has it", || async {
        (desk.number(HOLDERS).await == 0).then_some(())
    })
    .await;
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'user-merge'";
    assert_eq!(desk.number(sessions).await, 0);
}
