//! The roles of `deploy/postgres`, under names of their own: roles belong to the whole server.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::harness::Desk;

const ROLES: &str = include_str!("../../../deploy/postgres/roles.sql");
const GRANTS: &str = include_str!("../../../deploy/postgres/grants.sql");
const KINDS: [&str; 4] = ["owner", "worker", "reader", "verifier"];

static NEXT: AtomicU32 = AtomicU32::new(0);

/// One test's roles. Make it before the desk: a role can only go once the database is gone in which it has rights.
pub struct Roles {
    suffix: String,
    server: String,
}

impl Roles {
    /// Names; nothing is made yet.
    pub fn name() -> Self {
        let suffix = format!(
            "{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let server = std::env::var("USER_MERGE__DATABASE__URL").unwrap();
        Self { suffix, server }
    }

    /// One role's name.
    pub fn role(&self, kind: &str) -> String {
        format!("user_merge_{kind}_{}", self.suffix)
    }

    /// The rollout of the README: roles, then both migrations as the owner, then the grants, as the owner too.
    /// What the desk had is gone.
    pub async fn roll_out(&self, desk: &Desk) {
        desk.execute("DROP SCHEMA user_merge CASCADE; DROP SCHEMA helpdesk CASCADE")
            .await;
        self.make(desk).await;
        let owner = self.connect(desk, "owner").await;
        user_merge::store::migrate::helpdesk(&owner).await.unwrap();
        user_merge::store::migrate::user_merge(&owner)
            .await
            .unwrap();
        self.grant(&owner).await;
        owner.close().await;
        desk.account(1, &["password"], false).await;
    }

    /// The rollout beside a help desk that somebody else owns.
    pub async fn roll_out_beside_help_desk(&self, desk: &Desk) {
        desk.execute("DROP SCHEMA user_merge CASCADE").await;
        self.make(desk).await;
        let owner = self.connect(desk, "owner").await;
        user_merge::store::migrate::user_merge(&owner)
            .await
            .unwrap();
        owner.close().await;
        self.grant(&desk.pool).await;
    }

    /// The roles, each with a password, and the test's own role a member of all: it may create roles, and need
    /// not be a superuser.
    async fn make(&self, desk: &Desk) {
        desk.execute(&self.script(ROLES)).await;
        for kind in KINDS {
            let role = self.role(kind);
            desk.execute(&format!(
                "ALTER ROLE {role} PASSWORD 'secret'; GRANT {role} TO CURRENT_USER"
            ))
            .await;
        }
    }

    /// Runs the grants' script.
    pub async fn grant(&self, pool: &PgPool) {
        pool.execute(AssertSqlSafe(self.script(GRANTS)))
            .await
            .unwrap();
    }

    /// The desk's URL for one of the roles.
    pub fn url(&self, desk: &Desk, kind: &str) -> String {
        let options: PgConnectOptions = desk.url().parse().unwrap();
        options
            .username(&self.role(kind))
            .password("secret")
            .to_url_lossy()
            .to_string()
    }

    /// Connections as one of the roles.
    pub async fn connect(&self, desk: &Desk, kind: &str) -> PgPool {
        PgPoolOptions::new()
            .max_connections(2)
            .connect(&self.url(desk, kind))
            .await
            .unwrap()
    }

    fn script(&self, script: &str) -> String {
        KINDS.iter().fold(script.to_owned(), |script, kind| {
            script.replace(&format!("user_merge_{kind}"), &self.role(kind))
        })
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        let server = self.server.clone();
        let roles = KINDS.map(|kind| self.role(kind)).join(", ");
        // Not on the test's runtime: it may be unwinding.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let pool = PgPool::connect(&server).await.unwrap();
                let sql = format!("DROP ROLE IF EXISTS {roles}");
                pool.execute(AssertSqlSafe(sql)).await.unwrap();
                pool.close().await;
            });
        });
        drop(dropped.join());
    }
}
