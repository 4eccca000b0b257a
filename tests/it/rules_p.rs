//! Rules P: what becomes of the profile, through whole merges on a real database.

mod identities;
mod organizations;
mod private;

use serde_json::Value;
use user_merge::merge::Ending;

use crate::harness::{Desk, request};

/// A row of `user_identities`: id, user, value, primary, verified.
type Row = (i64, i64, String, bool, bool);

/// Merges one user into another, and gives back what the event says of the profile.
async fn merge(desk: &Desk, source: i64, target: i64) -> Value {
    let report = desk.run(&request(source, target)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    let mut promised = report.promised.iter();
    let event = promised.find(|message| message.draft.routing_key == "merge.completed");
    let event: Value = serde_json::from_str(&event.unwrap().draft.body).unwrap();
    event["profile"].clone()
}

async fn identities(desk: &Desk) -> Vec<Row> {
    let sql =
        "SELECT id, user_id, value, is_primary, verified FROM helpdesk.user_identities ORDER BY id";
    sqlx::query_as(sql).fetch_all(&desk.pool).await.unwrap()
}

fn row(id: i64, user: i64, value: &str, is_primary: bool, verified: bool) -> Row {
    (id, user, value.to_owned(), is_primary, verified)
}

/// A whole row of `users` as JSON, without what every merge writes there.
async fn user(desk: &Desk, id: i64) -> Value {
    let sql = "SELECT to_jsonb(u) - '{merged_into,merged_at,updated_at}'::text[]
               FROM helpdesk.users u WHERE account_id = 1 AND id = $1";
    let query = sqlx::query_scalar(sql).bind(id);
    query.fetch_one(&desk.pool).await.unwrap()
}
