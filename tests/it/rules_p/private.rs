//! P2, P5, P6, P8 to P14, P16: what the target keeps and the source loses.

use serde_json::json;

use super::{merge, user};
use crate::harness::{Desk, NewUser};

/// Merges a source with `theirs` into a target with `own`, and another one into a target with nothing. Both
/// targets stay as they were, both sources keep theirs on the tombstone, and the event counts it by kind.
async fn is_lost(theirs: &'static str, own: &'static str, kind: &str, count: i64) {
    let desk = Desk::open().await;
    for (id, set) in [(1, theirs), (2, own), (3, theirs), (4, "")] {
        desk.user(
            id,
            NewUser {
                set,
                ..NewUser::default()
            },
        )
        .await;
    }
    for (source, target) in [(1, 2), (3, 4)] {
        let before = (user(&desk, source).await, user(&desk, target).await);
        assert_ne!(before.0, before.1);

        let profile = merge(&desk, source, target).await;

        assert_eq!(
            (user(&desk, source).await, user(&desk, target).await),
            before
        );
        assert_eq!(profile["dropped"], json!({ kind: count }));
    }
}

/// P2: the target's direct line is as it was.
#[tokio::test]
async fn p2_the_direct_line_is_unchanged() {
    is_lost(
        "direct_line = '+33111'",
        "direct_line = '+33222'",
        "direct_line",
        1,
    )
    .await;
}

/// P5: the target's language is as it was.
#[tokio::test]
async fn p5_the_language_is_unchanged() {
    is_lost("locale = 'fr'", "locale = 'de'", "locale", 1).await;
}

/// P6: the target's time zone is as it was.
#[tokio::test]
async fn p6_the_time_zone_is_unchanged() {
    is_lost(
        "time_zone = 'Paris'",
        "time_zone = 'Berlin'",
        "time_zone",
        1,
    )
    .await;
}

/// P8: the source's tags are lost.
#[tokio::test]
async fn p8_tags_are_lost() {
    is_lost("tags = '{vip,beta,eu}'", "tags = '{vip}'", "tags", 3).await;
}

/// P9: the source's details are lost.
#[tokio::test]
async fn p9_details_are_lost() {
    is_lost("details = 'theirs'", "details = 'own'", "details", 1).await;
}

/// P10: the source's notes are lost.
#[tokio::test]
async fn p10_notes_are_lost() {
    is_lost("notes = 'theirs'", "notes = 'own'", "notes", 1).await;
}

/// P11: the target's picture is as it was.
#[tokio::test]
async fn p11_the_picture_is_unchanged() {
    is_lost(
        "photo_url = 'https://a.test/1'",
        "photo_url = 'https://a.test/2'",
        "photo",
        1,
    )
    .await;
}

/// P12: the target's fields stay, the source's are lost, those that only it had as well.
#[tokio::test]
async fn p12_user_fields_are_not_mixed() {
    let theirs = r#"user_fields = '{"plan": "gold", "age": 7}'"#;
    is_lost(
        theirs,
        r#"user_fields = '{"plan": "tin"}'"#,
        "user_fields",
        2,
    )
    .await;
}

/// P12: fields in a form that nobody expects don't stand in a merge's way.
#[tokio::test]
async fn p12_user_fields_that_are_no_object_count_as_none() {
    for fields in ["null", "[1, 2]", "\"text\""] {
        let desk = Desk::open().await;
        desk.users([1, 2]).await;
        desk.execute(&format!(
            "UPDATE helpdesk.users SET user_fields = '{fields}'"
        ))
        .await;

        assert_eq!(merge(&desk, 1, 2).await["dropped"], json!({}), "{fields}");
    }
}

/// P13: the source's external id is lost (where A9 lets the two be merged).
#[tokio::test]
async fn p13_external_ids_are_lost() {
    is_lost(
        "external_id = 'crm-1'",
        "external_id = 'crm-2'",
        "external_id",
        1,
    )
    .await;
}

/// P13: blank counts as none, as in A9.
#[tokio::test]
async fn p13_a_blank_external_id_is_nothing_to_lose() {
    let desk = Desk::open().await;
    let blank = NewUser {
        set: "external_id = ' ', notes = '', details = ''",
        ..NewUser::default()
    };
    desk.user(1, blank).await;
    desk.users([2]).await;

    assert_eq!(merge(&desk, 1, 2).await["dropped"], json!({}));
}

/// P14: votes, subscriptions, posts and comments stay as they are, under the source's id.
#[tokio::test]
async fn p14_contributions_stay_with_the_source() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.execute(
        "INSERT INTO helpdesk.article_votes VALUES (1, 1, 1, 7, 1), (1, 2, 2, 7, -1);
         INSERT INTO helpdesk.article_subscriptions VALUES (1, 1, 1, 7);
         INSERT INTO helpdesk.community_posts VALUES (1, 1, 1, 'title');
         INSERT INTO helpdesk.community_comments VALUES (1, 1, 1, 1, 'body')",
    )
    .await;
    let tables = [
        "article_votes",
        "article_subscriptions",
        "community_posts",
        "community_comments",
    ];
    let contributions = async || {
        let mut all = Vec::new();
        for table in tables {
            let sql =
                format!("SELECT jsonb_agg(to_jsonb(t) ORDER BY id)::text FROM helpdesk.{table} t");
            all.push(desk.text(&sql).await.unwrap());
        }
        all
    };
    let before = contributions().await;

    let profile = merge(&desk, 1, 2).await;

    assert_eq!(contributions().await, before);
    assert_eq!(
        profile["dropped"],
        json!({}),
        "not moved, and not lost either"
    );
    let deletion = "SELECT body::jsonb ->> 'keep_contributions' FROM user_merge.outbox
                    WHERE destination = 'deletion'";
    assert_eq!(desk.text(deletion).await.as_deref(), Some("true"));
}

/// P16: the target's own flag stays, whichever way the two differ, and the event says so.
#[tokio::test]
async fn p16_a_different_suspension_is_reported() {
    let desk = Desk::open().await;
    let suspended = || NewUser {
        set: "suspended = true",
        ..NewUser::default()
    };
    desk.users([1, 4, 7, 8]).await;
    for id in [2, 3, 5, 6] {
        desk.user(id, suspended()).await;
    }
    let cases = [(1, 2, true), (3, 4, true), (5, 6, false), (7, 8, false)];
    for (source, target, differs) in cases {
        let flag = user(&desk, target).await["suspended"].clone();

        let profile = merge(&desk, source, target).await;

        assert_eq!(user(&desk, target).await["suspended"], flag);
        assert_eq!(
            profile.get("suspension_differs"),
            differs.then_some(&json!(true))
        );
    }
}

/// P8 to P15: all that is lost is named by kind and count, and no value of it leaves the database.
#[tokio::test]
async fn p8_what_is_lost_is_counted_and_never_quoted() {
    let desk = Desk::open().await;
    let everything = "direct_line = '+33999marked', locale = 'marked', time_zone = 'marked',
        tags = '{marked,marked2}', details = 'marked', notes = 'marked', photo_url = 'marked',
        user_fields = '{\"marked\": \"marked\"}', external_id = 'marked', name = 'marked'";
    desk.user(
        1,
        NewUser {
            set: everything,
            ..NewUser::default()
        },
    )
    .await;
    desk.users([2]).await;
    desk.execute(
        "INSERT INTO helpdesk.organizations VALUES (1, 10, 'marked'), (1, 11, 'marked');
         INSERT INTO helpdesk.organization_memberships VALUES (1, 1, 10, true), (1, 2, 11, true)",
    )
    .await;
    for (kind, value) in [
        ("email", "marked@example.test"),
        ("phone", "+33 1 23 45 67 89 ext. 4711"),
        ("x", "@marked"),
        ("google", "marked"),
    ] {
        desk.identity(1, kind, value, true).await;
    }

    let profile = merge(&desk, 1, 2).await;

    let expected = json!({
        "emails_added": 1, "phones_added": 1, "organizations_added": 0,
        "dropped": {
            "tags": 2, "details": 1, "notes": 1, "photo": 1, "direct_line": 1, "locale": 1, "time_zone": 1,
            "external_id": 1, "user_fields": 1, "organizations": 1, "x": 1, "google": 1,
        },
    });
    assert_eq!(profile, expected);
    for table in ["outbox", "merges"] {
        let sql = format!("SELECT string_agg(to_jsonb(t)::text, ' ') FROM user_merge.{table} t");
        let written = desk.text(&sql).await.unwrap();
        for personal in ["marked", "23 45 67 89", "123456789", "4711"] {
            assert!(
                !written.contains(personal),
                "{personal} is in {table}: {written}"
            );
        }
    }
}
