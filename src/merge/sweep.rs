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
    /// sources' order; `None` where somebody else has a row of it locked that wasn't waited for, and which therefore
    /// must not be finished.
    pub(super) async fn sweep(
        &self,
        tx: &mut Transaction,
        sources: &[Source<'_>],
        locks: Locks,
    ) -> Result<Vec<Option<Progress>>> {
        let mut swept = vec![Some(Progress::default()); sources.len()];
        for relation in Relation::all(self.rules.move_archived_ccs) {
            let places: Vec<usize> = (0..sources.len())
                .filter(|&place| swept[place].is_some() && relation.rows(sources[place].facts) > 0)
                .collect();
            if places.is_empty() {
                continue;
            }
            let part: Vec<&Source<'_>> = places.iter().map(|&place| &sources[place]).collect();
            let began = Instant::now();
            let moved = self.move_all(tx, relation, &part, locks).await?;
            let rows = moved.iter().flatten().map(|moved| moved.rows).sum();
            measure(
                began.elapsed(),
                Moved {
                    rows,
                    ..Moved::default()
                },
            );
            for (place, moved) in places.into_iter().zip(moved) {
                match (&mut swept[place], moved) {
                    (Some(progress), Some(moved)) => *progress += moved,
                    (progress, _) => *progress = None,
                }
            }
        }
        Ok(swept)
    }

    async fn move_all(
        &self,
        tx: &mut Transaction,
        relation: Relation,
        sources: &[&Source<'_>],
        locks: Locks,
    ) -> Result<Vec<Option<Moved>>> {
        let wholes: Vec<Whole> = sources.iter().map(|source| source.whole).collect();
        let pairs = Pairs::new(wholes.iter().map(|whole| whole.pair));
        // There are as many as were counted, for the sources are locked; or the count was capped.
        let counted = sources
            .iter()
            .map(|source| relation.rows(source.facts))
            .sum();
        let ids = match relation {
            Relation::Tickets => lock_all_tickets(tx, &pairs, counted, locks).await?,
            Relation::ArchivedTickets => {
                lock_all_archived_tickets(tx, &pairs, counted, locks).await?
            }
            Relation::Ccs => return Ok(all(move_all_ccs(tx, &wholes, counted).await?)),
            Relation::ArchivedCcs => {
                return Ok(all(move_all_archived_ccs(tx, &wholes, counted).await?));
            }
        };
        // Fewer than there are: some were passed over, and the merge with them.
        let is_whole = |(ids, source): (&Vec<i64>, &&Source<'_>)| {
            locks == Locks::Wait
                || i64::try_from(ids.len()).is_ok_and(|n| n >= relation.rows(source.facts))
        };
        let are_whole: Vec<bool> = ids.iter().zip(sources).map(is_whole).collect();
        let kept = || are_whole.iter().zip(0..).filter(|(is_whole, _)| **is_whole);
        let wholes: Vec<Whole> = kept().map(|(_, place)| wholes[place]).collect();
        let ids: Vec<i64> = kept()
            .flat_map(|(_, place)| ids[place].iter().copied())
            .collect();
        if ids.is_empty() {
            return Ok(are_whole
                .iter()
                .map(|is_whole| is_whole.then(Moved::default))
                .collect());
        }
        let moved = match relation {
            Relation::Tickets => move_all_tickets(tx, &wholes, &ids).await?,
            _ => move_all_archived_tickets(tx, &wholes, &ids, self.rules.move_archived_ccs).await?,
        };
        let mut moved = moved.into_iter();
        let each = |is_whole: bool| if is_whole { moved.next() } else { None };
        Ok(are_whole.into_iter().map(each).collect())
    }
}

fn all(moved: Vec<Moved>) -> Vec<Option<Moved>> {
    moved.into_iter().map(Some).collect()
}
