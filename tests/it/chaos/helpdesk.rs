//! The help desk at work on the users that are being merged: it opens tickets for them, copies them, archives
//! their tickets, and agents give single ones to somebody else.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::harness::Dice;

use super::plan::{BYSTANDERS, Group, Kind};

/// So many groups are worked on: the last ones.
const RECENT: usize = 40;

/// Someone whom the help desk works on.
#[derive(Clone, Copy)]
struct Someone {
    account: i64,
    user: i64,
    /// At the limit: a ticket more before its admission, and its merge would be refused.
    is_full: bool,
}

/// What the help desk did.
#[derive(Default)]
pub struct Deeds {
    pub opened: AtomicU64,
    pub copied: AtomicU64,
    pub archived: AtomicU64,
    pub given_away: AtomicU64,
}

/// The help desk, as often as it is cloned.
#[derive(Clone)]
pub struct HelpDesk {
    pool: PgPool,
    recent: Arc<Mutex<VecDeque<Someone>>>,
    next_ticket: Arc<AtomicI64>,
    pub deeds: Arc<Deeds>,
}

impl HelpDesk {
    pub fn new(pool: &PgPool) -> Self {
        Self {
            pool: pool.clone(),
            recent: Arc::default(),
            next_ticket: Arc::new(AtomicI64::new(1_000_000_000)),
            deeds: Arc::default(),
        }
    }

    /// These users are interesting from now on.
    pub fn turn_to(&self, group: &Group) {
        let mut recent = self.recent.lock().unwrap();
        for person in &group.people {
            recent.push_back(Someone {
                account: group.account,
                user: person.id,
                is_full: group.kind == Kind::Large && person.tickets > 100,
            });
        }
        while recent.len() > RECENT {
            recent.pop_front();
        }
    }

    /// One deed after the other until it is to stop. What the database doesn't commit was not done.
    pub async fn work(self, mut dice: Dice, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = Duration::from_millis(2 + dice.below(15));
            tokio::time::sleep(pause).await;
            let someone = {
                let recent = self.recent.lock().unwrap();
                if recent.is_empty() {
                    continue;
                }
                let at = dice.below(u64::try_from(recent.len()).unwrap());
                recent[usize::try_from(at).unwrap()]
            };
            let done = self.deed(&mut dice, someone).await;
            if done.is_err() {
                // The database is away, or a merge was in the way.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn deed(&self, dice: &mut Dice, someone: Someone) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        // No deed waits for long, or a single merge would hold them all up.
        let limit = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'";
        sqlx::raw_sql(limit).execute(&mut *tx).await?;
        let (done, count) = match dice.below(10) {
            0..4 => (self.open(&mut tx, dice, someone).await?, &self.deeds.opened),
            4..6 => (copy(&mut tx, dice, someone).await?, &self.deeds.copied),
            6..8 => (archive(&mut tx, someone).await?, &self.deeds.archived),
            _ => (
                give_away(&mut tx, dice, someone).await?,
                &self.deeds.given_away,
            ),
        };
        tx.commit().await?;
        count.fetch_add(done, Ordering::Relaxed);
        Ok(())
    }

    async fn open(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        dice: &mut Dice,
        someone: Someone,
    ) -> Result<u64, sqlx::Error> {
        let Someone { account, user, .. } = someone;
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let condition = if someone.is_full {
            format!(
                "EXISTS (SELECT FROM user_merge.merges WHERE account_id = {account} AND source_user_id = {user})"
            )
        } else {
            "true".to_owned()
        };
        let status = dice.pick(&["new", "open", "pending", "solved", "closed"]);
        let opened = execute(
            tx,
            format!(
                "WITH opened AS (
                     INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
                     SELECT {account}, {ticket}, {user}, {user}, '{status}', 'meanwhile' WHERE {condition}
                     RETURNING account_id, id, requester_id
                 )
                 INSERT INTO chaos.tickets (account_id, id, owner) SELECT * FROM opened"
            ),
        )
        .await?;
        Ok(opened)
    }
}

async fn execute(tx: &mut Transaction<'_, Postgres>, sql: String) -> Result<u64, sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}

/// On a ticket of a bystander's.
async fn copy(
    tx: &mut Transaction<'_, Postgres>,
    dice: &mut Dice,
    someone: Someone,
) -> Result<u64, sqlx::Error> {
    let Someone { account, user, .. } = someone;
    let ticket = 1 + dice.below(200);
    // A copy that is there already is not made again, and not counted.
    execute(
        tx,
        format!(
            "WITH copied AS (
                 INSERT INTO helpdesk.ticket_ccs VALUES ({account}, {ticket}, {user})
                 ON CONFLICT DO NOTHING RETURNING *
             )
             INSERT INTO chaos.ccs AS r (account_id, ticket_id, user_id) SELECT * FROM copied
             ON CONFLICT (account_id, ticket_id, user_id) DO UPDATE SET times = r.times + 1"
        ),
    )
    .await
}

/// A ticket that the user has now, the last one; nothing where a merge is at it.
const ANY: &str = "ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED";

async fn archive(tx: &mut Transaction<'_, Postgres>, someone: Someone) -> Result<u64, sqlx::Error> {
    let Someone { account, user, .. } = someone;
    let found = format!(
        "SELECT id FROM helpdesk.tickets WHERE account_id = {account} AND requester_id = {user} {ANY}"
    );
    let found: Option<i64> = sqlx::query_scalar(AssertSqlSafe(found))
        .fetch_optional(&mut **tx)
        .await?;
    let Some(ticket) = found else { return Ok(0) };
    let this = format!("account_id = {account} AND");
    execute(
        tx,
        format!(
            "INSERT INTO helpdesk.archived_tickets
             SELECT t.*, now() FROM helpdesk.tickets t WHERE {this} id = {ticket};
             WITH gone AS (DELETE FROM helpdesk.ticket_ccs WHERE {this} ticket_id = {ticket} RETURNING *)
             INSERT INTO helpdesk.archived_ticket_ccs SELECT * FROM gone;
             DELETE FROM helpdesk.tickets WHERE {this} id = {ticket}"
        ),
    )
    .await?;
    Ok(1)
}

/// To a bystander, whom no request names: so it stays there. Only once for each ticket.
async fn give_away(
    tx: &mut Transaction<'_, Postgres>,
    dice: &mut Dice,
    someone: Someone,
) -> Result<u64, sqlx::Error> {
    let Someone { account, user, .. } = someone;
    let to = dice.pick(&BYSTANDERS.collect::<Vec<_>>());
    execute(
        tx,
        format!(
            "WITH taken AS (
                 SELECT id FROM helpdesk.tickets
                 WHERE account_id = {account} AND requester_id = {user} {ANY}
             ), given AS (
                 UPDATE helpdesk.tickets t SET requester_id = {to}, updated_at = now() FROM taken
                 WHERE t.account_id = {account} AND t.id = taken.id RETURNING t.id
             )
             UPDATE chaos.tickets r SET first = owner, owner = {to}, given = true FROM given
             WHERE r.account_id = {account} AND r.id = given.id"
        ),
    )
    .await
}
