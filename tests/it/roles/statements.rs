//! Every statement of the program against every grant, in both directions.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::setup::Roles;
use crate::harness::Desk;

/// The mark of the verifier's statements.
const VERIFY: &str = "/* verify */";

/// The program's statements as the build checked them (`.sqlx`), each with the number of its parameters; without
/// the demo's, which makes a help desk and needs an owner's rights. Those of `user-merge verify`, or all others.
fn statements(of_verifier: bool) -> Vec<(String, usize)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx");
    let mut statements = Vec::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let parameters = json["describe"]["parameters"]["Left"].as_array().unwrap();
        let query = json["query"].as_str().unwrap().to_owned();
        let (is_demos, is_verifiers) = (
            query.trim_start().starts_with("/* demo */"),
            query.trim_start().starts_with(VERIFY),
        );
        if !is_demos && is_verifiers == of_verifier {
            statements.push((query, parameters.len()));
        }
    }
    let least = if of_verifier { 6 } else { 20 };
    assert!(statements.len() > least, "only {}", statements.len());
    statements
}

/// Prepares each, and returns how to run them: explained, which asks for the same rights and changes nothing.
async fn prepare(connection: &mut PgConnection, of_verifier: bool) -> Vec<(String, String)> {
    execute(connection, "SET plan_cache_mode = force_generic_plan").await;
    let mut explained = Vec::new();
    for (at, (query, parameters)) in statements(of_verifier).into_iter().enumerate() {
        execute(connection, &format!("PREPARE s{at} AS {query}")).await;
        let nulls = vec!["NULL"; parameters].join(", ");
        let call = if parameters == 0 {
            format!("s{at}")
        } else {
            format!("s{at}({nulls})")
        };
        explained.push((format!("EXPLAIN EXECUTE {call}"), query));
    }
    explained
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// Whether a statement is refused for want of a right. Any other error is the test's.
async fn is_refused(connection: &mut PgConnection, sql: &str) -> bool {
    match connection.execute(AssertSqlSafe(sql)).await {
        Ok(_) => false,
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => true,
        Err(error) => panic!("{error}: {sql}"),
    }
}

/// Every right on a relation or a column that a role was granted, as `REVOKE` takes it.
async fn grants(connection: &mut PgConnection, role: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s ON %s', a.privilege_type, c.oid::regclass)
         FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = $1::regrole
         UNION ALL
         SELECT format('%s (%I) ON %s', a.privilege_type, t.attname, t.attrelid::regclass)
         FROM pg_attribute t, aclexplode(t.attacl) a WHERE a.grantee = $1::regrole",
    )
    .bind(role)
    .fetch_all(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_statement_is_granted_and_every_grant_is_needed() {
    statements_and_grants_fit("worker", 50).await;
}

#[tokio::test]
async fn the_verifier_may_read_what_it_looks_at_and_nothing_else() {
    statements_and_grants_fit("verifier", 40).await;
}

async fn statements_and_grants_fit(kind: &str, least: usize) {
    let roles = Roles::name();
    let desk = Desk::open().await;
    roles.roll_out(&desk).await;
    // Twice is as once.
    roles.grant(&desk.pool).await;
    let mut connection = PgConnection::connect(&desk.url()).await.unwrap();
    let statements = prepare(&mut connection, kind == "verifier").await;
    let role = roles.role(kind);

    execute(&mut connection, &format!("SET ROLE {role}")).await;
    for (explain, query) in &statements {
        assert!(
            !is_refused(&mut connection, explain).await,
            "not granted: {query}"
        );
    }
    execute(&mut connection, "RESET ROLE").await;

    let grants = grants(&mut connection, &role).await;
    assert!(grants.len() > least, "{grants:?}");
    for grant in grants {
        let take_away = format!("BEGIN; REVOKE {grant} FROM {role}; SET LOCAL ROLE {role}");
        execute(&mut connection, &take_away).await;
        let mut needed = false;
        for (explain, _) in &statements {
            needed = is_refused(&mut connection, explain).await;
            if needed {
                break;
            }
        }
        execute(&mut connection, "ROLLBACK").await;
        assert!(needed, "no statement needs {grant}");
    }
    connection.close().await.unwrap();
}
