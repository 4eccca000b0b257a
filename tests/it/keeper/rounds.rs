//! The rounds over merged users (rule D4), and two keepers that do them at once.

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _};
use user_merge::merge::Ending;

use crate::harness::{Desk, Queues, Running, eventually, request};

/// D4: who was merged long ago has its turn too, though the last hour's are looked at in every round.
#[tokio::test]
async fn d4_users_merged_long_ago_have_their_turn() {
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    desk.settings.sweep.interval = Duration::from_millis(100);
    desk.settings.sweep.batch = 1;
    desk.users(1..=60).await;
    // More than one round looks at.
    for source in 1..=40 {
        desk.run(&request(source, 60)).await.unwrap();
    }
    desk.execute(
        "UPDATE user_merge.merges SET completed_at = now() - interval '1 day' * source_user_id / 2",
    )
    .await;
    desk.tickets(10, 1, 1, "new").await;
    desk.tickets(11, 1, 40, "new").await;
    let worker = Running::start(&desk).await;
    eventually("both with the target", || async {
        let others = "SELECT count(*) FROM helpdesk.tickets WHERE requester_id <> 60";
        (desk.number(others).await == 0).then_some(())
    })
    .await;
    worker.stop().await;
}

/// D4, R5: two keepers on the same merged users at once, where a lost lock wasn't noticed yet: each ticket moves
/// once and is logged and counted once.
#[tokio::test]
async fn d4_two_rounds_at_once_move_and_count_once() {
    let mut desk = Desk::open().await;
    desk.settings.database.lock_timeout = Duration::from_secs(25);
    desk.users(1..=20).await;
    for source in 1..=19 {
        let report = desk.run(&request(source, 20)).await.unwrap();
        assert_eq!(report.ending, Ending::Completed);
        desk.tickets(100 * source, 5, source, "new").await;
    }
    let keepers: Vec<_> = (0..4).map(|_| desk.merger()).collect();
    let rounds = keepers
        .iter()
        .map(|keeper| keeper.move_late(None, 3600.0, 100));
    let moved: i64 = futures_util::future::join_all(rounds)
        .await
        .into_iter()
        .map(|round| round.unwrap().0)
        .sum();
    assert_eq!(moved, 95);
    for count in [
        "SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 20",
        "SELECT count(*) FROM helpdesk.ticket_events",
        "SELECT sum(late)::bigint FROM user_merge.merges",
    ] {
        assert_eq!(desk.number(count).await, 95, "{count}");
    }
}

/// The statement of a batch, as the build checked it.
fn statement() -> String {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx");
    let queries = std::fs::read_dir(directory).unwrap().map(|file| {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        json["query"].as_str().unwrap().to_owned()
    });
    let mut found = queries.filter(|query| query.contains("AS \"late!\""));
    found.next().expect("the statement of a batch")
}

/// All rows that a plan has touched, those that it threw away included.
fn rows(node: &Value) -> f64 {
    let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
    let own = (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
    let children = node["Plans"].as_array().into_iter().flatten();
    own + children.map(rows).sum::<f64>()
}

/// D4: a batch costs the same wherever in the window it stands and however many tickets others have, also on tables
/// that the planner knows nothing of yet.
#[tokio::test]
async fn d4_a_batch_reads_its_own_merges_and_no_more() {
    let desk = Desk::open().await;
    desk.users([1]).await;
    desk.execute(
        "INSERT INTO helpdesk.users (account_id, id, name, verified, merged_into, merged_at)
         SELECT 1, n, 'x', true, 1, now() FROM generate_series(2, 4000) n;
         INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id, lane, state,
                                        outcome, completed_at)
         SELECT 1, gen_random_uuid(), n, n, 1, 'bulk', 'completed', '{}', now() - interval '1 min' * n
         FROM generate_series(2, 4000) n",
    )
    .await;
    desk.tickets(1, 20_000, 1, "open").await;
    for analyzed in [false, true] {
        if analyzed {
            desk.execute("ANALYZE").await;
        }
        let mut connection = user_merge::app::pool(&desk.settings)
            .unwrap()
            .acquire()
            .await
            .unwrap();
        let prepare = format!("PREPARE batch AS {}", statement());
        connection.execute(AssertSqlSafe(prepare)).await.unwrap();
        for minutes in [4_000, 1_000] {
            let explain = format!(
                "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE batch
                 (now() - interval '{minutes} min', 0, gen_random_uuid(), 2592000, 100, false)"
            );
            let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            let touched = rows(&plan[0]["Plan"]);
            // Each merge and its user, at three nodes; not one of the tickets.
            assert!((300.0..=1_000.0).contains(&touched), "{touched}: {plan:#}");
        }
    }
}
