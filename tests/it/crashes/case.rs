//! One case: a worker that meets its failpoint, and what has to be right in the end.

use user_merge::failpoint::Point;

use super::scenario::Scenario;
use super::stage::Stage;
use crate::harness::{Process, eventually};

/// What happens at the failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Kill,
    Error,
    Delay,
}

impl Action {
    const fn text(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Error => "error",
            // As long as a chunk's locks are waited for, and the same message once more can get on meanwhile.
            Self::Delay => "delay(600ms)",
        }
    }
}

/// In the middle of a large merge, not at its first chunk; in the middle of several at once.
const fn passing(point: Point, scenario: Scenario) -> &'static str {
    use Point::{
        ChunkBegun, ChunkCommitted, ChunkMoved, HandOverDue, MessageReceived, TicketsLocked,
    };
    match (point, scenario) {
        // These come only once, and among several; the others came to the one before them too.
        (Point::RejectionWritten | Point::RepeatPromised, Scenario::Several) => "",
        (_, Scenario::Several)
        | (MessageReceived | HandOverDue, Scenario::Together)
        | (ChunkBegun | TicketsLocked | ChunkMoved | ChunkCommitted, Scenario::Large) => "@2",
        _ => "",
    }
}

pub async fn run(point: Point, scenario: Scenario, action: Action) {
    let armed = format!(
        "{}={}{}",
        point.name(),
        action.text(),
        passing(point, scenario)
    );
    let marks = tempfile::tempdir().unwrap();
    let directory = marks.path().to_str().unwrap();
    let stage = Stage::open(scenario).await;
    let held_up = stage.hold_up().await;
    if held_up.is_none() {
        stage.send().await;
    }

    let variables = [
        ("USER_MERGE_FAILPOINTS", armed.as_str()),
        ("USER_MERGE_FAILPOINT_MARKS", directory),
    ];
    let mut worker = Process::worker_with(&stage.desk, &variables);
    if let Some(writer) = held_up {
        stage.let_go(writer).await;
    }
    eventually(&format!("{armed} in {scenario:?}"), || async {
        marks.path().join(&armed).exists().then_some(())
    })
    .await;
    match action {
        Action::Kill => {
            worker.killed().await;
            worker = Process::worker(&stage.desk);
        }
        Action::Error => {}
        Action::Delay => stage.send().await,
    }
    stage.go_on().await;

    stage.finish(worker).await;
    stage.assert_all_is_right().await;
}
