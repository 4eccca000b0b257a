//! The help desk as the worker finds it.

use std::time::Duration;

use user_merge::domain::MergeRequest;
use user_merge::merge::Ending;

use super::scenario::Scenario;
use crate::harness::{Desk, request};

/// When a source becomes a tombstone.
const BEFORE_THE_END: &str = "BEFORE UPDATE OF merged_into ON helpdesk.users FOR EACH ROW";

pub fn configure(desk: &mut Desk, scenario: Scenario) {
    let settings = &mut desk.settings;
    // What a case needs, and no more: several run at once.
    settings.lanes.interactive.concurrency = 3;
    settings.lanes.bulk.concurrency = 1;
    settings.database.max_connections = 10;
    settings.relay.interval = Duration::from_millis(100);
    // Short enough to be waited for, and longer than a publish takes.
    settings.broker.publish_timeout = Duration::from_millis(1_500);
    settings.relay.lease = Duration::from_secs(2);
    match scenario {
        Scenario::SliceOver => settings.merge.slice = Duration::from_secs(1),
        Scenario::Together => settings.lanes.interactive.concurrency = 1,
        Scenario::Several => {
            settings.lanes.interactive.concurrency = 1;
            // The one that keeps the hand busy waits for as long as it has to.
            settings.database.lock_timeout = Duration::from_secs(25);
        }
        Scenario::Retried => settings.retry.immediate = 1,
        Scenario::Stranded | Scenario::Late => settings.sweep.interval = Duration::from_millis(100),
        _ => {}
    }
    if scenario.is_large() {
        desk.chunks_of(10);
    }
}

/// 1 is to be merged into 2; 3 and 4 have nothing to do with it, and account 9 neither; 5 has a merge of its own.
pub async fn fill(desk: &Desk, scenario: Scenario) {
    // 6 to 8 only where they are merged.
    let are_merged = matches!(scenario, Scenario::Together | Scenario::Several);
    let last = if are_merged { 8 } else { 5 };
    desk.users(1..=last).await;
    for requester in 5..last {
        desk.tickets(requester * 200, 3, requester, "open").await;
        desk.archived_tickets(requester * 200 + 50, 2, requester)
            .await;
    }
    let (open, closed, archived) = if scenario.is_large() {
        (20, 5, 12)
    } else {
        (4, 2, 3)
    };
    desk.tickets(1, open, 1, "open").await;
    desk.tickets(31, closed, 1, "closed").await;
    desk.archived_tickets(101, archived, 1).await;
    for requester in 2..=4 {
        desk.tickets(requester * 200, 3, requester, "open").await;
        desk.archived_tickets(requester * 200 + 50, 2, requester)
            .await;
    }
    // Copied: alone, beside the target, and on tickets of one of the two.
    for (ticket, user) in [
        (600, 1),
        (601, 1),
        (601, 2),
        (602, 4),
        (400, 1),
        (1, 2),
        (2, 1),
        (31, 4),
    ] {
        desk.cc(ticket, user).await;
    }
    desk.execute("INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 650, 1), (1, 101, 2)")
        .await;
    for user in 1..=last {
        for (n, is_primary) in [(1, true), (2, false)] {
            let address = format!("user{user}-{n}@example.com");
            desk.identity(user, "email", &address, is_primary).await;
        }
        let number = format!("+33 1 23 45 67 0{user}");
        desk.identity(user, "phone", &number, true).await;
    }
    desk.copy_account(9).await;
}

pub async fn prepare(desk: &mut Desk, scenario: Scenario) {
    if scenario.is_after_a_merge() {
        run_and_vanish(desk, &request(1, 2)).await;
    }
    match scenario {
        Scenario::Rejected => {
            desk.execute(
                "UPDATE helpdesk.users SET role = 'agent' WHERE account_id = 1 AND id = 2",
            )
            .await;
        }
        Scenario::PutOff => {
            desk.tickets(1001, 15, 5, "open").await;
            let report = desk.run_one_chunk(&request(5, 1)).await.unwrap();
            assert_eq!(report.ending, Ending::SliceOver);
        }
        Scenario::SliceOver => {
            let when = "AFTER UPDATE ON helpdesk.tickets FOR EACH STATEMENT";
            fault(
                desk,
                when,
                "IF nextval('faults') = 1 THEN PERFORM pg_sleep(1); END IF;",
            )
            .await;
        }
        Scenario::Retried => {
            let once = "IF nextval('faults') = 1 THEN RAISE 'x' USING ERRCODE = '40001'; END IF;";
            fault(desk, BEFORE_THE_END, once).await;
        }
        Scenario::GivenUp => fault(desk, BEFORE_THE_END, "RAISE 'x';").await,
        Scenario::Stranded => {
            let report = desk.run_one_chunk(&request(1, 2)).await.unwrap();
            assert_eq!(report.ending, Ending::SliceOver);
            desk.execute("UPDATE user_merge.merges SET updated_at = now() - interval '2 hours'")
                .await;
        }
        Scenario::Late => {
            desk.tickets(701, 3, 1, "open").await;
            desk.archived_tickets(711, 2, 1).await;
            desk.cc(602, 1).await;
            desk.identity(1, "email", "late@example.com", true).await;
        }
        _ => {}
    }
}

/// A merge whose worker is gone at the moment of its commit: its messages wait in the outbox.
async fn run_and_vanish(desk: &mut Desk, request: &MergeRequest) {
    let lease = std::mem::take(&mut desk.settings.relay.lease);
    assert_eq!(desk.run(request).await.unwrap().ending, Ending::Completed);
    desk.settings.relay.lease = lease;
}

/// What the database does besides. The sequence doesn't forget what is rolled back.
async fn fault(desk: &Desk, when: &str, what: &str) {
    desk.execute(&format!(
        "CREATE SEQUENCE faults;
         CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {what} RETURN NEW; END$$;
         CREATE TRIGGER fault {when} EXECUTE FUNCTION fault()"
    ))
    .await;
}
