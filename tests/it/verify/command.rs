//! The command as somebody types it: what it prints, and its exit status.

use super::lived_in::lived_in;
use crate::harness::{Desk, Output, command, output};

/// Without a broker: it needs none.
async fn verify(desk: &Desk, arguments: &[&str]) -> Output {
    let mut settings = desk.settings.clone();
    settings.broker.url = None;
    output(command(&settings, arguments)).await
}

#[tokio::test]
async fn where_everything_holds_it_says_so_and_ends_with_0() {
    let desk = lived_in().await;
    let text = verify(&desk, &["verify"]).await;
    assert_eq!((text.status, text.stderr.as_str()), (0, ""));
    assert!(text.stdout.starts_with("everything holds: "), "{text:?}");
    assert_eq!(text.stdout.lines().count(), 1);

    let json = verify(&desk, &["--json", "verify", "--batch", "3"]).await;
    assert_eq!((json.status, json.stdout.lines().count()), (0, 1));
    let json = json.json();
    assert_eq!(json["holds"], true);
    assert_eq!(
        (&json["violations"], &json["accounts"]),
        (&0.into(), &2.into())
    );
    assert!(json["log_entries"].as_i64().unwrap() > 50, "{json}");
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks[0]["code"], "left_ticket");
    assert_eq!(checks[0]["rules"], "D1, T1");
    assert!(checks.iter().all(|check| check["violations"] == 0));
}

#[tokio::test]
async fn what_is_wrong_is_printed_with_its_code_and_ids_and_it_ends_with_1() {
    let desk = lived_in().await;
    desk.execute(
        "UPDATE helpdesk.tickets SET requester_id = 3 WHERE account_id = 1 AND id = 40;
         UPDATE user_merge.merges SET outcome = outcome || '{\"type\": \"merge.failed\"}' WHERE account_id = 77",
    )
    .await;
    let merge = "SELECT id::text FROM user_merge.merges WHERE idempotency_key = 'merge-3-4'";
    let merge = desk.text(merge).await.unwrap();

    let text = verify(&desk, &["verify"]).await;
    assert_eq!((text.status, text.stderr.as_str()), (1, ""));
    let lines: Vec<_> = text.stdout.lines().collect();
    let first: Vec<_> = lines[0].split_whitespace().collect();
    let expected = format!("left_ticket D1, T1 account 1 merge {merge} user 3 ticket 40");
    assert_eq!(first.join(" "), expected);
    assert!(lines[1].starts_with("outcome_wrong ") && lines[1].contains(" account 77 "));
    assert!(lines[2].starts_with("2 violations: "), "{text:?}");

    let json = verify(&desk, &["--json", "verify", "--account", "1"]).await;
    assert_eq!(json.status, 1);
    let json = json.json();
    assert_eq!(
        (&json["holds"], &json["violations"]),
        (&false.into(), &1.into())
    );
    assert_eq!(json["accounts"], 1);
    assert_eq!(json["checks"][0]["findings"][0]["ticket_id"], 40);

    // What was left out is not even counted.
    let skipped = verify(
        &desk,
        &[
            "--json",
            "verify",
            "--account",
            "1",
            "--skip",
            "left_ticket",
        ],
    )
    .await;
    assert_eq!(skipped.status, 0);
    let one = |check: &serde_json::Value| check["code"] == "left_ticket";
    assert!(!skipped.json()["checks"].as_array().unwrap().iter().any(one));
}

/// A hundred are listed, and the rest is counted.
#[tokio::test]
async fn many_findings_of_one_kind_are_counted() {
    let desk = Desk::open().await;
    desk.execute(
        "INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id, lane, state,
             updated_at)
         SELECT 1, gen_random_uuid(), id::text, id, 999, 'bulk', 'running', now() - interval '1 day'
         FROM generate_series(1, 130) id",
    )
    .await;
    let text = verify(&desk, &["verify"]).await;
    assert_eq!(text.status, 1);
    assert_eq!(text.stdout.lines().count(), 102, "{text:?}");
    assert!(text.stdout.contains(" and 30 more\n130 violations: "));
    let json = verify(&desk, &["--json", "verify"]).await.json();
    let stale = json["checks"].as_array().unwrap();
    let stale = stale.iter().find(|c| c["code"] == "stale_running").unwrap();
    assert_eq!(stale["violations"], 130);
    assert_eq!(stale["findings"].as_array().unwrap().len(), 100);
    // How long is long is for the caller to say.
    assert_eq!(verify(&desk, &["verify", "--stale", "2d"]).await.status, 0);
}

#[tokio::test]
async fn wrong_usage_is_2_and_what_can_not_be_checked_is_1() {
    let desk = Desk::open().await;
    for (arguments, part) in [
        (["verify", "--skip", "tickets"], "no such check"),
        (["verify", "--batch", "0"], "--batch"),
        (["verify", "--account", "0"], "whole number from 1"),
        (["verify", "--stale", "soon"], "--stale"),
    ] {
        let wrong = verify(&desk, &arguments).await;
        assert_eq!((wrong.status, wrong.stdout.as_str()), (2, ""));
        assert!(wrong.stderr.contains(part), "{wrong:?}");
    }
    desk.execute("DROP SCHEMA user_merge CASCADE").await;
    let failed = verify(&desk, &["verify"]).await;
    assert_eq!((failed.status, failed.stdout.as_str()), (1, ""));
    assert!(
        failed.stderr.contains("run `user-merge migrate` first"),
        "{failed:?}"
    );
}
