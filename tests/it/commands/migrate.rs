//! `user-merge migrate`

use super::{assert_one_sentence, user_merge};
use crate::harness::Desk;

const TABLES: &str = "SELECT count(*) FROM information_schema.tables WHERE table_schema = ";

#[tokio::test]
async fn it_makes_the_schemas_once_and_leaves_them_alone_then() {
    let desk = Desk::open().await;
    desk.execute("DROP SCHEMA user_merge CASCADE; DROP SCHEMA helpdesk CASCADE")
        .await;

    let without = user_merge(&desk.settings, "migrate").await;
    assert_eq!(without.status, 1);
    assert_one_sentence(&without, "the help desk's relations are missing");
    assert!(
        without
            .stderr
            .contains("user-merge migrate --with-helpdesk"),
        "{without:?}"
    );

    let first = user_merge(&desk.settings, "migrate --with-helpdesk").await;
    assert_eq!(
        first.stdout, "up to date: helpdesk, user_merge\n",
        "{first:?}"
    );
    desk.account(1, &["password"], false).await;
    desk.users([1, 2]).await;

    for (again, printed) in [
        ("migrate", "up to date: user_merge\n"),
        (
            "migrate --with-helpdesk",
            "up to date: helpdesk, user_merge\n",
        ),
        ("--json migrate", "{\"up_to_date\":[\"user_merge\"]}\n"),
    ] {
        let output = user_merge(&desk.settings, again).await;
        assert_eq!(
            (output.status, output.stdout.as_str()),
            (0, printed),
            "{output:?}"
        );
        assert_eq!(output.stderr, "");
    }
    assert_eq!(desk.number("SELECT count(*) FROM helpdesk.users").await, 2);
    assert_eq!(desk.number(&format!("{TABLES} 'user_merge'")).await, 4);
}

#[tokio::test]
async fn two_at_once_do_it_once() {
    let desk = Desk::open().await;
    let migrations = "SELECT count(*) FROM user_merge._migrations";
    let all = desk.number(migrations).await;
    desk.execute("DROP SCHEMA user_merge CASCADE").await;
    let both = tokio::join!(
        user_merge(&desk.settings, "migrate"),
        user_merge(&desk.settings, "migrate")
    );
    assert_eq!((both.0.status, both.1.status), (0, 0), "{both:?}");
    assert_eq!(desk.number(migrations).await, all);
}

/// The worker's tables are its own: a help desk that offers views gets nothing but them.
#[tokio::test]
async fn a_help_desk_of_views_is_left_as_it_is() {
    let desk = Desk::open().await;
    desk.execute(
        "DROP SCHEMA user_merge CASCADE;
         DROP TABLE helpdesk._migrations;
         ALTER SCHEMA helpdesk RENAME TO legacy;
         CREATE SCHEMA helpdesk;
         CREATE VIEW helpdesk.users AS SELECT * FROM legacy.users",
    )
    .await;
    let output = user_merge(&desk.settings, "migrate").await;
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!(desk.number(&format!("{TABLES} 'helpdesk'")).await, 1);
}
