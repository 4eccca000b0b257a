//! A lane's breaker (rule R7): what hits all merges alike burns the attempts of a few at most.

use super::{lines, missing};
use crate::harness::{Desk, Process, Queues, eventually, request};
use crate::telemetry::{metric, until_merges, until_metric};

const ATTEMPTS: &str = "SELECT coalesce(sum(attempts), 0)::bigint FROM user_merge.merges";
const OPENINGS: &str = "user_merge_breaker_openings_total";
const OPEN: &str = "user_merge_breaker_open";

/// Users 1 to 2 * `merges`, and a request for each of the first half into one of the second.
async fn backlog(desk: &Desk, queues: &Queues, merges: i64) {
    let sql = format!(
        "INSERT INTO helpdesk.users (account_id, id, name, verified)
         SELECT 1, id, 'user', true FROM generate_series(1, {merges} * 2) id"
    );
    desk.execute(&sql).await;
    for id in 1..=merges {
        queues.send(&request(id, id + merges)).await;
    }
}

/// Merges of these sources fail with this SQLSTATE, until the trigger is dropped.
async fn fail_all(desk: &Desk, sqlstate: &str, sources: &str) {
    desk.execute(&format!(
        "CREATE FUNCTION helpdesk.fail() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END$$;
         CREATE TRIGGER fail BEFORE UPDATE ON helpdesk.users FOR EACH ROW
             WHEN (NEW.merged_into IS NOT NULL AND {sources}) EXECUTE FUNCTION helpdesk.fail()"
    ))
    .await;
}

async fn mend(desk: &Desk) {
    desk.execute("DROP TRIGGER fail ON helpdesk.users").await;
}

/// R7: the database goes away twice in the middle of a backlog: not one attempt is counted, and all is done.
#[tokio::test]
async fn r7_an_outage_burns_no_attempt_of_a_backlog() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.database.connect_timeout = std::time::Duration::from_millis(300);
    desk.settings.retry.max_attempts = 1;
    let worker = Process::worker(&desk).ready().await;
    backlog(&desk, &queues, 50).await;
    desk.users([101, 102, 111, 112]).await;
    for round in 1..=2 {
        desk.shut().await;
        queues.send(&request(100 + round, 110 + round)).await;
        until_metric(&worker, OPENINGS, "interactive", round.unsigned_abs()).await;
        missing(&worker, &["taking bulk", "taking interactive", "database"]).await;
        assert_eq!(metric(&worker, OPEN, "").await, 2);
        desk.reopen().await;
        eventually("a ready worker", || async {
            worker.is_ready().await.then_some(())
        })
        .await;
    }
    until_merges(&desk, "completed", 52).await;
    assert_eq!(desk.number(ATTEMPTS).await, 0);
    assert_eq!(metric(&worker, OPEN, "").await, 0);
    assert!(queues.peek("user-merge.dead").await.is_none());
    assert_eq!(metric(&worker, "user_merge_put_off_total", "").await, 0);
    // One line a lane for each change, however many waited.
    let openings = metric(&worker, OPENINGS, "").await;
    let told = lines(&worker, "the database is away");
    assert_eq!(u64::try_from(told).unwrap(), openings);
    assert_eq!(lines(&worker, "the database answers again"), told);
}

/// R7: a full disk costs a handful of attempts and not those of the whole backlog. The other lane goes on.
#[tokio::test]
async fn r7_a_full_disk_burns_the_attempts_of_a_few() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.retry.immediate = 1;
    desk.settings.retry.breaker_pause = std::time::Duration::from_secs(1);
    fail_all(&desk, "53100", "NEW.id <= 40").await;
    let worker = Process::worker(&desk).ready().await;
    backlog(&desk, &queues, 40).await;
    desk.users([101, 102]).await;
    until_metric(
        &worker,
        OPENINGS,
        "lane=\"interactive\",cause=\"disk_full\"",
        1,
    )
    .await;
    missing(&worker, &["taking interactive"]).await;
    let body = user_merge::message::request::encode(&request(101, 102));
    let properties = lapin::BasicProperties::default();
    queues
        .publish("user-merge.requests.bulk", &body, properties)
        .await;
    until_merges(&desk, "completed", 1).await;

    until_metric(&worker, OPENINGS, "interactive", 4).await;
    // Before the first opening fewer than it takes, and one for each trial since.
    let attempts = desk.number(ATTEMPTS).await;
    let openings = i64::try_from(metric(&worker, OPENINGS, "interactive").await).unwrap();
    let most = i64::from(desk.settings.retry.breaker_after) - 1 + openings;
    assert!((4..=most).contains(&attempts), "{attempts} of {most}");
    assert_eq!(metric(&worker, OPENINGS, "bulk").await, 0);
    assert!(queues.peek("user-merge.dead").await.is_none());

    mend(&desk).await;
    until_merges(&desk, "completed", 41).await;
    eventually("a closed breaker", || async {
        (worker.is_ready().await && lines(&worker, "merges succeed again") == 1).then_some(())
    })
    .await;
    let opened = metric(&worker, OPENINGS, "interactive").await;
    let told = lines(&worker, "merges fail one after the other");
    assert_eq!(u64::try_from(told).unwrap(), opened);
    assert!(desk.number(ATTEMPTS).await <= most + 8);
}

/// R7: a change that all merges stumble over fails a few of them for good, and not the whole backlog.
#[tokio::test]
async fn r7_a_refusal_that_lasts_does_not_fail_the_whole_backlog() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.execute("ALTER TABLE helpdesk.user_identities RENAME COLUMN kind TO sort")
        .await;
    let worker = Process::worker(&desk).ready().await;
    backlog(&desk, &queues, 30).await;
    until_metric(&worker, OPENINGS, "schema", 2).await;
    desk.execute("ALTER TABLE helpdesk.user_identities RENAME COLUMN sort TO kind")
        .await;
    eventually("an end of each", || async {
        let open = "SELECT count(*) FROM user_merge.merges WHERE state IN ('completed', 'failed')";
        (desk.number(open).await == 30).then_some(())
    })
    .await;
    let failed = "SELECT count(*) FROM user_merge.merges WHERE state = 'failed'";
    let failed = desk.number(failed).await;
    assert!((4..=8).contains(&failed), "{failed} failed");
}

/// R7: what only some rows bring about opens nothing, however often.
#[tokio::test]
async fn r7_what_is_a_merges_own_fault_opens_no_breaker() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    fail_all(&desk, "23514", "NEW.id <= 10").await;
    let worker = Process::worker(&desk).ready().await;
    backlog(&desk, &queues, 12).await;
    until_merges(&desk, "failed", 10).await;
    until_merges(&desk, "completed", 2).await;
    assert_eq!(metric(&worker, OPENINGS, "").await, 0);
    assert!(worker.is_ready().await);
}

/// R7: one merge that fails again and again is one that fails, and no reason to stop the lane.
#[tokio::test]
async fn r7_one_merge_alone_opens_no_breaker() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.retry.immediate = 1;
    desk.settings.retry.breaker_after = 2;
    desk.settings.retry.max_attempts = 3;
    fail_all(&desk, "40001", "NEW.id = 1").await;
    let worker = Process::worker(&desk).ready().await;
    backlog(&desk, &queues, 1).await;
    until_merges(&desk, "failed", 1).await;
    assert_eq!(metric(&worker, OPENINGS, "").await, 0);
}

/// R7: a database that answers and takes no writes is away, for as long as it takes none.
#[tokio::test]
async fn r7_a_read_only_database_is_waited_for() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.retry.max_attempts = 1;
    let worker = Process::worker(&desk).ready().await;
    let read_only = async |on: &str| {
        let sql = format!("ALTER DATABASE %I SET default_transaction_read_only = {on}");
        let sql = format!(
            "BEGIN READ WRITE; DO $$BEGIN EXECUTE format('{sql}', current_database()); END$$; COMMIT"
        );
        desk.execute(&sql).await;
        desk.end_connections().await;
    };
    read_only("on").await;
    missing(&worker, &["database"]).await;
    backlog(&desk, &queues, 20).await;
    until_metric(&worker, OPENINGS, "", 2).await;
    missing(&worker, &["taking bulk", "taking interactive", "database"]).await;
    // It stays so: that the server answers is not enough.
    for _ in 0..20 {
        assert_eq!(metric(&worker, OPEN, "").await, 2);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    read_only("off").await;
    until_merges(&desk, "completed", 20).await;
    assert_eq!(desk.number(ATTEMPTS).await, 0);
}

/// R7: no connection to be had.
#[tokio::test]
async fn r7_too_many_connections_are_waited_for() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.database.connect_timeout = std::time::Duration::from_millis(300);
    desk.settings.retry.max_attempts = 1;
    let worker = Process::worker(&desk).ready().await;
    let limit = async |connections: i64| {
        let sql = format!("ALTER DATABASE %I CONNECTION LIMIT {connections}");
        desk.execute(&format!(
            "DO $$BEGIN EXECUTE format('{sql}', current_database()); END$$"
        ))
        .await;
    };
    limit(0).await;
    desk.end_connections().await;
    missing(&worker, &["database"]).await;
    backlog(&desk, &queues, 20).await;
    until_metric(&worker, OPENINGS, "interactive", 1).await;
    missing(&worker, &["taking bulk", "taking interactive", "database"]).await;
    limit(-1).await;
    until_merges(&desk, "completed", 20).await;
    assert_eq!(desk.number(ATTEMPTS).await, 0);
}

/// R7: one connection that an operator ends, in the middle of a merge.
#[tokio::test]
async fn r7_a_terminated_backend_costs_no_attempt() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.retry.max_attempts = 1;
    desk.settings.database.lock_timeout = std::time::Duration::from_secs(20);
    let worker = Process::worker(&desk).ready().await;
    desk.users([1, 2]).await;
    let locked = desk
        .begin_with("SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE")
        .await;
    queues.send(&request(1, 2)).await;
    desk.merge_waits_for(&locked).await;
    desk.end_connections().await;
    until_metric(&worker, OPENINGS, "cause=\"connection\"", 2).await;
    desk.merge_waits_for(&locked).await;
    locked.rollback().await;
    until_merges(&desk, "completed", 1).await;
    assert_eq!(desk.number(ATTEMPTS).await, 0);
}

/// R7: what looks like an outage and is one merge's alone comes to an end, and holds nobody up for ever.
#[tokio::test]
async fn r7_an_outage_of_one_merge_alone_counts_in_the_end() {
    let mut desk = Desk::open().await;
    let queues = Queues::open(&mut desk).await;
    desk.settings.retry.max_attempts = 1;
    fail_all(&desk, "57P03", "NEW.id = 1").await;
    let worker = Process::worker(&desk).ready().await;
    backlog(&desk, &queues, 10).await;
    until_merges(&desk, "failed", 1).await;
    until_merges(&desk, "completed", 9).await;
    assert_eq!(
        desk.number("SELECT source_user_id FROM user_merge.merges WHERE state = 'failed'")
            .await,
        1
    );
    drop(worker);
}
