//! Rules T: tickets and CCs, each for a merge in one transaction and for one in chunks.

mod archiving;
mod ccs;
mod copied;
mod failing;
mod lanes;
mod ledger;
mod meanwhile;
mod requesters;

use crate::harness::Desk;

/// The source and the target of these tests, two other users, and an agent.
async fn people(desk: &Desk) {
    desk.users([1, 2, 3, 4]).await;
    let agent = crate::harness::NewUser {
        role: "agent",
        ..Default::default()
    };
    desk.user(77, agent).await;
}

/// Fails unless the merge's own counts say what its log entries say (rules T2 and T8).
async fn assert_counts_match_the_log(desk: &Desk) {
    let counted = desk
        .text(
            "SELECT concat_ws(' ', sum(live + closed + archived), sum(ccs_moved), sum(ccs_deduplicated))
             FROM user_merge.merges",
        )
        .await;
    let logged = desk
        .text(
            "SELECT concat_ws(' ', count(*) FILTER (WHERE field = 'requester_id'),
                              count(*) FILTER (WHERE field = 'cc' AND new_value IS NOT NULL),
                              count(*) FILTER (WHERE field = 'cc' AND new_value IS NULL))
             FROM helpdesk.ticket_events WHERE via = 'user_merge'",
        )
        .await;
    assert_eq!(counted, logged, "tickets, CCs moved, CCs deduplicated");
}
