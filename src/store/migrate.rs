//! Makes the schemas. Each keeps its own record of what was applied, in a table of its own.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPool;

static HELPDESK: Migrator = sqlx::migrate!("deploy/migrations/helpdesk");
static USER_MERGE: Migrator = sqlx::migrate!("deploy/migrations/user_merge");

/// A schema that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The worker's own tables refer to the help desk's.
    #[error(
        "the help desk's relations are missing (schema helpdesk): offer them as tables or updatable views, \
         or, for a new installation, make the reference help desk with `user-merge migrate --with-helpdesk`"
    )]
    NoHelpDesk,
    /// Anything else, each cause once: the library's errors repeat their source.
    #[error("schema {schema} could not be made: {why}")]
    Failed {
        /// Which one.
        schema: &'static str,
        /// What the library says.
        why: String,
    },
}

impl Error {
    fn of(schema: &'static str, error: &MigrateError) -> Self {
        let cause = match error {
            MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => Some(cause),
            _ => None,
        };
        let database = cause.and_then(sqlx::Error::as_database_error);
        let code = database.and_then(sqlx::error::DatabaseError::code);
        if schema == "user_merge" && matches!(code.as_deref(), Some("42P01" | "3F000")) {
            return Self::NoHelpDesk;
        }
        let why = match (database, error) {
            (Some(database), MigrateError::ExecuteMigration(_, version)) => {
                format!("migration {version}: {}", database.message())
            }
            (Some(database), _) => database.message().to_owned(),
            (None, error) => error.to_string(),
        };
        Self::Failed { schema, why }
    }
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
        .map_err(|error| Error::of(schema, &error))
}
