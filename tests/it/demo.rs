//! `user-merge demo`, as a newcomer runs it.

use crate::harness::{Desk, NewUser, Output, Queues, command, output};

/// Runs the demo of this build on the test's own database and queues.
async fn demo(desk: &Desk) -> Output {
    let small = ["--json", "demo", "--users", "150", "--merges", "30"];
    output(command(&desk.settings, &small)).await
}

/// A help desk that holds nothing.
async fn empty() -> Desk {
    let desk = Desk::open().await;
    desk.execute("DELETE FROM helpdesk.accounts").await;
    desk
}

/// Everything that the demo checks holds, and a second run in the same place works too.
#[tokio::test]
async fn the_demo_passes_its_own_checks_twice() {
    let mut desk = empty().await;
    let _queues = Queues::open(&mut desk).await;
    for run in 1..=2 {
        let output = demo(&desk).await;
        assert_eq!(output.status, 0, "{output:?}");
        let summary = output.json();
        assert_eq!(summary["run"], run);
        assert_eq!(summary["passed"], true);
        let checks = summary["checks"].as_array().unwrap();
        assert!(checks.len() > 10 && checks.iter().all(|check| check["holds"] == true));
        assert_eq!(summary["largest_merge"]["tickets"], 10_000);
        assert_eq!(summary["dead_letters"], 3);
        assert_eq!(summary["deletion_messages"], summary["merged"]);
        let outcomes = summary["outcomes"].as_array().unwrap();
        let rejections = outcomes.iter().filter(|row| row["ending"] == "rejected");
        assert_eq!(rejections.count(), user_merge::domain::Reason::ALL.len());

        // The tables agree with what it says.
        let merged =
            "SELECT count(*) FROM helpdesk.users WHERE merged_at > now() - interval '1 day'";
        assert_eq!(
            desk.number(merged).await,
            summary["merged"].as_i64().unwrap() * run
        );
    }
}

/// A help desk that isn't the demo's stays as it is.
#[tokio::test]
async fn the_demo_refuses_a_real_help_desk() {
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    desk.user(1, NewUser::default()).await;

    let output = demo(&desk).await;

    assert_eq!(output.status, 1);
    let said = output.stderr;
    assert!(
        said.contains("1 of its accounts are not the demo's"),
        "{said}"
    );
    assert_eq!(
        desk.number("SELECT count(*) FROM helpdesk.accounts").await,
        1
    );
    assert_eq!(desk.number("SELECT count(*) FROM helpdesk.users").await, 1);
}

/// Somebody else's request stays in its queue, and nothing is filled.
#[tokio::test]
async fn the_demo_refuses_lanes_that_hold_other_requests() {
    let mut desk = empty().await;
    let queues = Queues::open(&mut desk).await;
    queues.send(&crate::harness::request(1, 2)).await;

    let output = demo(&desk).await;

    assert_eq!(output.status, 1);
    let said = output.stderr;
    assert!(
        said.contains("holds 1 message(s) that are not the demo's"),
        "{said}"
    );
    assert_eq!(
        desk.number("SELECT count(*) FROM helpdesk.accounts").await,
        0
    );
    let left = queues.next("user-merge.requests").await.json();
    assert_eq!(left["idempotency_key"], "merge-1-2");
}

/// A trigger that spoils one thing behind the worker's back, and the rules whose check must notice.
const SABOTAGE: [(&str, &str, &[&str]); 5] = [
    (
        "BEFORE INSERT ON helpdesk.ticket_events FOR EACH ROW WHEN (NEW.ticket_id % 50 = 0)",
        "RETURN NULL;",
        &["T2"],
    ),
    (
        "BEFORE INSERT ON helpdesk.ticket_ccs FOR EACH ROW WHEN (NEW.user_id = 128)",
        "RETURN NULL;",
        &["T4, T5"],
    ),
    (
        "AFTER UPDATE OF requester_id ON helpdesk.tickets FOR EACH ROW WHEN (NEW.id = 12700001)",
        "UPDATE helpdesk.tickets SET subject = 'x' WHERE id = 12700007;
         UPDATE helpdesk.tickets SET requester_id = 1001 WHERE account_id = 15 AND requester_id <> 1001;
         RETURN NULL;",
        &["T1, T9", "T6, T10"],
    ),
    (
        "AFTER UPDATE OF merged_into ON helpdesk.users FOR EACH ROW WHEN (NEW.id = 127)",
        "UPDATE helpdesk.users SET notes = 'x' WHERE account_id = NEW.account_id AND id = 129;
         UPDATE helpdesk.user_identities SET is_primary = false WHERE account_id = NEW.account_id AND user_id = 129;
         RETURN NULL;",
        &["P1-P4, P15", "P2-P13"],
    ),
    (
        "AFTER INSERT ON user_merge.outbox FOR EACH ROW WHEN (NEW.message_id = 'user-deletion:11:127')",
        "INSERT INTO user_merge.outbox (account_id, merge_id, destination, message_id, body, claimed_until)
         VALUES (11, NEW.merge_id, 'deletion', 'user-deletion:11:128', '{}', now());
         RETURN NULL;",
        &["D2"],
    ),
];

/// What the demo's checks are worth: each of these mistakes is found, by the check that is about it.
#[tokio::test]
async fn the_demo_notices_what_is_wrong() {
    for (when, what, rules) in SABOTAGE {
        let mut desk = empty().await;
        let _queues = Queues::open(&mut desk).await;
        desk.execute(&format!(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {what} END$$;
             CREATE TRIGGER spoil {when} EXECUTE FUNCTION spoil()"
        ))
        .await;

        let output = demo(&desk).await;

        assert_eq!(output.status, 1, "{when}: {output:?}");
        let summary = output.json();
        assert_eq!(summary["passed"], false);
        let checks = summary["checks"].as_array().unwrap().clone();
        for rule in rules {
            let mut failed = checks.iter().filter(|check| check["holds"] == false);
            let noticed = failed.any(|check| check["rules"].as_str().unwrap().starts_with(rule));
            assert!(noticed, "{rule}: {when}");
        }
    }
}

/// More pairs than there are people for is wrong usage, said before anything is touched.
#[tokio::test]
async fn the_demo_refuses_more_merges_than_users() {
    let desk = empty().await;
    let arguments = ["demo", "--users", "60", "--merges", "30"];
    let output = output(command(&desk.settings, &arguments)).await;
    assert_eq!(output.status, 2);
    assert!(
        output
            .stderr
            .contains("--merges 30 needs --users 90 or more")
    );
}
