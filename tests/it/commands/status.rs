//! `user-merge status`

use super::{assert_one_sentence, user_merge};
use crate::harness::{Desk, Queues, key};

#[tokio::test]
async fn a_merge_is_found_by_key_by_id_and_in_its_account() {
    let desk = Desk::open().await;
    desk.account(2, &["password"], false).await;
    desk.users([1, 2]).await;
    desk.tickets(10, 3, 1, "open").await;
    let merge = desk.run(&key("crm-1", 1, 2)).await.unwrap().merge;
    // The same key in another account, where there is no such user.
    let mut other = key("crm-1", 1, 2);
    other.account_id = 2.try_into().unwrap();
    desk.run(&other).await.unwrap();

    let text = user_merge(&desk.settings, &format!("status {merge}")).await;
    assert_eq!((text.status, text.stderr.as_str()), (0, ""));
    for line in [
        format!("merge          {merge}"),
        "state          completed".to_owned(),
        "users          1 into 2".to_owned(),
        "moved          3 tickets, 0 CCs".to_owned(),
        "unpublished    2 messages".to_owned(),
    ] {
        assert!(text.stdout.lines().any(|l| l == line), "{line} in {text:?}");
    }

    let both = user_merge(&desk.settings, "--json status crm-1")
        .await
        .json();
    let both = both["merges"].as_array().unwrap();
    assert_eq!(
        (&both[0]["account_id"], &both[1]["account_id"]),
        (&1.into(), &2.into())
    );
    assert_eq!(
        both[1]["outcome"]["rejection"]["reason"],
        "source_not_found"
    );

    let one = user_merge(&desk.settings, "--json status --account 2 crm-1").await;
    let one = one.json();
    assert_eq!(one["merges"].as_array().unwrap().len(), 1);
    assert_eq!(one["merges"][0]["state"], "rejected");
    let text = user_merge(&desk.settings, "status --account 2 crm-1").await;
    assert!(
        text.stdout.contains("rejected       source_not_found"),
        "{text:?}"
    );
}

#[tokio::test]
async fn a_merge_that_is_not_there_is_exit_status_1() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.run(&key("crm-1", 1, 2)).await.unwrap();
    for asked in ["status crm-2", "status --account 2 crm-1"] {
        let output = user_merge(&desk.settings, asked).await;
        assert_eq!(output.status, 1, "{asked}");
        assert!(output.stdout.contains("no merge is recorded"), "{output:?}");
    }
    let output = user_merge(&desk.settings, "--json status crm-2").await;
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (1, "{\"merges\":[]}\n")
    );
}

/// A worker's row: how long ago it was seen, its state, hands, reason, measure and limit.
async fn row(desk: &Desk, ago: &str, pace: &str) {
    desk.execute(&format!(
        "INSERT INTO user_merge.pace
             (worker_id, address, process_id, version, seen_at, state, bulk_hands, reason, measured, allowed)
         VALUES (gen_random_uuid(), '192.0.2.7', 17, '1.2.3', now() - interval '{ago}', {pace})"
    ))
    .await;
}

#[tokio::test]
async fn without_a_key_it_shows_the_workers_that_are_there() {
    let desk = Desk::open().await;
    row(&desk, "40 s", "'full', 4, NULL, NULL, NULL").await;
    let nobody = user_merge(&desk.settings, "status").await;
    assert_eq!((nobody.status, nobody.stderr.as_str()), (1, ""));
    assert!(nobody.stdout.contains("no worker is at work"), "{nobody:?}");
    let nobody = user_merge(&desk.settings, "--json status").await;
    assert_eq!(
        (nobody.status, nobody.stdout.as_str()),
        (1, "{\"workers\":[]}\n")
    );

    row(&desk, "3 s", "'slowed', 1, 'replication_lag', 12, 10").await;
    let one = user_merge(&desk.settings, "status").await;
    assert_eq!((one.status, one.stderr.as_str()), (0, ""));
    let parts = [
        "worker         ",
        " at 192.0.2.7, process 17, version 1.2.3\n",
        "\nslowed down    replication lag 12.0 s (limit 10 s), since ",
        "\nbulk lane      1 hand\n",
    ];
    for part in parts {
        assert!(one.stdout.contains(part), "{part:?} in {one:?}");
    }
    row(&desk, "0 s", "'full', 4, NULL, NULL, NULL").await;
    let two = user_merge(&desk.settings, "--json status").await.json();
    let workers = two["workers"].as_array().unwrap().iter();
    let states: Vec<_> = workers
        .map(|worker| worker["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["slowed", "full"]);
}

#[tokio::test]
async fn a_merge_that_is_not_done_says_what_slows_it_down() {
    let mut desk = Desk::open().await;
    desk.chunks_of(2);
    desk.users([1, 2, 3, 4]).await;
    desk.tickets(10, 6, 1, "open").await;
    desk.run_one_chunk(&key("slow", 1, 2)).await.unwrap();
    desk.run(&key("done", 3, 4)).await.unwrap();
    row(&desk, "0 s", "'slowed', 2, 'wal', 80, 50").await;
    row(&desk, "0 s", "'held', 0, 'lock_waits', 25, 20").await;

    let slow = user_merge(&desk.settings, "status slow").await.stdout;
    let line = "\nslowed down    25 sessions wait for locks (limit 20)\n";
    assert!(slow.contains(line), "{slow}");
    let slow = user_merge(&desk.settings, "--json status slow")
        .await
        .json();
    let cause = &slow["merges"][0]["slowed_down"];
    assert_eq!(
        (&cause["reason"], &cause["measured"], &cause["allowed"]),
        (&"lock_waits".into(), &25.0.into(), &20.0.into())
    );
    let done = user_merge(&desk.settings, "status done").await.stdout;
    assert!(!done.contains("slowed down"), "{done}");
    // With the tables of the release before it still says where a merge stands.
    desk.execute("DROP TABLE user_merge.pace").await;
    let slow = user_merge(&desk.settings, "status slow").await;
    assert_eq!(slow.status, 0, "{slow:?}");
    let workers = user_merge(&desk.settings, "status").await;
    assert_one_sentence(&workers, "run `user-merge migrate` first");
}

#[tokio::test]
async fn without_its_tables_it_says_what_to_do() {
    let mut desk = Desk::open().await;
    let _queues = Queues::open(&mut desk).await;
    desk.execute("DROP SCHEMA user_merge CASCADE").await;
    for command in ["status crm-1", "worker"] {
        let output = user_merge(&desk.settings, command).await;
        assert_eq!(output.status, 1);
        assert!(
            output.stderr.contains("run `user-merge migrate` first"),
            "{output:?}"
        );
    }
    let output = user_merge(&desk.settings, "status crm-1").await;
    assert_one_sentence(&output, "run `user-merge migrate` first");
}
