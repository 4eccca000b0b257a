//! Rules R: requests and retries.

mod continued;
mod hostile;
mod keys;
mod lasting;
mod pairs;
mod passing;
mod premature;
mod properties;
mod server_crash;
mod taken_over;
mod unreadable;

use sqlx::postgres::{PgPool, Postgres};
use sqlx::{AssertSqlSafe, Transaction};

use crate::harness::{Desk, eventually};

/// A transaction of the help desk's own that has run this statement and stays open: what it locked is locked
/// until it is rolled back.
pub async fn open_transaction(pool: &PgPool, sql: &str) -> Transaction<'static, Postgres> {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction
}

/// Waits until this many connections to the test's database wait for a lock.
pub async fn waiting_for_locks(desk: &Desk, count: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually(&format!("{count} waiting for locks"), || async {
        (desk.number(sql).await == count).then_some(())
    })
    .await;
}

/// T2: each ticket that moved has one entry and no more, however often its merge was tried.
pub async fn assert_each_moved_once(desk: &Desk, tickets: i64) {
    let of_target = "SELECT (SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2)
                          + (SELECT count(*) FROM helpdesk.archived_tickets WHERE requester_id = 2)";
    assert_eq!(desk.number(of_target).await, tickets);
    let logged = "SELECT count(*) FROM helpdesk.ticket_events WHERE field = 'requester_id'";
    assert_eq!(desk.number(logged).await, tickets);
    let distinct =
        "SELECT count(DISTINCT ticket_id) FROM helpdesk.ticket_events WHERE field = 'requester_id'";
    assert_eq!(desk.number(distinct).await, tickets);
}
