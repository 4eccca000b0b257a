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
