//! T8: a chunk's rows, their log entries and the merge's progress commit together, or not at all.

use user_merge::merge::Ending;

use super::{assert_counts_match_the_log, people};
use crate::harness::{Desk, Shape, request};

/// Where a write of the merge can fail, and how much chunks before it have moved by then. A trigger raises:
/// on this table, before this, for this row.
struct Place {
    what: &'static str,
    table: &'static str,
    before: &'static str,
    row: &'static str,
    moved: i64,
}

const fn place(
    what: &'static str,
    (table, before, row): (&'static str, &'static str, &'static str),
    moved: i64,
) -> Place {
    Place {
        what,
        table,
        before,
        row,
        moved,
    }
}

const PLACES: [Place; 6] = [
    place("a ticket", ("helpdesk.tickets", "UPDATE", "NEW.id = 14"), 3),
    place(
        "an archived one",
        ("helpdesk.archived_tickets", "UPDATE", "NEW.id = 24"),
        11,
    ),
    place(
        "a log entry",
        ("helpdesk.ticket_events", "INSERT", "NEW.ticket_id = 14"),
        3,
    ),
    place(
        "a CC that goes",
        ("helpdesk.ticket_ccs", "DELETE", "OLD.ticket_id = 34"),
        19,
    ),
    place(
        "a CC that comes",
        ("helpdesk.ticket_ccs", "INSERT", "NEW.ticket_id = 34"),
        19,
    ),
    place(
        "progress",
        ("user_merge.merges", "INSERT OR UPDATE", "NEW.live >= 5"),
        3,
    ),
];

async fn fill(desk: &Desk) {
    people(desk).await;
    desk.tickets(10, 8, 1, "open").await;
    desk.archived_tickets(20, 8, 1).await;
    desk.tickets(30, 8, 4, "closed").await;
    for ticket in 30..38 {
        desk.cc(ticket, 1).await;
    }
    desk.execute(
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'broken for a test'; END $$",
    )
    .await;
}

/// What is moved, logged and counted.
async fn state(desk: &Desk) -> (i64, i64, i64) {
    let moved = desk
        .number(
            "SELECT (SELECT count(*) FROM helpdesk.tickets WHERE requester_id = 2)
                  + (SELECT count(*) FROM helpdesk.archived_tickets WHERE requester_id = 2)
                  + (SELECT count(*) FROM helpdesk.ticket_ccs WHERE user_id = 2)",
        )
        .await;
    let logged = desk
        .number("SELECT count(*) FROM helpdesk.ticket_events")
        .await;
    let counted = desk
        .number(
            "SELECT coalesce(sum(live + closed + archived + ccs_moved + ccs_deduplicated), 0)::bigint
             FROM user_merge.merges",
        )
        .await;
    (moved, logged, counted)
}

/// T8: whichever write of a chunk fails, its rows, log entries and progress agree, chunks before it are kept,
/// and once the cause is gone the merge ends as if nothing had been.
#[tokio::test]
async fn t8_an_error_in_the_middle_of_a_chunk_leaves_nothing_half_done() {
    for shape in Shape::BOTH {
        for place in PLACES {
            let what = format!("{}, {shape:?}", place.what);
            let desk = shape.desk().await;
            fill(&desk).await;
            desk.execute(&format!(
                "CREATE TRIGGER broken BEFORE {} ON {} FOR EACH ROW WHEN ({}) EXECUTE FUNCTION raise()",
                place.before, place.table, place.row
            ))
            .await;

            let error = desk.run(&request(1, 2)).await.unwrap_err();
            assert!(!error.is_passing(), "{what}: {error}");
            assert!(
                !error.to_string().contains("broken"),
                "the server's words can quote a row"
            );

            let (moved, logged, counted) = state(&desk).await;
            assert_eq!((logged, counted), (moved, moved), "{what}");
            let chunks_before = match shape {
                Shape::OneTransaction => 0,
                Shape::Chunks => place.moved,
            };
            assert_eq!(moved, chunks_before, "{what}");
            assert_eq!(
                desk.number("SELECT count(*) FROM helpdesk.users WHERE merged_into IS NOT NULL")
                    .await,
                0,
                "{what}"
            );

            desk.execute(&format!("DROP TRIGGER broken ON {}", place.table))
                .await;
            let report = desk.run(&request(1, 2)).await.unwrap();
            assert_eq!(report.ending, Ending::Completed, "{what}");
            assert_eq!(state(&desk).await, (24, 24, 24), "{what}");
            assert_counts_match_the_log(&desk).await;
            shape.assert_was_used(&desk).await;
        }
    }
}

/// T8 and R4: a merge that pauses after each chunk has, at each pause, as many rows moved as logged as counted,
/// never moves a chunk twice, and ends.
#[tokio::test]
async fn t8_at_every_pause_rows_log_and_progress_agree() {
    let shape = Shape::Chunks;
    let desk = shape.desk().await;
    fill(&desk).await;
    let merger = desk.merger();

    let mut seen = Vec::new();
    let ending = loop {
        let report = desk.run_slice(&merger, &request(1, 2)).await.unwrap();
        let (moved, logged, counted) = state(&desk).await;
        assert_eq!((logged, counted), (moved, moved));
        seen.push(moved);
        if report.ending != Ending::SliceOver {
            break report.ending;
        }
        assert!(seen.len() < 20, "it makes no progress: {seen:?}");
    };

    assert_eq!(ending, Ending::Completed);
    assert_eq!(seen, [3, 6, 8, 11, 14, 16, 19, 22, 24, 24]);
    shape.assert_was_used(&desk).await;
}
