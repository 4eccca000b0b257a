//! Rules T: what moves, and what the log says of it.

use super::world::{Account, Moved};

impl Account {
    /// T1 to T3, and T5 for the CCs of the two on this ticket.
    pub fn move_ticket(&mut self, id: i64, source: i64, target: i64, key: &str) -> Moved {
        let mut moved = Moved::default();
        let ticket = self.tickets.get_mut(&id).unwrap();
        assert_eq!(ticket.requester, source);
        ticket.requester = target;
        match (ticket.is_archived, ticket.status) {
            (true, _) => moved.archived += 1,
            (false, "closed") => moved.closed += 1,
            (false, _) => moved.live += 1,
        }
        self.log
            .push(entry(id, "requester_id", source, Some(target), key));
        if !ticket.is_archived || self.rules.move_archived_ccs {
            for user in [source, target] {
                if ticket.ccs.remove(&user) {
                    moved.ccs_dropped += 1;
                    self.log.push(entry(id, "cc", user, None, key));
                }
            }
        }
        moved
    }

    /// T4 and T5: the source's CC on a ticket goes to the target, or goes.
    pub fn move_cc(&mut self, id: i64, source: i64, target: i64, key: &str) -> Moved {
        let mut moved = Moved::default();
        let ticket = self.tickets.get_mut(&id).unwrap();
        assert!(ticket.ccs.remove(&source));
        let is_requester = [source, target].contains(&ticket.requester);
        if !is_requester && ticket.ccs.insert(target) {
            moved.ccs_given += 1;
            self.log.push(entry(id, "cc", source, Some(target), key));
        } else {
            moved.ccs_dropped += 1;
            self.log.push(entry(id, "cc", source, None, key));
        }
        moved
    }

    pub fn tickets_of(&self, user: i64) -> Vec<i64> {
        let all = self.tickets.iter();
        all.filter(|(_, ticket)| ticket.requester == user)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The tickets with a CC of this user's that moves.
    pub fn copied_on(&self, user: i64) -> Vec<i64> {
        let archived_too = self.rules.move_archived_ccs;
        let all = self.tickets.iter();
        all.filter(|(_, ticket)| archived_too || !ticket.is_archived)
            .filter(|(_, ticket)| ticket.ccs.contains(&user))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Everything that the source has.
    pub fn move_all(&mut self, source: i64, target: i64, key: &str) -> Moved {
        let mut all = Moved::default();
        for id in self.tickets_of(source) {
            all += self.move_ticket(id, source, target, key);
        }
        for id in self.copied_on(source) {
            all += self.move_cc(id, source, target, key);
        }
        all
    }
}

impl std::ops::AddAssign for Moved {
    fn add_assign(&mut self, other: Self) {
        self.live += other.live;
        self.closed += other.closed;
        self.archived += other.archived;
        self.ccs_given += other.ccs_given;
        self.ccs_dropped += other.ccs_dropped;
    }
}

fn entry(ticket: i64, field: &str, old: i64, new: Option<i64>, key: &str) -> String {
    let new = new.map(|new| new.to_string()).unwrap_or_default();
    format!("entry: ticket {ticket} {field} {old}>{new} via user_merge true by {key}")
}
