//! Makes the schemas. Each keeps its own record of what was applied, in a table of its own.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPool;

static HELPDESK: Migrator = sqlx::migrate!("deploy/migrations/helpdesk");
static USER_MERGE: Migrator = sqlx::migrate!("deploy/migrations/user_merge");

/// A schema that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("schema {schema}: {source}")]
pub struct Error {
    schema: &'static str,
    source: MigrateError,
}

/// The reference help desk, `helpdesk`.
pub async fn helpdesk(pool: &PgPool) -> Result<(), Error> {
    run(pool, &HELPDESK, "helpdesk", "helpdesk._migrations").await
}

/// The worker's own tables, `user_merge`. The help desk's relations must be there already.
pub async fn user_merge(pool: &PgPool) -> Result<(), Error> {
    run(pool, &USER_MERGE, "user_merge", "user_merge._migrations").await
}

async fn run(
    pool: &PgPool,
    migrations: &Migrator,
    schema: &'static str,
    table: &'static str,
) -> Result<(), Error> {
    let mut migrator = Migrator::with_migrations(migrations.iter().cloned().collect());
    migrator.create_schema(schema);
    migrator.dangerous_set_table_name(table);
    migrator
        .run(pool)
        .await
        .map_err(|source| Error { schema, source })
}
