//! T5 and T9: who is copied on a ticket while a chunk moves it, by a transaction that doesn't touch the ticket.

use super::{assert_counts_match_the_log, people};
use crate::harness::{Desk, Shape, eventually, request};

async fn desk() -> Desk {
    let desk = Shape::Chunks.desk().await;
    people(&desk).await;
    desk.tickets(10, 7, 1, "open").await;
    desk
}

/// A chunk doesn't wait for such a transaction, so it counts as done after the move. The source's CC is still found
/// before the end, which waits for it; the target stays copied on what is its own ticket by then, as if it had been
/// added later.
#[tokio::test]
async fn t5_who_is_copied_while_the_ticket_moves_is_copied_after_the_move() {
    for (user, then, entry) in [(1, "", Some("14 cc 1>")), (2, "14:2", None)] {
        let desk = desk().await;
        // In its first chunk, past its admission, which locks the source.
        let agent = desk
            .begin_with("UPDATE helpdesk.tickets SET subject = 'edited' WHERE id = 10")
            .await;
        let merge = desk.start(&request(1, 2));
        desk.merge_waits_for(&agent).await;
        let copy = format!("INSERT INTO helpdesk.ticket_ccs VALUES (1, 14, {user})");
        let copying = desk.begin_with(&copy).await;
        agent.commit().await;
        eventually("the ticket moved", || async {
            let moved = "SELECT count(*) FROM helpdesk.tickets WHERE id = 14 AND requester_id = 2";
            (desk.number(moved).await == 1).then_some(())
        })
        .await;
        if user == 1 {
            desk.merge_waits_for(&copying).await;
        }
        copying.commit().await;

        merge.await.unwrap().unwrap();
        assert_eq!(desk.ccs("ticket_ccs").await, then);
        let log = desk.log().await;
        let of_ccs: Vec<_> = log.iter().filter(|line| line.contains("cc")).collect();
        assert_eq!(of_ccs, Vec::from_iter(entry));
        assert_counts_match_the_log(&desk).await;
        Shape::Chunks.assert_was_used(&desk).await;
    }
}

/// Many CCs on many tickets, in chunks that both have more of than would do for a slip: those of the two users on what
/// moves go, each with its entry, and no other.
#[tokio::test]
async fn t5_of_many_ccs_only_those_on_what_moves_go() {
    let mut desk = desk().await;
    desk.chunks_of(200);
    // 1000 to 1999 in turn the source's, the target's and somebody else's; all three are copied on most of them.
    desk.execute(
        "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, subject)
         SELECT 1, id, 1 + id % 3, 4, 'subject' FROM generate_series(1000, 1999) id;
         INSERT INTO helpdesk.ticket_ccs
         SELECT 1, id, user_id FROM generate_series(1000, 1999) id, generate_series(1, 3) user_id
         WHERE id % 7 > 0",
    )
    .await;
    let untouched = "SELECT count(*) FROM helpdesk.ticket_ccs c JOIN helpdesk.tickets t
                     ON t.account_id = c.account_id AND t.id = c.ticket_id
                     WHERE c.user_id = 3 OR c.user_id = 2 AND t.requester_id IN (2, 3) AND t.id % 3 > 0";
    let before = desk.number(untouched).await;

    let ccs = desk.run(&request(1, 2)).await.unwrap().moved.ccs;

    let on = |rest: i64| (1000..2000).filter(move |id| id % 3 == rest && id % 7 > 0);
    let (of_source, elsewhere) = (on(0).count(), on(1).count() + on(2).count());
    assert_eq!(
        ccs.moved, 0,
        "the target was copied wherever the source was"
    );
    assert_eq!(
        usize::try_from(ccs.deduplicated).unwrap(),
        2 * of_source + elsewhere
    );
    assert_eq!(desk.number(untouched).await, before);
    let left = "SELECT count(*) FROM helpdesk.ticket_ccs c JOIN helpdesk.tickets t
                ON t.account_id = c.account_id AND t.id = c.ticket_id
                WHERE c.user_id = 1 OR c.user_id = 2 AND t.requester_id = 2 AND t.id % 3 = 0";
    assert_eq!(desk.number(left).await, 0);
    assert_counts_match_the_log(&desk).await;
    Shape::Chunks.assert_was_used(&desk).await;
}
