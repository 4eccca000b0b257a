//! Several requests in one transaction: as safe as one by one. Each has its own outcome, none touches another, and
//! whatever is out of the ordinary is left for its own turn, untouched.

mod apart;
mod collisions;
mod crosstalk;
mod errors;
mod growth;
mod outcomes;
mod twice;
mod waiting;

use user_merge::domain::MergeRequest;
use user_merge::merge::{Ending, Report};

use crate::harness::Desk;
use crate::model::lines;

/// The endings; `None` for a request that has to go by itself.
fn endings(reports: &[Option<Report>]) -> Vec<Option<Ending>> {
    let ending = |report: &Option<Report>| report.as_ref().map(|report| report.ending);
    reports.iter().map(ending).collect()
}

/// As a worker does it: together, then by itself and in order whatever has to. The endings of all.
async fn run_all(desk: &Desk, requests: &[MergeRequest]) -> Vec<Ending> {
    let reports = desk.run_together(requests).await;
    let mut endings = Vec::new();
    for (request, report) in requests.iter().zip(reports) {
        endings.push(match report {
            Some(report) => report.ending,
            None => desk.run(request).await.unwrap().ending,
        });
    }
    endings
}

/// One by one, in order.
async fn run_singly(desk: &Desk, requests: &[MergeRequest]) -> Vec<Ending> {
    let mut endings = Vec::new();
    for request in requests {
        endings.push(desk.run(request).await.unwrap().ending);
    }
    endings
}

/// Runs the requests together on one copy of the desk and one by one on another: each has the same ending, and every
/// row, log entry and message is the same. Returns the first copy.
async fn assert_same_as_one_by_one(desk: &Desk, requests: &[MergeRequest]) -> Desk {
    let (together, singly) = (desk.copy().await, desk.copy().await);
    let endings = run_all(&together, requests).await;
    assert_eq!(endings, run_singly(&singly, requests).await);
    assert_same_lines(&together, &singly).await;
    together.assert_verified().await;
    assert_log_is_exact(&together).await;
    together
}

async fn assert_same_lines(together: &Desk, singly: &Desk) {
    let (together, singly) = (lines::read(together).await, lines::read(singly).await);
    let missing = |of: &[String], those: &[String]| {
        let lines = those.iter().filter(|line| !of.contains(line));
        lines.cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        (missing(&singly, &together), missing(&together, &singly)),
        (Vec::new(), Vec::new()),
        "only together, and only one by one"
    );
    assert_eq!(together.len(), singly.len(), "something is there twice");
}

/// T2 and T8: each merge's counts are those of its log entries; no ticket changed hands twice in one merge; no entry
/// is of a merge that isn't on record. D2: one deletion message for each completed merge.
async fn assert_log_is_exact(desk: &Desk) {
    let wrong = "
        SELECT to_jsonb(m)::text FROM user_merge.merges m
        WHERE live + closed + archived + ccs_moved + ccs_deduplicated <> (
            SELECT count(*) FROM helpdesk.ticket_events e
            WHERE e.account_id = m.account_id AND e.merge_id = m.id AND suppress_triggers AND via = 'user_merge')";
    assert_eq!(desk.list(wrong).await, [""; 0]);
    let unknown = "
        SELECT to_jsonb(e)::text FROM helpdesk.ticket_events e WHERE NOT EXISTS (
            SELECT FROM user_merge.merges m WHERE m.account_id = e.account_id AND m.id = e.merge_id)";
    assert_eq!(desk.list(unknown).await, [""; 0]);
    let doubled = "
        SELECT ticket_id::text FROM helpdesk.ticket_events WHERE field = 'requester_id'
        GROUP BY account_id, ticket_id, merge_id HAVING count(*) > 1";
    assert_eq!(desk.list(doubled).await, [""; 0]);
    let deletions = "
        SELECT message_id FROM user_merge.outbox WHERE destination = 'deletion' ORDER BY 1";
    let merged = "
        SELECT 'user-deletion:' || account_id || ':' || source_user_id FROM user_merge.merges
        WHERE state = 'completed' AND NOT (outcome->>'already_merged')::boolean ORDER BY 1";
    assert_eq!(desk.list(deletions).await, desk.list(merged).await);
}

/// Everything that a merge of this pair could have written: a request that was left alone leaves it as it was, to
/// the time of each row.
async fn traces(desk: &Desk, request: &MergeRequest) -> Vec<String> {
    let pair = request.pair();
    let (account, source, target) = (pair.account, pair.source, pair.target);
    let mut rows = Vec::new();
    for (table, user) in [
        ("users", "id"),
        ("user_identities", "user_id"),
        ("organization_memberships", "user_id"),
        ("tickets", "requester_id"),
        ("archived_tickets", "requester_id"),
        ("ticket_ccs", "user_id"),
        ("archived_ticket_ccs", "user_id"),
    ] {
        let mine = format!("account_id = {account} AND {user} IN ({source}, {target})");
        rows.extend(desk.rows(table, &mine).await);
    }
    let entries = format!(
        "account_id = {account}
         AND (old_value IN ('{source}', '{target}') OR new_value IN ('{source}', '{target}'))"
    );
    rows.extend(desk.rows("ticket_events", &entries).await);
    for (table, body) in [("merges", "to_jsonb(t)"), ("outbox", "t.body::jsonb")] {
        let user = |name: &str| format!("({body}->>'{name}')::bigint IN ({source}, {target})");
        rows.extend(
            desk.list(&format!(
                "SELECT '{table} ' || to_jsonb(t)::text FROM user_merge.{table} t
                 WHERE account_id = {account}
                   AND ({} OR {} OR coalesce({}, false) OR coalesce({}, false))
                 ORDER BY 1",
                user("source_user_id"),
                user("target_user_id"),
                user("user_id"),
                user("merged_into"),
            ))
            .await,
        );
    }
    rows
}

/// Four pairs of account 1, each source with live, closed and archived tickets, CCs, an address and a number. The
/// tests spoil the third.
async fn four_pairs(desk: &Desk) -> Vec<MergeRequest> {
    desk.users([90]).await;
    desk.execute("INSERT INTO helpdesk.organizations VALUES (1, 5, 'one')")
        .await;
    desk.tickets(9000, 4, 90, "open").await;
    desk.archived_tickets(9100, 4, 90).await;
    let mut requests = Vec::new();
    for n in 0..4_i64 {
        let (source, target) = (10 + n, 20 + n);
        desk.users([source, target]).await;
        desk.tickets(100 * source, 2, source, "open").await;
        desk.tickets(100 * source + 10, 1, source, "closed").await;
        desk.archived_tickets(100 * source + 20, 2, source).await;
        desk.cc(9000 + n, source).await;
        desk.cc(100 * source, target).await;
        let address = format!("user{source}@example.com");
        desk.identity(source, "email", &address, true).await;
        desk.execute(&format!(
            "INSERT INTO helpdesk.organization_memberships VALUES (1, {source}, 5, false)"
        ))
        .await;
        let number = format!("+4179123456{n}");
        desk.identity(source, "phone", &number, true).await;
        requests.push(crate::harness::request(source, target));
    }
    requests
}

/// The first two are done together, and the third is not; the last is done, or goes by itself as well. What goes by
/// itself was not touched.
async fn assert_third_stands_apart(
    desk: &Desk,
    requests: &[MergeRequest],
    before: &[Vec<String>],
    reports: &[Option<Report>],
) {
    let endings = endings(reports);
    let done = Some(Ending::Completed);
    assert_eq!(endings[..3], [done, done, None]);
    for place in 2..4 {
        let after = traces(desk, &requests[place]).await;
        match endings[place] {
            None => assert_eq!(after, before[place], "request {place} was touched"),
            ending => assert_eq!(ending, done),
        }
    }
    assert_log_is_exact(desk).await;
}

/// Everything about each request, as it is.
async fn all_traces(desk: &Desk, requests: &[MergeRequest]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for request in requests {
        all.push(traces(desk, request).await);
    }
    all
}

/// Nothing is in the way any more: all come to a good end, and none twice.
async fn assert_all_end_well(desk: &Desk, requests: &[MergeRequest]) {
    for request in &requests[2..] {
        desk.run(request).await.unwrap();
    }
    let states = "SELECT DISTINCT state FROM user_merge.merges";
    assert_eq!(desk.list(states).await, ["completed"]);
    assert_log_is_exact(desk).await;
    desk.assert_verified().await;
    let again = desk.run_together(requests).await;
    assert_eq!(endings(&again), [Some(Ending::Repeated); 4]);
    assert_log_is_exact(desk).await;
}
