//! Whose the accounts of a database are, and new ones for a run.

use sqlx::PgConnection;

use crate::store::Result;

/// What the demo's accounts are called, before the number of their run.
const MARK: &str = "user-merge demo ";

/// One of a run's accounts.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id, new for each run.
    pub id: i64,
    /// What it's called.
    pub name: &'static str,
    /// How its users sign on.
    pub sign_on: &'static [&'static str],
    /// Whether a user may be in several organizations (rule P7).
    pub multiple_organizations: bool,
    /// Ordinary users.
    pub people: i64,
    /// How many of them come with a duplicate, which is one of them too.
    pub pairs: i64,
}

/// Whose the accounts of the database are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// Accounts that no demo has made.
    pub others: i64,
    /// The highest account id.
    pub highest: i64,
}

/// Tells the demo's accounts from all others by their names.
pub async fn ownership(connection: &mut PgConnection) -> Result<Ownership> {
    let found = sqlx::query_as!(
        Ownership,
        r#"
        /* demo */
        SELECT count(*) FILTER (WHERE NOT starts_with(name, $1)) AS "others!",
               coalesce(max(id), 0) AS "highest!"
        FROM helpdesk.accounts
        "#,
        MARK,
    )
    .fetch_one(connection)
    .await?;
    Ok(found)
}

/// Makes the accounts of a run with their organizations.
pub async fn make_accounts(
    connection: &mut PgConnection,
    run: i64,
    accounts: &[Account],
    organizations: &[&str],
) -> Result<()> {
    let ids: Vec<i64> = accounts.iter().map(|account| account.id).collect();
    let names: Vec<String> = accounts
        .iter()
        .map(|account| format!("{MARK}{run}: {}", account.name))
        .collect();
    let sign_on: Vec<String> = accounts
        .iter()
        .map(|account| account.sign_on.join(","))
        .collect();
    let several: Vec<bool> = accounts
        .iter()
        .map(|account| account.multiple_organizations)
        .collect();
    sqlx::query!(
        "/* demo */ INSERT INTO helpdesk.accounts (id, name, sign_on, multiple_organizations)
         SELECT a.id, a.name, string_to_array(a.sign_on, ','), a.several
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[]) AS a (id, name, sign_on, several)",
        &ids,
        &names,
        &sign_on,
        &several,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "/* demo */ INSERT INTO helpdesk.organizations (account_id, id, name)
         SELECT account, n, name
         FROM unnest($1::bigint[]) AS account, unnest($2::text[]) WITH ORDINALITY AS o (name, n)",
        &ids,
        organizations as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}
