//! The database roles of `deploy/postgres`: the worker can do all its work with them, and nothing else.

mod setup;
mod statements;

use serde_json::json;
use sqlx::AssertSqlSafe;
use user_merge::store::{merges, outbox, pace};

use crate::harness::{Desk, Queues, Running, command, eventually, output, request};
use setup::Roles;

/// Two users with what a profile merge touches, and two with enough tickets for several chunks.
async fn fill(desk: &Desk) {
    desk.users([1, 2, 3, 4, 5]).await;
    desk.tickets(10, 3, 1, "open").await;
    desk.tickets(20, 2, 1, "closed").await;
    desk.archived_tickets(30, 4, 1).await;
    desk.tickets(40, 3, 5, "open").await;
    for (ticket, user) in [(10, 2), (40, 1), (41, 1), (41, 2)] {
        desk.cc(ticket, user).await;
    }
    desk.identity(1, "email", "one@example.com", true).await;
    desk.identity(1, "phone", "+4930123456", true).await;
    desk.execute(
        "INSERT INTO helpdesk.organizations VALUES (1, 7, 'org');
         INSERT INTO helpdesk.organization_memberships VALUES (1, 1, 7, true)",
    )
    .await;
    desk.tickets(1_000, 150, 3, "open").await;
    desk.archived_tickets(2_000, 90, 3).await;
    desk.execute("INSERT INTO helpdesk.ticket_ccs SELECT 1, id, 3 FROM generate_series(40, 42) id")
        .await;
}

#[tokio::test]
async fn a_worker_with_its_own_role_does_all_its_work() {
    let roles = Roles::name();
    let mut desk = Desk::open().await;
    roles.roll_out(&desk).await;
    fill(&desk).await;
    desk.settings.database.url = Some(roles.url(&desk, "worker").into());
    desk.settings.sweep.interval = std::time::Duration::from_millis(100);
    desk.settings.relay.interval = std::time::Duration::from_millis(100);
    (
        desk.settings.chunk.min,
        desk.settings.chunk.initial,
        desk.settings.chunk.max,
    ) = (20, 20, 50);
    let queues = Queues::open(&mut desk).await;
    let worker = Running::start(&desk).await;

    queues.send(&request(1, 2)).await;
    let small = queues.event().await.json();
    assert_eq!(small["type"], "merge.completed", "{small}");
    assert_eq!(
        small["tickets"],
        json!({"live": 3, "closed": 2, "archived": 4})
    );
    assert_eq!(small["profile"]["emails_added"], 1);
    assert_eq!(small["profile"]["organizations_added"], 1);

    queues.send(&request(3, 4)).await;
    let large = queues.event().await.json();
    assert_eq!(large["type"], "merge.completed", "{large}");
    assert_eq!(
        large["tickets"],
        json!({"live": 150, "closed": 0, "archived": 90})
    );
    for _ in 0..2 {
        queues.next("user-deletion.requests").await;
    }

    // The sweep: a ticket that comes late.
    desk.tickets(5_000, 1, 1, "new").await;
    eventually("a late ticket moved on", || async {
        let requester = "SELECT requester_id FROM helpdesk.tickets WHERE id = 5000";
        (desk.number(requester).await == 2).then_some(())
    })
    .await;

    // The relay: what a crash left behind.
    desk.execute(
        "UPDATE user_merge.outbox SET published_at = NULL, claimed_until = now() - interval '1 s'
         WHERE message_id = 'user-deletion:1:3'",
    )
    .await;
    let again = queues.next("user-deletion.requests").await.json();
    assert_eq!(again["user_id"], 3);
    eventually("the outbox settled", || async {
        let pending = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
        (desk.number(pending).await == 0).then_some(())
    })
    .await;
    worker.stop().await;

    let pool = roles.connect(&desk, "worker").await;
    assert!(outbox::prune(&pool, 0.0, 100).await.unwrap() > 0);
    pool.close().await;
}

#[tokio::test]
async fn whoever_only_looks_needs_only_the_reader() {
    let roles = Roles::name();
    let desk = Desk::open().await;
    roles.roll_out(&desk).await;
    desk.users([1, 2]).await;
    desk.run(&request(1, 2)).await.unwrap();

    let pool = roles.connect(&desk, "reader").await;
    let found = merges::status(&pool, "merge-1-2", None).await.unwrap();
    assert_eq!(found[0].state, "completed");
    assert!(pace::workers(&pool).await.unwrap().is_empty());
    let today: i64 = sqlx::query_scalar("SELECT user_merge.canonical_user(1, 1)")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(today, 2);
    pool.close().await;
    for sql in [
        "SELECT body FROM user_merge.outbox",
        "SELECT name FROM helpdesk.users",
        "UPDATE user_merge.merges SET late = 0",
        "DELETE FROM user_merge.pace",
    ] {
        assert_eq!(
            refusal(&roles, &desk, "reader", sql).await,
            "42501",
            "{sql}"
        );
    }
}

#[tokio::test]
async fn whoever_verifies_needs_only_the_verifier_who_may_only_read() {
    let roles = Roles::name();
    let mut desk = Desk::open().await;
    roles.roll_out(&desk).await;
    fill(&desk).await;
    desk.run(&request(1, 2)).await.unwrap();
    desk.run(&request(2, 5)).await.unwrap();
    desk.settings.database.url = Some(roles.url(&desk, "verifier").into());
    desk.assert_verified().await;
    let done = output(command(&desk.settings, &["verify"])).await;
    assert_eq!((done.status, done.stderr.as_str()), (0, ""));

    desk.settings.database.url = Some(roles.url(&desk, "worker").into());
    let refused = output(command(&desk.settings, &["verify"])).await;
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("lacks a permission"), "{refused:?}");
    for sql in [
        "UPDATE user_merge.merges SET late = 0",
        "UPDATE user_merge.outbox SET published_at = NULL",
        "DELETE FROM helpdesk.ticket_events",
        "SELECT FROM helpdesk.users FOR UPDATE",
        "SELECT name FROM helpdesk.users",
        "SELECT subject FROM helpdesk.tickets",
        "SELECT reason FROM user_merge.merges",
    ] {
        assert_eq!(
            refusal(&roles, &desk, "verifier", sql).await,
            "42501",
            "{sql}"
        );
    }
}

/// The help desk's waits are other roles' sessions. Advisory locks are waited for by who has nothing to do.
#[tokio::test]
async fn the_worker_sees_what_is_to_slow_it_down_and_does_without_where_it_may_not() {
    let roles = Roles::name();
    let desk = Desk::open().await;
    roles.roll_out(&desk).await;
    desk.users([1]).await;
    let lock = "SELECT FROM helpdesk.users WHERE id = 1 FOR UPDATE";
    let mut holder = desk.begin_with(lock).await;
    let waiting = desk.begin().await.start(lock);
    let advisory = "SELECT pg_advisory_xact_lock(1)";
    holder.execute(advisory).await.unwrap();
    let idle = desk.begin().await.start(advisory);
    crate::rules_r::waiting_for_locks(&desk, 2).await;

    let pool = roles.connect(&desk, "worker").await;
    let mut session = pace::Session::open(&pool).await.unwrap();
    let seen = session.measure(&[]).await.unwrap();
    assert_eq!((seen.lock_waits, seen.sees_all), (1, true));
    let worker = roles.role("worker");
    desk.execute(&format!("REVOKE pg_read_all_stats FROM {worker}"))
        .await;
    let blind = session.measure(&[]).await.unwrap();
    assert_eq!((blind.lock_waits, blind.sees_all), (0, false));

    drop(session);
    pool.close().await;
    holder.rollback().await;
    for waiting in [waiting, idle] {
        waiting.await.unwrap().unwrap().rollback().await;
    }
}

/// The SQLSTATE with which a role is refused a statement; none where it isn't.
async fn refusal(roles: &Roles, desk: &Desk, kind: &str, sql: &str) -> String {
    let pool = roles.connect(desk, kind).await;
    let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await;
    pool.close().await;
    match result {
        Err(sqlx::Error::Database(error)) => error.code().unwrap().into_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn the_worker_is_refused_what_no_merge_needs() {
    let roles = Roles::name();
    let desk = Desk::open().await;
    roles.roll_out(&desk).await;
    fill(&desk).await;
    for sql in [
        // Nothing of the help desk's is destroyed or made.
        "DELETE FROM helpdesk.users",
        "DELETE FROM helpdesk.user_identities",
        "DELETE FROM helpdesk.organization_memberships",
        "DELETE FROM helpdesk.tickets",
        "DELETE FROM helpdesk.archived_tickets",
        "DELETE FROM helpdesk.ticket_events",
        "TRUNCATE helpdesk.tickets CASCADE",
        "TRUNCATE helpdesk.ticket_ccs",
        "TRUNCATE user_merge.outbox",
        "INSERT INTO helpdesk.users (account_id, id, name) VALUES (1, 9, 'x')",
        "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject) VALUES (1, 9, 1, 1, 'x')",
        "INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value) VALUES (1, 1, 'x', 'x')",
        // Nor altered beyond what the rules say.
        "UPDATE helpdesk.users SET role = 'admin'",
        "UPDATE helpdesk.users SET notes = ''",
        "UPDATE helpdesk.users SET suspended = false",
        "UPDATE helpdesk.user_identities SET value = 'x'",
        "UPDATE helpdesk.user_identities SET verified = true",
        "UPDATE helpdesk.tickets SET organization_id = NULL",
        "UPDATE helpdesk.tickets SET submitter_id = requester_id",
        "UPDATE helpdesk.tickets SET status = 'closed'",
        "UPDATE helpdesk.archived_tickets SET subject = ''",
        "UPDATE helpdesk.ticket_events SET old_value = NULL",
        "UPDATE helpdesk.accounts SET sign_on = '{}'",
        // Nor read without need.
        "SELECT name FROM helpdesk.users",
        "SELECT subject FROM helpdesk.tickets",
        "SELECT * FROM helpdesk.ticket_events",
        "SELECT * FROM helpdesk.organizations",
        "SELECT * FROM helpdesk.article_votes",
        "SELECT * FROM helpdesk.community_posts",
        // What was done stays on record, and what was promised stays what it is.
        "DELETE FROM user_merge.merges",
        "UPDATE user_merge.outbox SET body = ''",
        "SELECT * FROM user_merge._migrations",
        // No tables of its own.
        "CREATE TABLE user_merge.mine ()",
        "CREATE TABLE helpdesk.mine ()",
        "CREATE SCHEMA mine",
        "ALTER TABLE user_merge.merges ADD mine int",
        "ALTER TABLE helpdesk.tickets DISABLE TRIGGER ALL",
        "DROP TABLE user_merge.outbox",
        "SET ROLE pg_read_all_data",
    ] {
        assert_eq!(
            refusal(&roles, &desk, "worker", sql).await,
            "42501",
            "{sql}"
        );
    }
}

#[tokio::test]
async fn the_owner_needs_no_rights_on_a_help_desk_that_is_somebody_elses() {
    let roles = Roles::name();
    let mut desk = Desk::open().await;
    roles.roll_out_beside_help_desk(&desk).await;
    desk.users([1, 2]).await;
    desk.tickets(10, 3, 1, "open").await;

    desk.settings.database.url = Some(roles.url(&desk, "worker").into());
    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, user_merge::merge::Ending::Completed);

    for sql in ["SELECT FROM helpdesk.tickets", "DELETE FROM helpdesk.users"] {
        assert_eq!(refusal(&roles, &desk, "owner", sql).await, "42501", "{sql}");
    }
}
