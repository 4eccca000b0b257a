//! What a merge moves.

use crate::domain::Pair;
use crate::store::helpdesk::UserFacts;
use crate::store::moves::{
    Chunk, Moved, Picked, Range, move_archived_ccs, move_archived_tickets, move_ccs, move_tickets,
    pick_archived_ccs, pick_archived_tickets, pick_ccs, pick_tickets,
};
use crate::store::{Connection, Result};

/// What is moved, in this order: a ticket's own requester is settled before its CCs (rule T5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Tickets,
    ArchivedTickets,
    Ccs,
    ArchivedCcs,
}

impl Relation {
    /// All that move under the setting for CCs on archived tickets.
    pub(super) fn all(archived_ccs: bool) -> impl Iterator<Item = Self> {
        [
            Self::Tickets,
            Self::ArchivedTickets,
            Self::Ccs,
            Self::ArchivedCcs,
        ]
        .into_iter()
        .filter(move |relation| *relation != Self::ArchivedCcs || archived_ccs)
    }

    /// Where the next `limit` rows of the range end.
    pub(super) async fn pick(
        self,
        connection: &mut Connection,
        pair: Pair,
        range: Range,
        limit: i64,
    ) -> Result<Picked> {
        match self {
            Self::Tickets => pick_tickets(connection, pair, range, limit).await,
            Self::ArchivedTickets => pick_archived_tickets(connection, pair, range, limit).await,
            Self::Ccs => pick_ccs(connection, pair, range, limit).await,
            Self::ArchivedCcs => pick_archived_ccs(connection, pair, range, limit).await,
        }
    }

    pub(super) async fn move_chunk(
        self,
        connection: &mut Connection,
        chunk: Chunk,
    ) -> Result<Moved> {
        match self {
            Self::Tickets => move_tickets(connection, chunk).await,
            Self::ArchivedTickets => move_archived_tickets(connection, chunk).await,
            Self::Ccs => move_ccs(connection, chunk).await,
            Self::ArchivedCcs => move_archived_ccs(connection, chunk).await,
        }
    }

    pub(super) const fn rows(self, source: &UserFacts) -> i64 {
        match self {
            Self::Tickets => source.tickets,
            Self::ArchivedTickets => source.archived_tickets,
            Self::Ccs => source.ccs,
            Self::ArchivedCcs => source.archived_ccs,
        }
    }
}
