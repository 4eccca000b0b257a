//! Rules R1, R2 and A: what becomes of a request.

use super::world::{Account, Request, User};

/// The answer to a request, before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// R1: what is on record, once more.
    Repeat,
    /// R2.
    KeyReused,
    /// A3 and R3.
    AlreadyMerged,
    /// A1 to A9, with the canonical user where the rule says so.
    Reject(&'static str, Option<i64>),
    /// A10.
    PutOff,
    /// Go ahead, or go on.
    Merge,
}

impl Account {
    pub fn answer(&self, request: &Request) -> Answer {
        if let Some(merge) = self.merges.get(&request.key) {
            if (merge.source, merge.target) != (request.source, request.target) {
                return Answer::KeyReused;
            }
            if ["completed", "rejected"].contains(&merge.state) {
                return Answer::Repeat;
            }
            if merge.holds_users {
                return Answer::Merge; // R4: an admitted one is not asked again
            }
        }
        self.admit(request).err().unwrap_or(Answer::Merge)
    }

    fn admit(&self, request: &Request) -> Result<(), Answer> {
        let (source, target) = (request.source, request.target);
        let no = |is_refused: bool, reason| {
            let refusal = Answer::Reject(reason, None);
            if is_refused { Err(refusal) } else { Ok(()) }
        };

        // A1
        no(source == target, "same_user")?;
        // R3: merged into this very user, by its own merge or by those that followed.
        if let Some(key) = self.merged_by(source)
            && (self.merges[key].target == target || self.today(source) == Some(target))
        {
            return Err(Answer::AlreadyMerged);
        }
        // A2. Of a merged user the record still tells when its row is gone.
        let elsewhere = Answer::Reject("source_merged_elsewhere", self.today(source));
        let Some(s) = self.users.get(&source) else {
            no(self.merged_by(source).is_none(), "source_not_found")?;
            return Err(elsewhere);
        };
        let Some(t) = self.users.get(&target) else {
            return Err(Answer::Reject("target_not_found", None));
        };
        // A3
        if s.merged_into.is_some() {
            return Err(elsewhere);
        }
        // A4
        if t.merged_into.is_some() {
            return Err(Answer::Reject("target_merged", self.today(target)));
        }
        // A5
        no(s.deleted, "source_deleted")?;
        no(t.deleted, "target_deleted")?;
        // A6
        no(s.role != "end_user", "source_not_end_user")?;
        no(t.role != "end_user", "target_not_end_user")?;
        // A7
        let unreachable = |user: &User, id| {
            let contacts = [self.identities_of(id, "email"), self.identities_of(id, "x")].concat();
            !user.verified && contacts.is_empty()
        };
        no(unreachable(s, source), "source_unverified_without_contact")?;
        no(unreachable(t, target), "target_unverified_without_contact")?;
        // A8
        let too_many = |id| {
            let requested = self.tickets.values().filter(|t| t.requester == id).count();
            requested > self.rules.ticket_limit
        };
        no(too_many(source), "source_too_many_tickets")?;
        no(too_many(target), "target_too_many_tickets")?;
        // A9
        let has_id = |user: &User| user.external_id.is_some_and(|id| !id.trim().is_empty());
        no(self.by_token && has_id(s), "source_external_id")?;
        no(self.by_token && has_id(t), "target_external_id")?;
        // A10: a source is in one merge at a time, a target may receive several, nobody is both.
        if self.conflicts(request) {
            Err(Answer::PutOff)
        } else {
            Ok(())
        }
    }

    pub fn conflicts(&self, request: &Request) -> bool {
        let (source, target) = (request.source, request.target);
        self.merges.iter().any(|(key, merge)| {
            let is_part = [source, target].contains(&merge.source) || merge.target == source;
            merge.holds_users && *key != request.key && is_part
        })
    }
}
