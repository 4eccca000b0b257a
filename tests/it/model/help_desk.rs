//! What others do meanwhile: agents, end users, the deletion pipeline; and the sweep (rule D4).

use super::world::{Account, Identity, Ticket};

/// Something that happens at the help desk.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// A ticket is opened.
    Open { requester: i64, closed: bool },
    /// A user is copied on a ticket.
    Copy { ticket: i64, user: i64 },
    /// A CC is taken off.
    Uncopy { ticket: i64, user: i64 },
    /// A ticket is put into the archive.
    Archive { ticket: i64 },
    /// An agent gives a ticket to another requester.
    Give { ticket: i64, to: i64 },
    /// A user gets an e-mail address.
    Address { user: i64 },
    /// An agent deletes a user: the row stays, marked.
    Delete { user: i64 },
    /// A user becomes an agent.
    Promote { user: i64 },
    /// The deletion pipeline removes a merged user.
    Purge { user: i64 },
}

impl Account {
    /// Does it, where it can be done; returns the statements that do the same to the database.
    pub fn act(&mut self, act: Act) -> Option<String> {
        let a = self.id;
        Some(match act {
            Act::Open { requester, closed } => {
                self.users.get(&requester)?;
                let id = self.tickets.keys().max().map_or(1, |id| id + 1);
                let ticket = Ticket {
                    is_archived: false,
                    requester,
                    submitter: requester,
                    organization: None,
                    status: if closed { "closed" } else { "open" },
                    ccs: std::collections::BTreeSet::new(),
                };
                let sql = ticket.insert(a, id);
                self.tickets.insert(id, ticket);
                sql
            }
            Act::Copy { ticket, user } => {
                self.users.get(&user)?;
                let copied = self.tickets.get_mut(&ticket)?;
                if copied.is_archived || !copied.ccs.insert(user) {
                    return None;
                }
                format!("INSERT INTO helpdesk.ticket_ccs VALUES ({a}, {ticket}, {user})")
            }
            Act::Uncopy { ticket, user } => {
                let copied = self.tickets.get_mut(&ticket)?;
                if copied.is_archived || !copied.ccs.remove(&user) {
                    return None;
                }
                format!(
                    "DELETE FROM helpdesk.ticket_ccs
                     WHERE account_id = {a} AND ticket_id = {ticket} AND user_id = {user}"
                )
            }
            Act::Archive { ticket: id } => {
                let ticket = self.tickets.get_mut(&id).filter(|t| !t.is_archived)?;
                ticket.is_archived = true;
                format!(
                    "DELETE FROM helpdesk.ticket_ccs WHERE account_id = {a} AND ticket_id = {id};
                     DELETE FROM helpdesk.tickets WHERE account_id = {a} AND id = {id};
                     {}",
                    ticket.insert(a, id)
                )
            }
            Act::Give { ticket: id, to } => {
                self.users.get(&to)?;
                let ticket = self.tickets.get_mut(&id)?;
                ticket.requester = to;
                let table = ticket.table();
                format!(
                    "UPDATE {table} SET requester_id = {to} WHERE account_id = {a} AND id = {id}"
                )
            }
            Act::Address { user } => {
                self.users.get(&user)?;
                let id = self.identities.keys().max().map_or(1, |id| id + 1);
                let identity = Identity {
                    user,
                    kind: "email",
                    value: format!("late{id}@Example.org"),
                    is_primary: self.identities_of(user, "email").is_empty(),
                    verified: id % 2 == 0,
                };
                let sql = identity.insert(a, id);
                self.identities.insert(id, identity);
                sql
            }
            Act::Delete { user } => {
                self.users.get_mut(&user)?.deleted = true;
                format!(
                    "UPDATE helpdesk.users SET deleted_at = now() WHERE account_id = {a} AND id = {user}"
                )
            }
            Act::Promote { user } => {
                self.users.get_mut(&user)?.role = "agent";
                format!(
                    "UPDATE helpdesk.users SET role = 'agent' WHERE account_id = {a} AND id = {user}"
                )
            }
            Act::Purge { user } => self.purge(user)?,
        })
    }

    /// Only a tombstone that nothing refers to; what does is the sweep's to move on.
    fn purge(&mut self, user: i64) -> Option<String> {
        self.users.get(&user)?.merged_into?;
        let is_copied = |ticket: &Ticket| !ticket.is_archived && ticket.ccs.contains(&user);
        let mut all = self.tickets.values();
        if all.any(|ticket| ticket.requester == user || is_copied(ticket)) {
            return None;
        }
        self.users.remove(&user);
        self.identities.retain(|_, identity| identity.user != user);
        let of_user = format!("WHERE account_id = {} AND user_id = {user}", self.id);
        Some(format!(
            "DELETE FROM helpdesk.user_identities {of_user};
             DELETE FROM helpdesk.organization_memberships {of_user};
             DELETE FROM helpdesk.users WHERE account_id = {} AND id = {user}",
            self.id
        ))
    }

    /// D4: whatever has reached a tombstone since is moved on; returns how much.
    pub fn sweep(&mut self) -> i64 {
        let mut all = 0;
        for (source, key) in self.merged.clone() {
            let Some(target) = self.users.get(&source).and_then(|user| user.merged_into) else {
                continue;
            };
            let moved = self.move_all(source, target, &key).all();
            let emails = i64::try_from(self.move_emails(source, target)).unwrap();
            self.merges.get_mut(&key).unwrap().late += moved + emails;
            all += moved + emails;
        }
        all
    }
}

impl Ticket {
    pub fn table(&self) -> &'static str {
        if self.is_archived {
            "helpdesk.archived_tickets"
        } else {
            "helpdesk.tickets"
        }
    }

    /// The rows of a ticket and its CCs.
    pub fn insert(&self, account: i64, id: i64) -> String {
        let table = self.table();
        let Self {
            requester,
            submitter,
            status,
            ..
        } = self;
        let organization = self
            .organization
            .map_or("NULL".to_owned(), |id| id.to_string());
        let mut sql = format!(
            "INSERT INTO {table} (account_id, id, requester_id, submitter_id, organization_id, status,
                                  subject, created_at, updated_at)
             VALUES ({account}, {id}, {requester}, {submitter}, {organization}, '{status}',
                     'subject', now(), now());"
        );
        let ccs = table.replace("tickets", "ticket_ccs");
        for user in &self.ccs {
            sql += &format!("INSERT INTO {ccs} VALUES ({account}, {id}, {user});");
        }
        sql
    }
}

impl Identity {
    pub fn insert(&self, account: i64, id: i64) -> String {
        let Self {
            user,
            kind,
            value,
            is_primary,
            verified,
        } = self;
        format!(
            "INSERT INTO helpdesk.user_identities (account_id, id, user_id, kind, value, is_primary, verified)
             VALUES ({account}, {id}, {user}, '{kind}', '{value}', {is_primary}, {verified});"
        )
    }
}
