//! R5: two worker processes on one merge. The first is held in the middle of it, and its connection to the broker is
//! cut: the message goes to the second, which goes on. Then the first one wakes up.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::scenario::Scenario;
use super::stage::Stage;
use crate::harness::proxy::{Mode, Proxy};
use crate::harness::{Process, broker_url, eventually};
use crate::rules_r::waiting_for_locks;

/// A worker that is held at a failpoint until it is let go.
struct Held {
    process: Process,
    mark: PathBuf,
    _marks: TempDir,
}

impl Held {
    async fn start(stage: &Stage, point: &str) -> Self {
        let marks = tempfile::tempdir().unwrap();
        let variables = [
            ("USER_MERGE_FAILPOINTS", point),
            ("USER_MERGE_FAILPOINT_MARKS", marks.path().to_str().unwrap()),
        ];
        Self {
            process: Process::worker_with(&stage.desk, &variables).ready().await,
            mark: marks.path().join(point),
            _marks: marks,
        }
    }

    async fn is_held(&self) {
        eventually("a worker that is held", || async {
            self.mark.exists().then_some(())
        })
        .await;
    }

    fn let_go(&self) {
        fs::write(&self.mark, "go on").unwrap();
    }

    async fn fenced(&self) -> u32 {
        let (_, metrics) = self.process.get("/metrics").await;
        let line = |line: &str| line.strip_prefix("user_merge_fenced_total ")?.parse().ok();
        metrics.lines().find_map(line).unwrap_or(0)
    }

    /// Waits until it knows that the merge isn't its own any more.
    async fn is_fenced(&self) {
        eventually("a worker that is fenced", || async {
            (self.fenced().await > 0).then_some(())
        })
        .await;
    }

    async fn stop(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.exit().await, 0);
    }
}

/// A merge whose worker is held at this point, and has lost its connection there without being told.
async fn cut_off(point: &str) -> (Stage, Held, Proxy) {
    let mut stage = Stage::open(Scenario::Large).await;
    // Whoever waits for the other one's locks does so for as long as the test likes.
    stage.desk.settings.database.lock_timeout = std::time::Duration::from_secs(25);
    let proxy = Proxy::of_url(&broker_url());
    let direct = stage.desk.settings.broker.url.clone();
    stage.desk.settings.broker.url = Some(proxy.url(&broker_url()).into());
    let first = Held::start(&stage, point).await;
    stage.desk.settings.broker.url = direct;
    stage.send().await;
    first.is_held().await;
    proxy.set(Mode::Refuse);
    proxy.cut();
    (stage, first, proxy)
}

/// R5: the first one wakes up while the second is in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_the_old_worker_wakes_up_while_the_new_one_is_at_work() {
    for (old, new) in [
        ("chunk.begun=hold@3", "chunk.committed=hold"),
        ("chunk.committed=hold@2", "chunk.committed=hold"),
        ("last.begun=hold", "last.begun=hold"),
    ] {
        let (stage, first, _proxy) = cut_off(old).await;
        let second = Held::start(&stage, new).await;
        second.is_held().await;

        first.let_go();
        first.is_fenced().await;
        second.let_go();

        first.stop().await;
        let fenced = second.fenced().await;
        stage.finish(second.process).await;
        assert_eq!(fenced, 0, "nobody has taken it from the second");
        stage.assert_all_is_right().await;
    }
}

/// R5: the first one wakes up when the second has finished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_the_old_worker_wakes_up_after_the_new_one_has_finished() {
    for point in [
        "chunk.begun=hold@3",
        "chunk.committed=hold@2",
        "last.begun=hold",
    ] {
        let (stage, first, _proxy) = cut_off(point).await;
        let second = Process::worker(&stage.desk);
        let completed = "SELECT count(*) FROM user_merge.merges WHERE state = 'completed'";
        eventually("the second worker's end of the merge", || async {
            (stage.desk.number(completed).await == 1).then_some(())
        })
        .await;

        first.let_go();
        first.is_fenced().await;

        first.stop().await;
        stage.finish(second).await;
        stage.assert_all_is_right().await;
    }
}

/// R5: where the first one holds locks, the second waits. What the first has in hand is committed then, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_the_new_worker_waits_for_what_the_old_one_has_locked() {
    // The one has a chunk in hand, for which its next one waits too, and goes no further after them; the other one is
    // about to commit the end.
    for (point, waiting, is_fenced) in [
        ("chunk.moved=hold@2", 2, true),
        ("merge.settled=hold", 1, false),
    ] {
        let (stage, first, _proxy) = cut_off(point).await;
        let second = Process::worker(&stage.desk);
        waiting_for_locks(&stage.desk, waiting).await;

        first.let_go();
        if is_fenced {
            first.is_fenced().await;
        }
        stage.finish(second).await;
        assert_eq!(first.fenced().await > 0, is_fenced, "{point}");
        first.stop().await;
        stage.assert_all_is_right().await;
    }
}
