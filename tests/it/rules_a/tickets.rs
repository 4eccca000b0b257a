//! A8: how many tickets each of the two may request.

use user_merge::domain::Reason;
use user_merge::merge::Ending;

use crate::harness::{Desk, key, request};

/// A8: the limit is inclusive, counts live, closed and archived tickets of each user together, and no CCs.
#[tokio::test]
async fn a8_the_limit_is_inclusive_and_counts_all_tickets_but_no_ccs() {
    let mut desk = Desk::open().await;
    desk.settings.merge.ticket_limit = 10;
    desk.users([1, 2, 3]).await;
    for user in [1, 2] {
        desk.tickets(user * 100, 3, user, "open").await;
        desk.tickets(user * 100 + 10, 3, user, "closed").await;
        desk.archived_tickets(user * 100 + 20, 4, user).await;
    }
    // CCs on as many tickets of somebody else don't count.
    desk.tickets(300, 10, 3, "open").await;
    for ticket in 300..310 {
        desk.cc(ticket, 1).await;
        desk.cc(ticket, 2).await;
    }
    let cases = [
        (1, "open", Reason::SourceTooManyTickets),
        (1, "closed", Reason::SourceTooManyTickets),
        (2, "open", Reason::TargetTooManyTickets),
        (2, "closed", Reason::TargetTooManyTickets),
    ];
    for (user, status, reason) in cases {
        desk.tickets(900, 1, user, status).await;
        let report = desk
            .run(&key(&format!("{user} {status}"), 1, 2))
            .await
            .unwrap();
        super::assert_rejected(&report, reason, None);
        desk.execute("DELETE FROM helpdesk.tickets WHERE id = 900")
            .await;
    }
    for (user, reason) in [
        (1, Reason::SourceTooManyTickets),
        (2, Reason::TargetTooManyTickets),
    ] {
        desk.archived_tickets(900, 1, user).await;
        let report = desk
            .run(&key(&format!("{user} archived"), 1, 2))
            .await
            .unwrap();
        super::assert_rejected(&report, reason, None);
        desk.execute("DELETE FROM helpdesk.archived_tickets WHERE id = 900")
            .await;
    }
    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    assert_eq!(report.moved.tickets.total(), 10);
}

/// A8: with the setting's default, 10,000 tickets are merged and 10,001 are not.
#[tokio::test]
async fn a8_ten_thousand_tickets_are_merged_and_one_more_is_not() {
    let desk = Desk::open().await;
    desk.users([1, 2]).await;
    desk.tickets(1, 2_000, 1, "open").await;
    desk.tickets(2_001, 3_000, 1, "closed").await;
    desk.archived_tickets(5_001, 5_001, 1).await;

    let report = desk.run(&key("one too many", 1, 2)).await.unwrap();
    super::assert_rejected(&report, Reason::SourceTooManyTickets, None);
    let report = desk.run(&key("the other way round", 2, 1)).await.unwrap();
    super::assert_rejected(&report, Reason::TargetTooManyTickets, None);

    desk.execute("DELETE FROM helpdesk.archived_tickets WHERE id = 10001")
        .await;
    let report = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(report.ending, Ending::Completed);
    let moved = report.moved.tickets;
    assert_eq!(
        (moved.live, moved.closed, moved.archived),
        (2_000, 3_000, 5_000)
    );
}

/// A8: checked at admission only; what comes afterwards aborts nothing.
#[tokio::test]
async fn a8_growth_after_admission_aborts_nothing() {
    let mut desk = Desk::open().await;
    desk.settings.merge.ticket_limit = 30;
    desk.chunks_of(10);
    desk.users([1, 2]).await;
    desk.tickets(1, 30, 1, "open").await;

    let first = desk.run_one_chunk(&request(1, 2)).await.unwrap();
    assert_eq!(first.ending, Ending::SliceOver);
    desk.tickets(101, 40, 1, "open").await;
    desk.tickets(201, 40, 2, "open").await;

    let rest = desk.run(&request(1, 2)).await.unwrap();
    assert_eq!(rest.ending, Ending::Completed);
    assert_eq!(first.moved.tickets.total() + rest.moved.tickets.total(), 70);
}
