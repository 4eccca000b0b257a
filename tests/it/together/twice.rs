//! The same requests in several batches at once, beside others and beside people at work: each done exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use user_merge::domain::MergeRequest;
use user_merge::merge::{Ending, Merger, Until};

use super::assert_log_is_exact;
use crate::harness::{Desk, Dice, envelope, request};

const PAIRS: i64 = 12;

/// Pairs that are ordinary, and some that a rule refuses: users without a row, which nothing can lock.
async fn desk() -> (Desk, Vec<MergeRequest>) {
    let desk = Desk::open().await;
    desk.users(1..=2 * PAIRS).await;
    desk.users([900]).await;
    desk.tickets(90_000, PAIRS, 900, "open").await;
    let mut requests = Vec::new();
    for source in 1..=PAIRS {
        desk.tickets(100 * source, 3, source, "open").await;
        desk.archived_tickets(100 * source + 50, 2, source).await;
        desk.cc(89_999 + source, source).await;
        let address = format!("user{source}@example.com");
        desk.identity(source, "email", &address, true).await;
        requests.push(request(source, source + PAIRS));
    }
    for source in 500..504 {
        requests.push(request(source, source + 100));
    }
    (desk, requests)
}

/// As a worker does it; what may pass is tried again.
async fn work(merger: Arc<Merger>, requests: Vec<MergeRequest>) -> Vec<(String, Ending)> {
    let envelopes: Vec<_> = requests.iter().map(envelope).collect();
    let mut endings = Vec::new();
    for (place, report) in merger
        .run_together(&envelopes)
        .await
        .into_iter()
        .enumerate()
    {
        let report = match report {
            Some(report) => report,
            None => alone(&merger, &requests[place]).await,
        };
        let key = requests[place].idempotency_key.to_string();
        endings.push((key, report.ending));
    }
    endings
}

async fn alone(merger: &Merger, request: &MergeRequest) -> user_merge::merge::Report {
    for _ in 0..50 {
        let until = Until::new(CancellationToken::new(), std::time::Duration::from_mins(5));
        match merger.run(envelope(request), &until).await {
            Ok(report) => return report,
            Err(failed) => assert!(failed.error.is_passing(), "{failed}"),
        }
    }
    panic!("{} never came to an end", request.idempotency_key);
}

fn shuffled(requests: &[MergeRequest], dice: &mut Dice) -> Vec<MergeRequest> {
    let mut shuffled = requests.to_vec();
    dice.shuffle(&mut shuffled);
    shuffled
}

/// R1, R5, T2, D2: four workers get the same messages at once, in different orders; two take them in batches, one
/// in two halves, one each by itself. Of every request one of them is told that it was done, the others repeat it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_r5_the_same_requests_in_several_batches_are_done_once() {
    let (full, requests) = desk().await;
    let mut dice = Dice::new();
    for _ in 0..8 {
        let desk = full.copy().await;
        let mut workers = JoinSet::new();
        for size in [16, 16, 8, 1] {
            let merger = Arc::new(desk.merger());
            let parts: Vec<_> = shuffled(&requests, &mut dice)
                .chunks(size)
                .map(<[MergeRequest]>::to_vec)
                .collect();
            workers.spawn(async move {
                let mut endings = Vec::new();
                for part in parts {
                    endings.extend(work(merger.clone(), part).await);
                }
                endings
            });
        }
        let mut told: BTreeMap<String, Vec<Ending>> = BTreeMap::new();
        for (key, ending) in workers.join_all().await.into_iter().flatten() {
            told.entry(key).or_default().push(ending);
        }
        for (key, endings) in told {
            let repeated = |ending: &&Ending| **ending == Ending::Repeated;
            let repeats = endings.iter().filter(repeated).count();
            assert_eq!((endings.len(), repeats), (4, 3), "{key}: {endings:?}");
        }
        assert_log_is_exact(&desk).await;
        let moved = "SELECT string_agg(DISTINCT concat_ws(' ', live, archived, ccs_moved), ',')
                     FROM user_merge.merges WHERE state = 'completed'";
        assert_eq!(desk.text(moved).await.unwrap(), "3 2 1");
        desk.assert_verified().await;
    }
}

/// What people do meanwhile, to the tickets and CCs of a source.
fn act(dice: &mut Dice, n: u64) -> String {
    let source = dice.below(12) + 1;
    let ticket = 100 * source + dice.below(3);
    match dice.below(6) {
        0 => format!(
            "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
             VALUES (1, {}, {source}, 900, 'new')",
            1_000_000 + n
        ),
        1 => format!(
            "UPDATE helpdesk.tickets SET requester_id = 900 WHERE account_id = 1 AND id = {ticket}"
        ),
        2 => format!(
            "INSERT INTO helpdesk.ticket_ccs VALUES (1, {ticket}, {}) ON CONFLICT DO NOTHING",
            source + 12
        ),
        3 => format!(
            "INSERT INTO helpdesk.ticket_ccs VALUES (1, {}, {}) ON CONFLICT DO NOTHING",
            89_999 + source,
            source + 12
        ),
        4 => format!(
            "WITH gone AS (DELETE FROM helpdesk.ticket_ccs WHERE account_id = 1 AND ticket_id = {ticket})
             UPDATE helpdesk.tickets SET status = 'pending' WHERE account_id = 1 AND id = {ticket}"
        ),
        _ => format!(
            "UPDATE helpdesk.tickets SET status = 'pending' WHERE account_id = 1 AND id = {}",
            89_999 + source
        ),
    }
}

/// T2, T5, T7, T9: people open, move, copy and answer while two batches of the same requests run. Nothing they do is
/// undone or lost, no merge is done twice, and nothing is left of a source but what came after its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t7_t9_batches_beside_people_at_work() {
    let (full, requests) = desk().await;
    let mut dice = Dice::new();
    for _ in 0..4 {
        let desk = full.copy().await;
        let stop = CancellationToken::new();
        let mut people = JoinSet::new();
        for person in 0..3 {
            let (pool, stop, mut dice) = (desk.pool.clone(), stop.clone(), dice.split());
            people.spawn(async move {
                let (mut done, mut given) = (0, Vec::new());
                while !stop.is_cancelled() || done < 20 {
                    let sql = act(&mut dice, 10_000 * person + done);
                    done += 1;
                    // Two of them may deadlock with each other.
                    let acted = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.as_str()))
                        .execute(&pool)
                        .await;
                    if sql.contains("requester_id = 900")
                        && acted.is_ok_and(|done| done.rows_affected() > 0)
                    {
                        given.push(sql.rsplit(' ').next().unwrap().to_owned());
                    }
                }
                given
            });
        }
        let mut batches = JoinSet::new();
        for _ in 0..2 {
            batches.spawn(work(Arc::new(desk.merger()), requests.clone()));
        }
        let endings = batches.join_all().await;
        stop.cancel();
        let given = people.join_all().await.concat();

        let done = endings.iter().flatten();
        let done = done.filter(|(_, ending)| *ending == Ending::Completed);
        assert_eq!(done.count(), 12);
        assert_log_is_exact(&desk).await;
        // T7
        for ticket in given {
            let requester =
                format!("SELECT requester_id FROM helpdesk.tickets WHERE id = {ticket}");
            assert_eq!(desk.number(&requester).await, 900, "ticket {ticket}");
        }
        // T9: whatever is left came when its user was a tombstone already.
        let left = "
            SELECT t.id::text FROM helpdesk.tickets t
            JOIN helpdesk.users u ON u.account_id = t.account_id AND u.id = t.requester_id
            WHERE u.merged_at > t.created_at AND t.created_at < u.merged_at - interval '1 hour'";
        assert_eq!(desk.list(left).await, [""; 0]);
        let mut rounds = 0;
        while desk.merger().move_late(None, 3600.0, 1000).await.unwrap().0 > 0 {
            rounds += 1;
            assert!(rounds < 10);
        }
        desk.assert_verified().await;
    }
}
