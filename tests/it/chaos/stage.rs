//! A pair of servers that may be killed, the help desk on it, and the test's own record of what belongs to whom.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection};
use user_merge::config::Settings;
use user_merge::store;

use crate::harness::{OwnServers, eventually};

use super::plan::{ACCOUNTS, AGENT, BYSTANDERS, Group, TOO_MANY, UNVERIFIED};
use super::size::Size;

/// What the test remembers, written in the transactions of the help desk themselves: who a ticket belongs to, as
/// the help desk means it, and who was copied how often. No merge touches it.
pub const RECORD: &str = "
    CREATE SCHEMA chaos;
    CREATE TABLE chaos.tickets (account_id bigint, id bigint, owner bigint NOT NULL,
        first bigint, given boolean NOT NULL DEFAULT false, PRIMARY KEY (account_id, id));
    CREATE TABLE chaos.ccs (account_id bigint, ticket_id bigint, user_id bigint, times bigint NOT NULL DEFAULT 1,
        PRIMARY KEY (account_id, ticket_id, user_id));
    CREATE TABLE chaos.fate (account_id bigint, user_id bigint, final bigint NOT NULL,
        PRIMARY KEY (account_id, user_id));
    INSERT INTO helpdesk.accounts (id, name) VALUES (1, 'one'), (2, 'two') ON CONFLICT DO NOTHING";

/// The ground that a run stands on.
pub struct Stage {
    pub servers: Arc<OwnServers>,
    pub pool: PgPool,
    /// The direct way to the broker.
    pub broker: String,
    pub settings: Settings,
}

impl Stage {
    /// Starts servers and makes the help desk.
    pub async fn set(size: Size) -> Self {
        let servers = tokio::task::spawn_blocking(OwnServers::start)
            .await
            .unwrap();
        let database = servers.address("USER_MERGE__DATABASE__URL");
        let broker = servers.address("USER_MERGE__BROKER__URL");
        let pool = PgPoolOptions::new()
            .max_connections(12)
            .connect(&database)
            .await
            .unwrap();
        store::migrate::helpdesk(&pool).await.unwrap();
        store::migrate::user_merge(&pool).await.unwrap();
        let stage = Self {
            servers: Arc::new(servers),
            pool,
            settings: settings(&database, &broker, size),
            broker,
        };
        stage.declare().await;
        sqlx::raw_sql(RECORD).execute(&stage.pool).await.unwrap();
        let sql = residents(size.limit + 1);
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&stage.pool)
            .await
            .unwrap();
        stage
    }

    async fn declare(&self) {
        let broker = user_merge::app::broker(&self.settings).unwrap();
        let connection = user_merge::broker::Connection::open(&broker, "chaos")
            .await
            .unwrap();
        user_merge::broker::declare(&connection, &broker)
            .await
            .unwrap();
        connection.close().await;
    }

    /// Makes a group's users and tickets, all or nothing, whatever happens to the server meanwhile.
    pub async fn people(&self, group: &Group) {
        let sql = people(group);
        let is_there = match group.people.first() {
            Some(person) => exists(group.account, person.id),
            None => return,
        };
        eventually("a group's users", || async {
            let mut connection = self.pool.acquire().await.ok()?;
            let found = sqlx::query_scalar(AssertSqlSafe(is_there.as_str()));
            let is_made: bool = found.fetch_one(&mut *connection).await.ok()?;
            if !is_made {
                transaction(&mut connection, &sql).await.ok()?;
            }
            Some(())
        })
        .await;
    }

    /// One number, asked until the server answers.
    pub async fn number(&self, sql: &str) -> i64 {
        eventually("an answer of the database", || async {
            let asked = sqlx::query_scalar(AssertSqlSafe(sql));
            asked.fetch_one(&self.pool).await.ok()
        })
        .await
    }
}

/// Makes agents, bystanders with tickets, and those who must not be merged.
pub fn residents(too_many: i64) -> String {
    let (first, after) = (BYSTANDERS.start, BYSTANDERS.end);
    let of_account = |account: i64| {
        format!(
            "INSERT INTO helpdesk.users (account_id, id, role, name, verified)
             SELECT {account}, id, 'end_user', 'bystander', true FROM generate_series({first}, {after} - 1) id
             UNION ALL SELECT {account}, {AGENT}, 'agent', 'agent', true
             UNION ALL SELECT {account}, {UNVERIFIED}, 'end_user', 'unverified', false
             UNION ALL SELECT {account}, {TOO_MANY}, 'end_user', 'too many', true;
             INSERT INTO chaos.tickets (account_id, id, owner)
             SELECT {account}, id, {first} + id % ({after} - {first}) FROM generate_series(1, 200) id
             UNION ALL SELECT {account}, 1000 + n, {TOO_MANY} FROM generate_series(1, {too_many}) n;
             {}",
            tickets_of_record(account, "id < 900000")
        )
    };
    ACCOUNTS.map(of_account).concat()
}

fn exists(account: i64, user: i64) -> String {
    format!(
        "SELECT EXISTS (SELECT FROM helpdesk.users WHERE account_id = {account} AND id = {user})"
    )
}

/// Statements that are one transaction.
async fn transaction(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    // Several statements in one message are one transaction already.
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.map(drop)
}

/// The help desk's tickets that the record has and the help desk doesn't.
fn tickets_of_record(account: i64, which: &str) -> String {
    format!(
        "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
         SELECT {account}, id, owner, owner,
                (ARRAY['new', 'open', 'pending', 'solved', 'closed'])[1 + id % 5], 'subject'
         FROM chaos.tickets WHERE account_id = {account} AND {which};"
    )
}

/// Makes a group's users, their tickets and CCs, and the record of them.
pub fn people(group: &Group) -> String {
    let (account, first_ticket) = (group.account, 1_000_000 + group.number * 30_000);
    let mut sql = String::new();
    let mut next = first_ticket;
    for person in &group.people {
        let (id, live, all) = (person.id, person.tickets, person.tickets + person.archived);
        let (archive, end) = (next + live, next + all);
        // Copies on a bystander's tickets, and on the first ones of the person before, who may be the target.
        let copies = format!(
            "SELECT {account}, n, {id} FROM generate_series(1 + {id} % 190, 3 + {id} % 190) n"
        );
        sql += &format!(
            "INSERT INTO helpdesk.users (account_id, id, name, verified, tags, notes)
             VALUES ({account}, {id}, 'user {id}', true, '{{t{id}}}', 'note');
             INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary)
             VALUES ({account}, {id}, 'email', 'u{id}@a{account}.example', true),
                    ({account}, {id}, 'phone', '+4930{id:08}', true), ({account}, {id}, 'x', 'x{id}', true);
             INSERT INTO chaos.tickets (account_id, id, owner)
             SELECT {account}, n, {id} FROM generate_series({next}, {end} - 1) n;
             {live_tickets}
             INSERT INTO helpdesk.archived_tickets
                 (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
             SELECT {account}, n, {id}, {id}, 'closed', 'subject', now(), now()
             FROM generate_series({archive}, {end} - 1) n;
             INSERT INTO chaos.ccs (account_id, ticket_id, user_id) {copies}; INSERT INTO helpdesk.ticket_ccs {copies};",
            live_tickets = tickets_of_record(account, &format!("id >= {next} AND id < {archive}")),
        );
        if let Some(live) = (next > first_ticket)
            .then(|| format!("SELECT {account}, id, {id} FROM helpdesk.tickets WHERE account_id = {account} AND id >= {first_ticket} AND id < {next} AND id < {first_ticket} + 3"))
        {
            sql += &format!("INSERT INTO chaos.ccs (account_id, ticket_id, user_id) {live}; INSERT INTO helpdesk.ticket_ccs {live};");
        }
        next = end;
    }
    sql
}

/// Limits short enough that what is lost is noticed within a run, and few connections for each worker.
fn settings(database: &str, broker: &str, size: Size) -> Settings {
    let limit = size.limit.to_string();
    let set = |key: &str, value: &str| (format!("USER_MERGE__{key}"), value.to_owned());
    let environment = [
        set("DATABASE__URL", database),
        set("DATABASE__MAX_CONNECTIONS", "14"),
        set("DATABASE__CONNECT_TIMEOUT", "2s"),
        set("DATABASE__STATEMENT_TIMEOUT", "5s"),
        set("BROKER__URL", broker),
        set("BROKER__HEARTBEAT", "1s"),
        set("BROKER__CONNECT_TIMEOUT", "2s"),
        set("BROKER__PUBLISH_TIMEOUT", "2s"),
        set("LANES__INTERACTIVE__CONCURRENCY", "6"),
        set("LANES__INTERACTIVE__PREFETCH", "8"),
        set("LANES__BULK__CONCURRENCY", "3"),
        set("LANES__BULK__PREFETCH", "4"),
        set("MERGE__TICKET_LIMIT", &limit),
        set("MERGE__SLICE", "1s"),
        set("CHUNK__INITIAL", "50"),
        set("CHUNK__MIN", "20"),
        set("CHUNK__MAX", "400"),
        set("CHUNK__TARGET_TIME", "10ms"),
        set("RETRY__DELAYS", "1s,2s"),
        set("RETRY__CONFLICT_DELAY", "1s"),
        set("RELAY__INTERVAL", "250ms"),
        set("RELAY__LEASE", "3s"),
        set("SWEEP__INTERVAL", "1s"),
        set("SWEEP__STRANDED_AFTER", "10s"),
        set("WORKER__GRACE", "5s"),
        set("TELEMETRY__LISTEN", ""),
        set("TELEMETRY__LOG_FORMAT", "json"),
    ];
    Settings::from_sources(None, environment.into_iter()).unwrap()
}

/// How long a queue may take to have a leader after its declaration: one that is killed before is stuck.
pub const SETTLED: Duration = Duration::from_secs(2);
