//! Every log line of a merge names it.

use std::collections::HashMap;

use serde_json::Value;

use super::until_merges;
use crate::harness::{Desk, Process, Queues, key, request};

#[tokio::test]
async fn every_line_of_a_merge_carries_its_id() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.retry.max_attempts = 2;
    desk.users(1..=12).await;
    desk.tickets(100, 5, 1, "open").await;
    desk.execute(
        "INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id,
                                        lane, state, holds_users)
         VALUES (1, gen_random_uuid(), 'other', 11, 12, 'bulk', 'running', true);
         CREATE FUNCTION helpdesk.fail() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$;
         CREATE TRIGGER busy BEFORE UPDATE ON helpdesk.users FOR EACH ROW
             WHEN (NEW.merged_into = 4) EXECUTE FUNCTION helpdesk.fail()",
    )
    .await;
    let mut worker = Process::worker_with(&desk, &[("RUST_LOG", "debug")])
        .ready()
        .await;
    queues.send(&request(1, 2)).await;
    queues.send(&request(3, 4)).await;
    queues.send(&request(5, 5)).await;
    queues.send(&key("conflict", 12, 6)).await;
    for state in ["completed", "failed", "rejected"] {
        until_merges(&desk, state, 1).await;
    }
    worker.line("another unfinished merge").await;
    worker.signal("TERM");
    assert_eq!(worker.exit().await, 0);

    let mut ids: HashMap<i64, Vec<Value>> = HashMap::new();
    for line in worker.json_lines() {
        if let Some(source) = line["source.id"].as_i64() {
            assert!(line["merge.id"].is_string(), "{line}");
            assert_eq!(
                (&line["account.id"], &line["lane"]),
                (&1.into(), &"interactive".into())
            );
            ids.entry(source)
                .or_default()
                .push(line["merge.id"].clone());
        } else {
            assert!(line["merge.id"].is_null(), "{line}");
        }
    }
    // The failed one: two tries with two repetitions each, put off and given up.
    for (source, lines) in [(1, 1), (3, 6), (5, 1)] {
        let recorded =
            format!("SELECT id::text FROM user_merge.merges WHERE source_user_id = {source}");
        let recorded = Value::from(desk.text(&recorded).await.unwrap());
        let logged = &ids[&source];
        assert!(logged.len() >= lines, "{source}: {logged:?}");
        assert!(
            logged.iter().all(|id| *id == recorded),
            "{source}: {logged:?}, not {recorded}"
        );
    }
    assert!(ids.contains_key(&12), "the one that was put off");
}
