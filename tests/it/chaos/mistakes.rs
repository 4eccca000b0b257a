//! The ledger's looks at the database find what they are for: each is shown a mistake.

use sqlx::AssertSqlSafe;

use super::audit::{LOOKS, audit, record_fate};
use super::plan::{Ask, Group, Kind, Person};
use super::stage::{RECORD, people, residents};
use crate::harness::{Desk, request};

/// User 1000 has been merged into 1001; ticket 1000000 was the first one's. One mistake for each look, in order.
const MISTAKES: [&str; 17] = [
    "UPDATE helpdesk.tickets SET requester_id = 100 WHERE account_id = 1 AND id = 1000000",
    "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject) VALUES (2, 7007, 100, 100, '')",
    "DELETE FROM helpdesk.ticket_ccs WHERE account_id = 1 AND user_id = 1001",
    "INSERT INTO helpdesk.ticket_ccs VALUES (1, 150, 101)",
    "UPDATE helpdesk.ticket_ccs SET user_id = 1000 WHERE account_id = 1 AND user_id = 1001",
    "INSERT INTO helpdesk.ticket_events (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
     SELECT account_id, ticket_id, field, '5', '5', via, merge_id, true FROM helpdesk.ticket_events
     WHERE ticket_id = 1000000 AND field = 'requester_id'",
    "UPDATE helpdesk.ticket_events SET new_value = '100' WHERE ticket_id = 1000000 AND field = 'requester_id'",
    "DELETE FROM helpdesk.ticket_events WHERE field = 'cc'",
    "UPDATE helpdesk.ticket_events SET suppress_triggers = false WHERE ticket_id = 1000000",
    "UPDATE user_merge.merges SET live = live + 1",
    "UPDATE helpdesk.user_identities SET user_id = 1000 WHERE account_id = 1 AND kind = 'email'",
    "DELETE FROM helpdesk.user_identities WHERE account_id = 1 AND kind = 'phone'",
    "UPDATE helpdesk.users SET merged_into = NULL WHERE account_id = 1 AND id = 1000",
    "UPDATE helpdesk.users SET tags = '{}' WHERE account_id = 1 AND id = 1001",
    "UPDATE user_merge.outbox SET published_at = NULL",
    "DELETE FROM user_merge.outbox WHERE destination = 'deletion'",
    "UPDATE user_merge.merges SET state = 'running'",
];

#[tokio::test]
async fn every_look_of_the_ledger_finds_its_mistake() {
    let desk = Desk::open().await;
    let person = |id| Person {
        id,
        tickets: 4,
        archived: 2,
    };
    let group = Group {
        number: 0,
        account: 1,
        kind: Kind::Small,
        queue: "",
        people: vec![person(1000), person(1001)],
        asks: Vec::<Ask>::new(),
        junk: Vec::new(),
    };
    desk.execute(RECORD).await;
    desk.execute(&residents(10)).await;
    desk.execute(&people(&group)).await;
    desk.run(&request(1000, 1001)).await.unwrap();
    desk.execute("UPDATE user_merge.outbox SET published_at = now()")
        .await;
    let mut connection = desk.pool.acquire().await.unwrap();
    record_fate(&mut connection, &[(1, 1000, 1001)]).await;
    assert_eq!(audit(&mut connection).await, Vec::<String>::new());

    for ((look, _), mistake) in LOOKS.into_iter().zip(MISTAKES) {
        let mut tx = desk.pool.begin().await.unwrap();
        let made = sqlx::raw_sql(AssertSqlSafe(mistake)).execute(&mut *tx);
        assert!(made.await.unwrap().rows_affected() > 0, "{mistake}");
        let wrong = audit(&mut tx).await;
        let is_found = wrong.iter().any(|wrong| wrong.starts_with(look));
        assert!(is_found, "{look}: not found after {mistake}: {wrong:?}");
        tx.rollback().await.unwrap();
    }
}
