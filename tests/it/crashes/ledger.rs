//! What the help desk must be in the end, worked out by the rules and not by the program: read before the worker
//! starts, changed by a model of a few lines, compared row by row.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::Desk;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ticket {
    is_archived: bool,
    requester: i64,
    ccs: BTreeSet<i64>,
    /// All that no merge changes.
    rest: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    user: i64,
    is_primary: bool,
}

/// Account 1, and what nobody may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    tickets: BTreeMap<i64, Ticket>,
    /// By kind and value.
    identities: BTreeMap<String, Identity>,
    /// All that no merge changes of a user.
    users: Vec<String>,
    /// Who each merged user is today.
    merged: BTreeMap<i64, i64>,
    /// The ticket event log, in order.
    log: Vec<String>,
    /// Every row of another account, and of users who take part in nothing, as they are.
    untouched: Vec<String>,
}

impl Ledger {
    pub async fn read(desk: &Desk) -> Self {
        let mut all = tickets(desk, "").await;
        all.extend(tickets(desk, "archived_").await);
        let identities = desk
            .list(
                "SELECT concat_ws(' ', user_id, is_primary::int, kind || ':' || value)
                 FROM helpdesk.user_identities WHERE account_id = 1",
            )
            .await;
        let identities = identities.iter().map(|line| {
            let [user, is_primary, name] = words(line);
            let identity = Identity {
                user: user.parse().unwrap(),
                is_primary: is_primary == "1",
            };
            (name.to_owned(), identity)
        });
        let merged = desk
            .list(
                "SELECT concat_ws(' ', id, merged_into, '') FROM helpdesk.users
                 WHERE account_id = 1 AND merged_into IS NOT NULL",
            )
            .await;
        let merged = merged.iter().map(|line| {
            let [user, today, _] = words(line);
            (user.parse().unwrap(), today.parse().unwrap())
        });
        let mut untouched = desk.account_rows(9).await;
        for (table, condition) in [
            ("users", "id IN (3, 4)"),
            ("user_identities", "user_id IN (3, 4)"),
            ("tickets", "requester_id IN (3, 4)"),
            ("archived_tickets", "requester_id IN (3, 4)"),
        ] {
            let condition = format!("account_id = 1 AND {condition}");
            untouched.extend(desk.rows(table, &condition).await);
        }
        Self {
            tickets: all,
            identities: identities.collect(),
            users: desk
                .list(
                    "SELECT (to_jsonb(u) - 'updated_at' - 'merged_at' - 'merged_into')::text
                     FROM helpdesk.users u WHERE account_id = 1 ORDER BY id",
                )
                .await,
            merged: merged.collect(),
            log: sorted(desk.log().await),
            untouched,
        }
    }

    /// Rules T1, T2, T4, T5, P1, P4 and D3, where the target has an address and a number of its own.
    pub fn merge(&mut self, source: i64, target: i64) {
        for (id, ticket) in &mut self.tickets {
            let mut cc = |new: &str, old: i64| self.log.push(format!("{id} cc {old}>{new}"));
            let is_moved = ticket.requester == source;
            if is_moved {
                ticket.requester = target;
            }
            if !ticket.is_archived {
                let is_kept = !is_moved && ticket.requester != target;
                if ticket.ccs.remove(&source) {
                    let is_new = is_kept && ticket.ccs.insert(target);
                    let new = if is_new {
                        target.to_string()
                    } else {
                        String::new()
                    };
                    cc(&new, source);
                }
                if is_moved && ticket.ccs.remove(&target) {
                    cc("", target);
                }
            }
            if is_moved {
                self.log
                    .push(format!("{id} requester_id {source}>{target}"));
            }
        }
        for identity in self.identities.values_mut() {
            if identity.user == source {
                *identity = Identity {
                    user: target,
                    is_primary: false,
                };
            }
        }
        for today in self.merged.values_mut().filter(|today| **today == source) {
            *today = target;
        }
        self.merged.insert(source, target);
        self.log.sort();
    }

    /// Users that are merged in the end: each is to be deleted.
    pub fn merged(&self) -> impl Iterator<Item = i64> {
        self.merged.keys().copied()
    }

    /// Row by row: that much has moved, and nothing else has changed.
    pub async fn assert_holds(&self, desk: &Desk) {
        let found = Self::read(desk).await;
        assert_eq!(found.tickets, self.tickets);
        assert_eq!(found.log, self.log, "exactly one entry for each change");
        assert_eq!(found.identities, self.identities);
        assert_eq!(found.merged, self.merged);
        assert_eq!(found.users, self.users);
        assert_eq!(found.untouched, self.untouched);
    }
}

async fn tickets(desk: &Desk, prefix: &str) -> BTreeMap<i64, Ticket> {
    let lines = desk
        .list(&format!(
            "SELECT concat_ws(' ', t.id, t.requester_id, coalesce(
                 (SELECT string_agg(c.user_id::text, ',') FROM helpdesk.{prefix}ticket_ccs c
                  WHERE c.account_id = 1 AND c.ticket_id = t.id), '-') || ' ' ||
                 (to_jsonb(t) - 'id' - 'requester_id' - 'updated_at')::text)
             FROM helpdesk.{prefix}tickets t WHERE t.account_id = 1"
        ))
        .await;
    let tickets = lines.iter().map(|line| {
        let [id, requester, others] = words(line);
        let (ccs, rest) = others.split_once(' ').unwrap();
        let ccs = ccs.split(',').filter(|cc| *cc != "-");
        let ticket = Ticket {
            is_archived: !prefix.is_empty(),
            requester: requester.parse().unwrap(),
            ccs: ccs.map(|cc| cc.parse().unwrap()).collect(),
            rest: rest.to_owned(),
        };
        (id.parse().unwrap(), ticket)
    });
    tickets.collect()
}

/// The first two words, and what follows.
fn words(line: &str) -> [&str; 3] {
    let mut words = line.splitn(3, ' ');
    [(); 3].map(|()| words.next().unwrap())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}
