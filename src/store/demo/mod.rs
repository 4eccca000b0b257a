//! The demo's statements: a help desk to be filled, looked at before and after, and checked. None of them is
//! shared with the merge, so that a mistake there can't hide itself here. Each begins with `/* demo */`: the
//! worker's database role has no right to most of them, and needs none.

mod accounts;
mod actors;
mod ccs;
mod check;
mod contributions;
mod identities;
mod people;
mod portrait;
mod progress;
mod snapshot;
mod tickets;

pub use accounts::{Account, Ownership, make_accounts, ownership};
pub use actors::{Actor, add_actors};
pub use ccs::add_ccs;
pub use check::{Findings, Recorded, findings, recorded};
pub use contributions::add_contributions;
pub use identities::add_identities;
pub use people::add_people;
pub use portrait::{Portrait, ShownTicket, portrait, shown_tickets};
pub use progress::{Span, is_held, span};
pub use snapshot::{CcRow, IdentityRow, LogRow, MembershipRow, Rows, TicketRow, UserRow, rows};
pub use tickets::{NewTicket, add_known_tickets, add_many_tickets, add_tickets};
