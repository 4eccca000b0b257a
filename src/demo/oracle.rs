//! What the tables must hold afterwards, worked out from what they held before and from the rules, row by row
//! and in plain Rust: nothing of the merge's own code has a part in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::store::demo::{Rows, TicketRow};

use super::oracle_profile as profile;

/// Settings that bend the rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bends {
    pub move_archived_ccs: bool,
    pub carry_social_identities: bool,
}

/// An entry that the log must have: account, ticket, field, who it was.
pub(super) type Entry = (i64, i64, &'static str, i64);

/// The rows of the accounts, as the rules have them.
pub(super) struct World {
    pub rows: Rows,
    /// By the place of its ticket among `rows.tickets`: who is copied.
    pub ccs: Vec<BTreeSet<i64>>,
    /// How often each entry must be there.
    pub log: BTreeMap<Entry, usize>,
    /// CC rows that went because they would have been there twice (rule T5).
    pub deduplicated: usize,
    /// Users that a merge may have changed: account and id.
    pub involved: BTreeSet<(i64, i64)>,
    /// Tickets that a merge moved, each once for each merge.
    pub moved: usize,
    requested: HashMap<(i64, i64), Vec<usize>>,
    copied: HashMap<(i64, i64), Vec<usize>>,
    bends: Bends,
    several: BTreeSet<i64>,
}

impl World {
    /// The world before the first merge. `several`: accounts whose users may be in several organizations.
    pub(super) fn new(rows: Rows, bends: Bends, several: BTreeSet<i64>) -> Self {
        let mut requested: HashMap<_, Vec<_>> = HashMap::new();
        let mut places = HashMap::new();
        for (place, ticket) in rows.tickets.iter().enumerate() {
            let whose = (ticket.account, ticket.requester);
            requested.entry(whose).or_default().push(place);
            places.insert((ticket.account, ticket.archived, ticket.id), place);
        }
        let mut ccs = vec![BTreeSet::new(); rows.tickets.len()];
        let mut copied: HashMap<_, Vec<_>> = HashMap::new();
        for cc in &rows.ccs {
            let place = places[&(cc.account, cc.archived, cc.ticket)];
            ccs[place].insert(cc.user);
            copied.entry((cc.account, cc.user)).or_default().push(place);
        }
        Self {
            rows,
            ccs,
            log: BTreeMap::new(),
            deduplicated: 0,
            involved: BTreeSet::new(),
            moved: 0,
            requested,
            copied,
            bends,
            several,
        }
    }

    /// Whether merged users may have no CC on archived tickets either (rule T4).
    pub(super) const fn moves_archived_ccs(&self) -> bool {
        self.bends.move_archived_ccs
    }

    /// Merges two users by the book.
    pub(super) fn merge(&mut self, account: i64, source: i64, target: i64) {
        self.involved.extend([(account, source), (account, target)]);
        self.move_tickets(account, source, target);
        self.move_ccs(account, source, target);
        profile::identities(
            &mut self.rows.identities,
            (account, source, target),
            self.bends.carry_social_identities,
        );
        let several = self.several.contains(&account);
        profile::organizations(&mut self.rows, (account, source, target), several);
        for user in &mut self.rows.users {
            let leads_to_source = user.id == source || user.merged_into == Some(source);
            if user.account == account && leads_to_source {
                user.merged_into = Some(target); // D1 and D3
            }
        }
    }

    /// T1, T2, and the collisions of T5 on tickets that the source requests.
    fn move_tickets(&mut self, account: i64, source: i64, target: i64) {
        let places = self
            .requested
            .remove(&(account, source))
            .unwrap_or_default();
        for &place in &places {
            self.rows.tickets[place].requester = target;
            self.moved += 1;
            self.write(place, "requester_id", source);
            if self.ccs_move(place) {
                for user in [source, target] {
                    if self.ccs[place].remove(&user) {
                        self.deduplicated += 1;
                        self.write(place, "cc", user);
                    }
                }
            }
        }
        self.requested
            .entry((account, target))
            .or_default()
            .extend(places);
    }

    /// T4, and the collisions of T5 on other tickets.
    fn move_ccs(&mut self, account: i64, source: i64, target: i64) {
        for place in self.copied.remove(&(account, source)).unwrap_or_default() {
            if !self.ccs_move(place) || !self.ccs[place].remove(&source) {
                continue;
            }
            self.write(place, "cc", source);
            let is_requester = self.rows.tickets[place].requester == target;
            if is_requester || !self.ccs[place].insert(target) {
                self.deduplicated += 1;
            } else {
                self.copied
                    .entry((account, target))
                    .or_default()
                    .push(place);
            }
        }
    }

    fn ccs_move(&self, place: usize) -> bool {
        !self.rows.tickets[place].archived || self.bends.move_archived_ccs
    }

    fn write(&mut self, place: usize, field: &'static str, old: i64) {
        let TicketRow { account, id, .. } = self.rows.tickets[place];
        *self.log.entry((account, id, field, old)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::demo::CcRow;

    fn world(requester: i64, copied: &[i64], archived: bool) -> World {
        let ticket = TicketRow {
            account: 1,
            id: 5,
            archived,
            requester,
            touched: chrono::DateTime::UNIX_EPOCH,
            rest: 0,
        };
        let ccs = copied.iter().map(|&user| CcRow {
            account: 1,
            archived,
            ticket: 5,
            user,
        });
        let rows = Rows {
            tickets: vec![ticket],
            ccs: ccs.collect(),
            identities: vec![],
            memberships: vec![],
            users: vec![],
            log: vec![],
            contributions: vec![],
        };
        let bends = Bends {
            move_archived_ccs: false,
            carry_social_identities: false,
        };
        World::new(rows, bends, BTreeSet::new())
    }

    /// T5: the book's own reading of each collision, source 7 into target 8, with somebody else, 9.
    #[test]
    fn t5_each_collision_ends_as_the_rule_says() {
        struct Case(i64, &'static [i64], bool, i64, &'static [i64], usize);
        let cases = [
            Case(9, &[7], false, 9, &[8], 0),
            Case(9, &[7, 8], false, 9, &[8], 1),
            Case(8, &[7], false, 8, &[], 1),
            Case(7, &[8], false, 8, &[], 1),
            Case(7, &[7, 9], false, 8, &[9], 1),
            Case(7, &[7, 8], false, 8, &[], 2),
            Case(9, &[7], true, 9, &[7], 0),
            Case(7, &[8], true, 8, &[8], 0),
        ];
        for Case(requester, copied, archived, then, left, gone) in cases {
            let mut world = world(requester, copied, archived);
            world.merge(1, 7, 8);
            let ccs: Vec<i64> = world.ccs[0].iter().copied().collect();
            let result = (world.rows.tickets[0].requester, &*ccs, world.deduplicated);
            assert_eq!(
                result,
                (then, left, gone),
                "{requester} {copied:?} {archived}"
            );
        }
    }
}
