//! Moving all that locked sources have, for one merge or for several (rules T1, T4, T9).

use std::time::Instant;

use super::Merger;
use super::chunks::measure;
use super::relation::Relation;
use crate::store::helpdesk::UserFacts;
use crate::store::merges::Progress;
use crate::store::moves::{
    Locks, Moved, Whole, lock_all_archived_tickets, lock_all_tickets, move_all_archived_ccs,
    move_all_archived_tickets, move_all_ccs, move_all_tickets,
};
use crate::store::{Pairs, Result, Transaction};

/// A locked source and what is known of it.
pub(super) struct Source<'a> {
    pub whole: Whole,
    pub facts: &'a UserFacts,
}

impl Merger {
    /// Moves what the sources have, inside a transaction that holds the locks on them: nothing can be added. In the
    /// sources' order; `None` where somebody else has a ticket of it locked that wasn't waited for: nothing of it is
    /// moved then, and it must not be finished.
    pub(super) async fn sweep(
        &self,
        tx: &mut Transaction,
        sources: &[Source<'_>],
        locks: Locks,
    ) -> Result<Vec<Option<Progress>>> {
        let mut swept = vec![Some(Progress::default()); sources.len()];
        // All locks come before the first move: what is passed over in one relation must not be moved in another.
        let live = lock_all(tx, Relation::Tickets, sources, &mut swept, locks).await?;
        let archived = lock_all(tx, Relation::ArchivedTickets, sources, &mut swept, locks).await?;
        for relation in Relation::all(self.rules.move_archived_ccs) {
            let (places, wholes, counted) = part(relation, sources, &swept);
            let locked = |ids: &[Vec<i64>]| -> Vec<i64> {
                places
                    .iter()
                    .flat_map(|&place| ids[place].iter().copied())
                    .collect()
            };
            let ids = match relation {
                Relation::Tickets => locked(&live),
                Relation::ArchivedTickets => locked(&archived),
                Relation::Ccs | Relation::ArchivedCcs => Vec::new(),
            };
            let is_of_tickets = matches!(relation, Relation::Tickets | Relation::ArchivedTickets);
            if places.is_empty() || is_of_tickets && ids.is_empty() {
                continue;
            }
            let archived_ccs = self.rules.move_archived_ccs;
            let began = Instant::now();
            let moved = match relation {
                Relation::Tickets => move_all_tickets(tx, &wholes, &ids).await?,
                Relation::ArchivedTickets => {
                    move_all_archived_tickets(tx, &wholes, &ids, archived_ccs).await?
                }
                Relation::Ccs => move_all_ccs(tx, &wholes, counted).await?,
                Relation::ArchivedCcs => move_all_archived_ccs(tx, &wholes, counted).await?,
            };
            let all = Moved {
                rows: moved.iter().map(|moved| moved.rows).sum(),
                ..Moved::default()
            };
            measure(began.elapsed(), all);
            for (place, moved) in places.into_iter().zip(moved) {
                if let Some(progress) = &mut swept[place] {
                    *progress += moved;
                }
            }
        }
        Ok(swept)
    }
}

/// The sources that have something to move: where, which, and how many rows in all. There are as many as were counted,
/// for the sources are locked; or the count was capped.
fn part(
    relation: Relation,
    sources: &[Source<'_>],
    swept: &[Option<Progress>],
) -> (Vec<usize>, Vec<Whole>, i64) {
    let has_some = |place: &usize| relation.rows(sources[*place].facts) > 0;
    let places = (0..sources.len()).filter(|&place| swept[place].is_some());
    let places: Vec<usize> = places.filter(has_some).collect();
    let wholes = places.iter().map(|&place| sources[place].whole).collect();
    let counted = places
        .iter()
        .map(|&place| relation.rows(sources[place].facts));
    let counted = counted.sum();
    (places, wholes, counted)
}

/// The ids of the sources' tickets, locked. Where there are fewer than were counted some were passed over, and the
/// merge with them.
async fn lock_all(
    tx: &mut Transaction,
    relation: Relation,
    sources: &[Source<'_>],
    swept: &mut [Option<Progress>],
    locks: Locks,
) -> Result<Vec<Vec<i64>>> {
    let mut ids = vec![Vec::new(); sources.len()];
    let (places, wholes, counted) = part(relation, sources, swept);
    if places.is_empty() {
        return Ok(ids);
    }
    let pairs = Pairs::new(wholes.iter().map(|whole| whole.pair));
    let locked = match relation {
        Relation::Tickets => lock_all_tickets(tx, &pairs, counted, locks).await?,
        _ => lock_all_archived_tickets(tx, &pairs, counted, locks).await?,
    };
    for (place, locked) in places.into_iter().zip(locked) {
        let counted = relation.rows(sources[place].facts);
        let is_whole = i64::try_from(locked.len()).is_ok_and(|n| n >= counted);
        if locks == Locks::Skip && !is_whole {
            swept[place] = None;
        }
        ids[place] = locked;
    }
    Ok(ids)
}
