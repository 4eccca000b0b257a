//! What one worker at a time looks after: messages that a crash left behind, merged users, merges that stand still.

mod broker;
mod lock;
mod outbox;
mod rounds;
mod settled;
mod stranded;

use crate::harness::{Desk, Process, eventually};

/// The sessions that hold the keeper's lock in this test's database.
const HOLDERS: &str = "SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = 1970500205 AND objid = 1701996389
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Whether a process says that it is the keeper.
async fn keeps(process: &Process) -> bool {
    let (_, metrics) = process.get("/metrics").await;
    metrics.lines().any(|line| line == "user_merge_keeper 1")
}

/// Waits until exactly one of these is the keeper, and says which.
async fn keeper_of(processes: &[&Process]) -> usize {
    eventually("one keeper", || async {
        let mut keepers = Vec::new();
        for (at, process) in processes.iter().enumerate() {
            if keeps(process).await {
                keepers.push(at);
            }
        }
        (keepers.len() == 1).then(|| keepers[0])
    })
    .await
}

/// What a worker left behind that committed and is never heard of again: the event of a merge of `source`.
async fn left_behind(desk: &Desk, source: i64, target: i64) {
    let request = crate::harness::request(source, target);
    desk.run(&request).await.unwrap();
    desk.execute("UPDATE user_merge.outbox SET claimed_until = now() WHERE published_at IS NULL")
        .await;
}

async fn all_published(desk: &Desk) {
    let pending = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
    eventually("all published", || async {
        (desk.number(pending).await == 0).then_some(())
    })
    .await;
}
