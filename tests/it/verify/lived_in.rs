//! A help desk as it is after a year of merges: of every kind, with everything that a help desk may do besides.

use user_merge::merge::{Cause, Given, Merger};

use crate::harness::{Desk, NewUser, envelope, key, request};

/// Merges of every shape and outcome, by the merger itself.
pub async fn lived_in() -> Desk {
    let mut desk = Desk::open().await;
    desk.users(1..=40).await;
    small(&desk).await;
    desk.chunks_of(3);
    large(&desk).await;
    chains(&desk).await;
    refused_and_repeated(&desk).await;
    unfinished(&desk).await;
    late(&desk).await;
    by_others(&desk).await;
    by_agents(&desk).await;
    deleted_and_pruned(&desk).await;
    desk
}

/// 1 into 2, in one transaction: every kind of ticket and of CC.
async fn small(desk: &Desk) {
    desk.tickets(10, 3, 1, "open").await;
    desk.tickets(20, 2, 1, "closed").await;
    desk.archived_tickets(30, 4, 1).await;
    desk.tickets(40, 5, 5, "open").await;
    for (ticket, user) in [(40, 1), (41, 1), (41, 2), (10, 2), (11, 1)] {
        desk.cc(ticket, user).await;
    }
    desk.identity(1, "email", "one@example.com", true).await;
    desk.identity(1, "email", "uno@example.com", false).await;
    desk.identity(1, "phone", "+4930123456", true).await;
    desk.identity(1, "x", "one", false).await;
    desk.identity(2, "email", "two@example.com", true).await;
    desk.execute("INSERT INTO helpdesk.archived_ticket_ccs VALUES (1, 30, 1), (1, 31, 2)")
        .await;
    desk.run(&request(1, 2)).await.unwrap();
}

/// 3 into 4, in chunks.
async fn large(desk: &Desk) {
    desk.tickets(100, 10, 3, "pending").await;
    desk.archived_tickets(120, 7, 3).await;
    desk.execute("INSERT INTO helpdesk.ticket_ccs SELECT 1, id, 3 FROM generate_series(40, 44) id")
        .await;
    desk.run(&request(3, 4)).await.unwrap();
}

/// 2 into 6, to which 1 leads then, and two more into 6.
async fn chains(desk: &Desk) {
    desk.tickets(140, 2, 7, "open").await;
    for source in [2, 7, 8] {
        desk.run(&request(source, 6)).await.unwrap();
    }
}

async fn refused_and_repeated(desk: &Desk) {
    for request in [
        request(9, 9),
        request(10, 999),
        request(10, 2),
        // R1, R2 and R3.
        request(1, 2),
        key("merge-1-2", 22, 23),
        key("again", 1, 2),
        key("once more", 1, 6),
    ] {
        desk.run(&request).await.unwrap();
    }
}

/// 11 into 12 was given up halfway, 13 into 14 before it began, and 15 into 16 is at work.
async fn unfinished(desk: &Desk) {
    desk.tickets(160, 5, 11, "open").await;
    desk.tickets(170, 5, 15, "open").await;
    for request in [request(11, 12), request(15, 16)] {
        desk.run_one_chunk(&request).await.unwrap();
    }
    let mut last_try = desk.settings.clone();
    last_try.retry.max_attempts = 1;
    let merger = Merger::new(user_merge::app::pool(&last_try).unwrap(), &last_try);
    for (request, fence) in [(request(11, 12), Some(1)), (request(13, 14), None)] {
        let cause = Cause::Panic { fence };
        let failed = merger.fail(envelope(&request), b"{}", &cause).await;
        assert!(matches!(failed, Ok(Given::Up { .. })), "{failed:?}");
    }
}

/// What reached 1 and 7 after their merges was moved on; the sweep had been there.
async fn late(desk: &Desk) {
    desk.tickets(180, 2, 7, "new").await;
    desk.archived_tickets(185, 1, 1).await;
    desk.cc(42, 7).await;
    desk.identity(7, "email", "seven@example.com", true).await;
    let moved = desk.merger().move_late(None, 3_600.0, 100).await.unwrap();
    assert_eq!(moved, (5, None));
}

/// The help desk's own tool merged 17 into 18 and 19 into 17, in its own manner.
async fn by_others(desk: &Desk) {
    desk.tickets(190, 2, 17, "open").await;
    desk.cc(40, 19).await;
    desk.identity(19, "email", "nineteen@example.com", true)
        .await;
    desk.execute(
        "UPDATE helpdesk.users SET merged_into = 18, merged_at = now() WHERE id = 17;
         UPDATE helpdesk.users SET merged_into = 17, merged_at = now() WHERE id = 19;
         INSERT INTO helpdesk.ticket_events (account_id, ticket_id, field, old_value, new_value, via)
         VALUES (1, 191, 'requester_id', '17', '18', 'user_merge')",
    )
    .await;
    // R3 without a record of who did it.
    desk.run(&request(17, 18)).await.unwrap();
    // And 33, into which 34 was merged by us, it merged into 35.
    desk.run(&request(34, 33)).await.unwrap();
    desk.execute("UPDATE helpdesk.users SET merged_into = 35, merged_at = now() WHERE id = 33")
        .await;
}

/// While 24 is merged into 25, an agent gives a ticket back: it is moved twice, and rightly logged twice.
async fn by_agents(desk: &Desk) {
    desk.tickets(200, 8, 24, "open").await;
    desk.run_one_chunk(&request(24, 25)).await.unwrap();
    desk.execute("UPDATE helpdesk.tickets SET requester_id = 24 WHERE id = 200")
        .await;
    desk.run(&request(24, 25)).await.unwrap();
    let entries = "SELECT count(*) FROM helpdesk.ticket_events WHERE ticket_id = 200";
    assert_eq!(desk.number(entries).await, 2);
}

/// The deletion pipeline took 20, whose merge is so old that its events are gone; of 26 it has emptied the row.
/// An account that nobody knows asked for a merge, and another one has users that look like these.
async fn deleted_and_pruned(desk: &Desk) {
    desk.user(
        50,
        NewUser {
            set: "tags = '{vip}', external_id = 'e'",
            ..NewUser::default()
        },
    )
    .await;
    desk.tickets(220, 2, 20, "open").await;
    for request in [request(20, 21), request(26, 27), request(50, 27)] {
        desk.run(&request).await.unwrap();
    }
    desk.execute(
        "DELETE FROM helpdesk.users WHERE id = 20;
         UPDATE helpdesk.users SET deleted_at = now(), merged_into = NULL WHERE id = 26;
         UPDATE user_merge.merges SET completed_at = now() - interval '400 days'
         WHERE source_user_id IN (20, 3);
         UPDATE user_merge.outbox SET published_at = now() - interval '400 days', created_at = now() - interval '400 days'
         WHERE merge_id IN (SELECT id FROM user_merge.merges WHERE source_user_id IN (20, 3));
         DELETE FROM user_merge.outbox WHERE published_at < now() - interval '7 days' AND destination <> 'deletion'",
    )
    .await;
    let mut unknown = request(1, 2);
    unknown.account_id = 77.try_into().unwrap();
    desk.run(&unknown).await.unwrap();
    desk.copy_account(2).await;
}
