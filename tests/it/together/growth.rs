//! What a batch reads is its own, however much the tables hold, and though its statements were planned while they
//! were empty: a worker that began in a new installation works for months. The tables are analyzed meanwhile, as
//! autovacuum does it: that is when plans are made anew.

use sqlx::AssertSqlSafe;
use user_merge::domain::MergeRequest;
use user_merge::merge::{Ending, Merger};
use user_merge::store::Pool;
use user_merge::store::outbox::{claim, mark_published, mark_refused};

use crate::harness::{Desk, envelope, eventually, request};

/// What is there before the batch: users to merge, with five tickets and two addresses each, and far more of everything
/// that is none of theirs.
const MUCH: &str = "
    INSERT INTO helpdesk.users (account_id, id, name, verified)
    SELECT 1, n, 'x', true FROM generate_series(100, 199) n;
    INSERT INTO helpdesk.users (account_id, id, name, verified, merged_into, merged_at)
    SELECT 1, n, 'x', true, 2, now() FROM generate_series(1000, 6000) n;
    INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value)
    SELECT 1, 100 + n % 100, 'email', n || '@example.com' FROM generate_series(0, 199) n;
    INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value)
    SELECT 1, 2, 'email', 'other.' || n || '@example.com' FROM generate_series(0, 5000) n;
    INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
    SELECT 1, n, CASE WHEN n % 10 = 0 THEN 100 + n / 10 % 100 ELSE 2 END, 2, 'x' FROM generate_series(1, 5000) n;
    INSERT INTO helpdesk.archived_tickets
        (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
    SELECT 1, 10000 + n, 2, 2, 'closed', 'x', now(), now() FROM generate_series(1, 5000) n;
    INSERT INTO helpdesk.ticket_ccs SELECT 1, n, 4 FROM generate_series(1, 5000) n WHERE n % 10 <> 0;
    INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id, lane, state,
                                   outcome, completed_at)
    SELECT 1, gen_random_uuid(), n, n, 2, 'bulk', 'completed', '{}', now() FROM generate_series(1000, 6000) n;
    INSERT INTO user_merge.outbox (account_id, merge_id, destination, message_id, body, claimed_until, published_at)
    SELECT 1, gen_random_uuid(), 'event', n, '{}', now() + interval '1 day' * CASE WHEN n = 1 THEN -1 ELSE 1 END,
           CASE WHEN n % 2 = 0 THEN now() END
    FROM generate_series(1, 10000) n;
    ANALYZE";

/// A batch, what it promises marked as published, what somebody else left claimed and put off; one merge alone.
#[tokio::test]
async fn a_batch_reads_its_own_rows_and_no_more() {
    let mut desk = Desk::open().await;
    // One connection, which keeps its plans.
    desk.settings.database.max_connections = 1;
    let pool = user_merge::app::pool(&desk.settings).unwrap();
    let merger = Merger::new(pool.clone(), &desk.settings);
    desk.users(1..=6).await;
    desk.execute("INSERT INTO user_merge.outbox (account_id, merge_id, destination, message_id, body, claimed_until)
                  VALUES (1, gen_random_uuid(), 'event', 'left', '{}', now() - interval '1 day')").await;
    work(
        &desk,
        &merger,
        &pool,
        request(5, 6),
        &[request(1, 2), request(3, 4)],
    )
    .await;

    let others = user_merge::app::pool(&desk.settings).unwrap();
    sqlx::raw_sql(AssertSqlSafe(MUCH))
        .execute(&others)
        .await
        .unwrap();
    end(&desk, others).await;
    let before = read(&desk).await;
    let requests: Vec<_> = (0..49).map(|n| request(100 + 2 * n, 101 + 2 * n)).collect();
    work(&desk, &merger, &pool, request(198, 199), &requests).await;
    end(&desk, pool).await;

    let after = read(&desk).await;
    let grown = after
        .iter()
        .zip(&before)
        .map(|((what, after), (_, before))| (what.as_str(), after - before));
    let grown: Vec<_> = grown.filter(|(_, rows)| *rows > 0).collect();
    let all: i64 = grown.iter().map(|(_, rows)| rows).sum();
    // Five tickets, each of them looked at to be counted, locked, moved, and found gone; and what else a merge has.
    assert!(
        (50 * 30..=50 * 100).contains(&all),
        "{all} for 50 merges: {grown:?}"
    );
}

async fn work(
    desk: &Desk,
    merger: &Merger,
    pool: &Pool,
    alone: MergeRequest,
    together: &[MergeRequest],
) {
    let envelopes: Vec<_> = together.iter().map(envelope).collect();
    let mut published = Vec::new();
    for report in merger.run_together(&envelopes).await {
        let report = report.expect("it shares a transaction");
        assert_eq!(report.ending, Ending::Completed);
        published.extend(report.promised.iter().map(|message| message.key));
    }
    mark_published(pool, &published).await.unwrap();
    let left = claim(pool, 10, 30.0).await.unwrap();
    assert_eq!(left.len(), 1);
    mark_refused(pool, &[left[0].key], 30.0).await.unwrap();
    let report = desk.run_with(merger, &alone).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
}

/// Ends a pool's connection: what it counted is told by then.
async fn end(desk: &Desk, pool: Pool) {
    let process = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
    let process = process.fetch_one(&pool).await.unwrap();
    pool.close().await;
    let is_there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {process}");
    eventually("the end of the connection", || async {
        (desk.number(&is_there).await == 0).then_some(())
    })
    .await;
}

/// Rows and index entries that were read so far, table by table and index by index.
async fn read(desk: &Desk) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables
         UNION ALL SELECT indexrelname::text, idx_tup_read FROM pg_stat_user_indexes ORDER BY 1",
    )
    .fetch_all(&desk.pool)
    .await
    .unwrap()
}
