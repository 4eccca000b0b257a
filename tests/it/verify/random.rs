//! Random help desks after random merges: they hold, and whatever one mistake changes is found.

use user_merge::domain::MergeRequest;

use crate::harness::{Desk, Dice, Shape, found, key};

const CASES: usize = 5;
const USERS: u64 = 8;

async fn fill(desk: &Desk, dice: &mut Dice) {
    desk.users(1..=8).await;
    for ticket in 1..=40 {
        let requester = someone(dice);
        if dice.below(3) == 0 {
            desk.archived_tickets(ticket, 1, requester).await;
        } else {
            let status = dice.pick(&["new", "open", "solved", "closed"]);
            desk.tickets(ticket, 1, requester, status).await;
            for user in 1..=8 {
                if dice.below(4) == 0 {
                    desk.cc(ticket, user).await;
                }
            }
        }
    }
    for user in 1..=8 {
        desk.identity(user, "email", &format!("{user}@example.com"), true)
            .await;
    }
}

fn someone(dice: &mut Dice) -> i64 {
    i64::try_from(dice.below(USERS)).unwrap() + 1
}

fn requests(dice: &mut Dice) -> Vec<MergeRequest> {
    let request = |n| key(&format!("merge-{n}"), someone(dice), someone(dice));
    // The first one has something to do.
    let mut requests = vec![key("merge", 1, 2)];
    requests.extend((0..7).map(request));
    requests
}

/// A change of one row that no merge makes, in something that a merge wrote.
fn mistake(dice: &mut Dice) -> &'static str {
    dice.pick(&[
        "WITH one AS (SELECT id FROM helpdesk.ticket_events ORDER BY random() LIMIT 1)
         DELETE FROM helpdesk.ticket_events e USING one WHERE e.id = one.id RETURNING e.merge_id::text",
        "INSERT INTO helpdesk.ticket_events
             (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
         SELECT account_id, ticket_id, field, old_value, new_value, via, merge_id, true
         FROM helpdesk.ticket_events ORDER BY random() LIMIT 1 RETURNING merge_id::text",
        "WITH one AS (SELECT id FROM helpdesk.ticket_events ORDER BY random() LIMIT 1)
         UPDATE helpdesk.ticket_events e SET old_value = '77' FROM one WHERE e.id = one.id RETURNING e.merge_id::text",
        "WITH one AS (SELECT * FROM user_merge.outbox WHERE destination = 'deletion' ORDER BY random() LIMIT 1)
         DELETE FROM user_merge.outbox o USING one WHERE o.id = one.id RETURNING o.merge_id::text",
        "WITH one AS (SELECT * FROM user_merge.merges
                      WHERE state = 'completed' AND NOT (outcome -> 'already_merged')::boolean
                      ORDER BY random() LIMIT 1), done AS (
             INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
             SELECT 1, 99, source_user_id, 1, 'x' FROM one)
         SELECT id::text FROM one",
        "WITH one AS (SELECT * FROM user_merge.merges
                      WHERE state = 'completed' AND NOT (outcome -> 'already_merged')::boolean
                      ORDER BY random() LIMIT 1)
         UPDATE helpdesk.users SET merged_into = NULL FROM one WHERE users.id = one.source_user_id
         RETURNING one.id::text",
    ])
}

#[tokio::test]
async fn random_merges_hold_and_any_one_mistake_is_found() {
    let mut dice = Dice::new();
    for _ in 0..CASES {
        let shape = dice.pick(&Shape::BOTH);
        let mut desk = shape.desk().await;
        desk.settings.merge.move_archived_ccs = dice.below(2) == 0;
        fill(&desk, &mut dice).await;
        for request in requests(&mut dice) {
            if dice.below(2) == 0 {
                desk.run_one_chunk(&request).await.unwrap();
                desk.assert_verified().await;
            }
            desk.run(&request).await.unwrap();
        }
        desk.assert_verified().await;

        let sql = mistake(&mut dice);
        let merge = desk.text(sql).await.unwrap();
        let report = desk.verify().await;
        let found = found(&report);
        let is_it = |of: &&(_, user_merge::verify::Finding)| of.1.merge_id.to_string() == merge;
        assert!(
            found.iter().any(|of| is_it(&of)),
            "{sql}: {merge} is not in {found:?}"
        );
    }
}
