//! All rules T at once, under a help desk that goes on working: at the end, what it wrote down for itself must
//! explain every row and every log entry.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use user_merge::merge::Ending;

use super::archiving::{PUT_AWAY, take_out};
use super::people;
use crate::harness::{Desk, Dice, Shape, Writer, request};

/// The writers go on until the merge is done, within a limit, and this much longer.
const MOST_TRANSACTIONS: u32 = 1_000;
const AFTERWARDS: u32 = 30;
const WRITERS: i64 = 2;

/// Tickets from 1000 on are the first writer's, from 2000 on the second's: they never work on the same one.
async fn fill(desk: &Desk) {
    people(desk).await;
    for writer in 1..=WRITERS {
        desk.tickets(writer * 1000, 30, 1, "open").await;
        desk.tickets(writer * 1000 + 30, 10, 1, "closed").await;
        desk.tickets(writer * 1000 + 40, 10, 3, "open").await;
    }
    desk.archived_tickets(100, 20, 1).await;
    // What the help desk knows: who was made a requester or copied, and whom a ticket was taken from.
    desk.execute(
        "CREATE TABLE history (ticket bigint NOT NULL, what text NOT NULL, user_id bigint NOT NULL);
         INSERT INTO history SELECT id, 'given', requester_id FROM helpdesk.tickets
         UNION ALL SELECT id, 'given', requester_id FROM helpdesk.archived_tickets",
    )
    .await;
}

/// One thing that a help desk does, written down in the same transaction.
async fn act(desk: &mut Writer, dice: &mut Dice, newest: &mut i64) -> Result<u64, sqlx::Error> {
    let first = *newest / 1000 * 1000;
    let span = u64::try_from(*newest - first + 1).unwrap();
    let ticket = first + i64::try_from(dice.below(span)).unwrap();
    let write_down =
        |rows: &str| format!("WITH done AS ({rows}) INSERT INTO history SELECT * FROM done");
    match dice.below(10) {
        0..=2 => {
            *newest += 1;
            let requester = dice.pick(&[1, 1, 3]);
            let opened = format!(
                "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
                 VALUES (1, {newest}, {requester}, {requester}, 'new') RETURNING id, 'given', requester_id"
            );
            desk.execute(&write_down(&opened)).await
        }
        3 => {
            let given = format!(
                "UPDATE helpdesk.tickets SET requester_id = 1 WHERE account_id = 1 AND id = {ticket}
                   AND requester_id = 3 RETURNING id, 'given', requester_id"
            );
            desk.execute(&write_down(&given)).await
        }
        4 => {
            // The old requester as the row had it under its lock.
            let taken = format!(
                "UPDATE helpdesk.tickets t SET requester_id = 4
                 FROM (SELECT account_id, id, requester_id FROM helpdesk.tickets
                       WHERE account_id = 1 AND id = {ticket} AND requester_id IN (1, 2) FOR UPDATE) old
                 WHERE t.account_id = old.account_id AND t.id = old.id
                 RETURNING t.id, 'taken', old.requester_id"
            );
            desk.execute(&write_down(&taken)).await
        }
        5..=7 => {
            let user = dice.pick(&[1, 1, 2, 3]);
            let copied = format!(
                "INSERT INTO helpdesk.ticket_ccs
                 SELECT account_id, id, {user} FROM helpdesk.tickets WHERE account_id = 1 AND id = {ticket}
                 ON CONFLICT DO NOTHING RETURNING ticket_id, 'copied', user_id"
            );
            desk.execute(&write_down(&copied)).await
        }
        _ => {
            desk.execute(&take_out(ticket)).await?;
            tokio::task::yield_now().await;
            desk.execute(&format!("{PUT_AWAY}; DROP TABLE taken, taken_ccs"))
                .await
        }
    }
}

/// Works through transactions of one to three acts. None may fail: the help desk doesn't give way.
async fn work(desk: Arc<Desk>, merged: CancellationToken, mut dice: Dice, writer: i64) {
    let mut newest = writer * 1000 + 49;
    let (mut while_merging, mut afterwards) = (0, 0);
    while while_merging < MOST_TRANSACTIONS && afterwards < AFTERWARDS {
        if merged.is_cancelled() {
            afterwards += 1;
        } else {
            while_merging += 1;
        }
        let mut tx = desk.begin().await;
        for _ in 0..=dice.below(3) {
            act(&mut tx, &mut dice, &mut newest)
                .await
                .expect("a transaction of the help desk's");
        }
        tx.commit().await;
    }
}

/// Merges as a worker would: what may pass is tried again. Returns how often that was.
async fn merge(desk: &Desk) -> u32 {
    let merger = desk.merger();
    let mut again = 0;
    loop {
        match desk.run_slice(&merger, &request(1, 2)).await {
            Ok(report) if report.ending == Ending::SliceOver => {}
            Ok(report) => {
                assert_eq!(report.ending, Ending::Completed);
                return again;
            }
            Err(error) => {
                assert!(error.is_worth_another_try(), "{error}");
                again += 1;
                assert!(again < 100, "it never gets through: {error}");
            }
        }
    }
}

/// Rows that the ledger doesn't explain; each query must come back empty.
const UNEXPLAINED: [(&str, &str); 7] = [
    (
        "a ticket in two places, or in none",
        "SELECT ticket::text FROM (SELECT DISTINCT ticket FROM history) h
         LEFT JOIN everywhere t ON t.id = h.ticket GROUP BY ticket HAVING count(t.id) <> 1",
    ),
    (
        "a wrong requester",
        "SELECT t.id || ' has ' || t.requester_id FROM everywhere t
         WHERE t.requester_id <> CASE
             WHEN EXISTS (SELECT FROM history WHERE ticket = t.id AND what = 'taken') THEN 4
             WHEN EXISTS (SELECT FROM history WHERE ticket = t.id AND what = 'given' AND user_id = 1) THEN 2
             ELSE 3 END",
    ),
    (
        "a wrong number of requester entries",
        "SELECT t.id::text FROM everywhere t
         WHERE (SELECT count(*) FROM helpdesk.ticket_events WHERE ticket_id = t.id AND field = 'requester_id')
            <> (SELECT count(*) FILTER (WHERE what = 'given' AND user_id = 1)
                     - count(*) FILTER (WHERE what = 'taken' AND user_id = 1) FROM history WHERE ticket = t.id)",
    ),
    (
        "a CC of the source's that went without an entry, or stayed",
        "SELECT t.id::text FROM everywhere t
         WHERE (SELECT count(*) FROM history WHERE ticket = t.id AND what = 'copied' AND user_id = 1)
            <> (SELECT count(*) FROM helpdesk.ticket_events
                WHERE ticket_id = t.id AND field = 'cc' AND old_value = '1')
             + (SELECT count(*) FROM copied WHERE ticket_id = t.id AND user_id = 1)",
    ),
    (
        "a CC of the target's that the log does not explain",
        "SELECT t.id::text FROM everywhere t
         WHERE (SELECT count(*) FROM history WHERE ticket = t.id AND what = 'copied' AND user_id = 2)
             + (SELECT count(*) FROM helpdesk.ticket_events
                WHERE ticket_id = t.id AND field = 'cc' AND old_value = '1' AND new_value = '2')
            <> (SELECT count(*) FROM helpdesk.ticket_events
                WHERE ticket_id = t.id AND field = 'cc' AND old_value = '2')
             + (SELECT count(*) FROM copied WHERE ticket_id = t.id AND user_id = 2)",
    ),
    (
        "a CC of somebody else's that is gone",
        "SELECT ticket::text FROM history h WHERE what = 'copied' AND user_id = 3
           AND NOT EXISTS (SELECT FROM copied WHERE ticket_id = h.ticket AND user_id = 3)",
    ),
    (
        "something on the tombstone",
        "SELECT 'ticket ' || id FROM everywhere WHERE requester_id = 1
         UNION ALL SELECT 'cc ' || ticket_id FROM helpdesk.ticket_ccs WHERE user_id = 1",
    ),
];

/// T1 to T9 and D4: with two writers that open, give, take, copy and archive all the while, and a sweep
/// afterwards, every ticket has exactly the requester that its history explains, with one entry for each move,
/// and nothing is left on the tombstone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t9_d4_the_ledger_explains_everything_under_a_busy_help_desk() {
    let mut dice = Dice::new();
    let mut desk = Shape::Chunks.desk().await;
    let fresh = Desk::open().await;
    desk.settings.database.lock_timeout = fresh.settings.database.lock_timeout;
    fill(&desk).await;
    let desk = Arc::new(desk);

    let done = CancellationToken::new();
    let writers: Vec<_> = (1..=WRITERS)
        .map(|writer| tokio::spawn(work(desk.clone(), done.clone(), dice.split(), writer)))
        .collect();
    let again = tokio::time::timeout(Duration::from_secs(50), merge(&desk))
        .await
        .unwrap();
    done.cancel();
    let merger = desk.merger();
    let mut late = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        // A sweep that loses to a writer has its next round.
        late += merger
            .move_late(None, 3600.0, 10)
            .await
            .map_or(0, |(moved, _)| moved);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    loop {
        let (moved, _) = merger.move_late(None, 3600.0, 10).await.unwrap();
        late += moved;
        if moved == 0 {
            break;
        }
    }
    println!("tried again {again} times, {late} came late");

    desk.execute(
        "CREATE VIEW everywhere AS SELECT id, requester_id FROM helpdesk.tickets
         UNION ALL SELECT id, requester_id FROM helpdesk.archived_tickets;
         CREATE VIEW copied AS SELECT * FROM helpdesk.ticket_ccs
         UNION ALL SELECT * FROM helpdesk.archived_ticket_ccs",
    )
    .await;
    for (what, query) in UNEXPLAINED {
        let rows: Vec<String> = desk.list(query).await;
        assert!(rows.is_empty(), "{what}: {rows:?}");
    }
    let counted = "SELECT concat_ws(' ', late, live + closed + archived + ccs_moved + ccs_deduplicated + late)
                   FROM user_merge.merges";
    let entries = desk
        .number("SELECT count(*) FROM helpdesk.ticket_events")
        .await;
    assert_eq!(
        desk.text(counted).await.unwrap(),
        format!("{late} {entries}")
    );
    assert_eq!(
        desk.number("SELECT count(*) FROM user_merge.outbox WHERE destination = 'deletion'")
            .await,
        1
    );
}
