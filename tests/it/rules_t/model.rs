//! Rules T1, T2, T4, T5 and D3 against a model of a few lines: random help desks, random merges one after the
//! other, the same tickets, CCs, entries and canonical users after each.

use std::collections::{BTreeMap, BTreeSet};

use user_merge::domain::MergeRequest;
use user_merge::merge::Ending;

use crate::harness::{Desk, Dice, key};

const CASES: i64 = 25;
const MERGES: usize = 4;
const USERS: i64 = 6;
const TICKETS: i64 = 14;

#[derive(Debug)]
struct Ticket {
    is_archived: bool,
    requester: i64,
    ccs: BTreeSet<i64>,
}

/// A help desk as the rules see it.
#[derive(Debug, Default)]
struct World {
    tickets: BTreeMap<i64, Ticket>,
    /// Who each merged user is today.
    merged: BTreeMap<i64, i64>,
    /// Log entries so far.
    entries: usize,
}

impl World {
    fn random(dice: &mut Dice) -> Self {
        let mut world = Self::default();
        for id in 1..=TICKETS {
            let ccs = (1..=USERS).filter(|_| dice.below(3) == 0).collect();
            let ticket = Ticket {
                is_archived: dice.below(3) == 0,
                requester: someone(dice),
                ccs,
            };
            world.tickets.insert(id, ticket);
        }
        world
    }

    /// Whether the pair may be merged; if so, does it.
    fn merge(&mut self, source: i64, target: i64, archived_ccs: bool) -> bool {
        if source == target
            || self.merged.contains_key(&source)
            || self.merged.contains_key(&target)
        {
            return false;
        }
        for ticket in self.tickets.values_mut() {
            let is_moved = ticket.requester == source;
            if is_moved {
                ticket.requester = target;
                self.entries += 1;
            }
            if ticket.is_archived && !archived_ccs {
                continue;
            }
            let was_copied = ticket.ccs.remove(&source);
            self.entries += usize::from(was_copied);
            if is_moved {
                self.entries += usize::from(ticket.ccs.remove(&target));
            } else if was_copied && ticket.requester != target {
                ticket.ccs.insert(target);
            }
        }
        for today in self.merged.values_mut().filter(|today| **today == source) {
            *today = target;
        }
        self.merged.insert(source, target);
        true
    }

    /// As [`read`] has it.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .tickets
            .iter()
            .map(|(id, ticket)| {
                let place = if ticket.is_archived {
                    "archived"
                } else {
                    "live"
                };
                let ccs: Vec<String> = ticket.ccs.iter().map(ToString::to_string).collect();
                format!("{place} {id} of {} for {}", ticket.requester, ccs.join(","))
            })
            .collect();
        for user in 1..=USERS {
            let today = self.merged.get(&user).unwrap_or(&user);
            lines.push(format!("user {user} is {today}"));
        }
        lines.push(format!("{} entries", self.entries));
        lines.sort();
        lines
    }

    async fn write(&self, desk: &Desk, account: i64) {
        desk.account(account, &["password"], false).await;
        let mut sql = format!(
            "INSERT INTO helpdesk.users (account_id, id, name, verified)
             SELECT {account}, id, 'someone', true FROM generate_series(1, {USERS}) id;"
        );
        for (id, ticket) in &self.tickets {
            let prefix = if ticket.is_archived { "archived_" } else { "" };
            let requester = ticket.requester;
            sql += &format!(
                "INSERT INTO helpdesk.{prefix}tickets
                     (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
                 VALUES ({account}, {id}, {requester}, {requester}, 'closed', 'subject', now(), now());"
            );
            for user in &ticket.ccs {
                sql += &format!(
                    "INSERT INTO helpdesk.{prefix}ticket_ccs VALUES ({account}, {id}, {user});"
                );
            }
        }
        desk.execute(&sql).await;
    }
}

async fn read(desk: &Desk, account: i64) -> Vec<String> {
    let tickets = |place: &str, prefix: &str| {
        format!(
            "SELECT '{place} ' || t.id || ' of ' || t.requester_id || ' for ' || coalesce((
                 SELECT string_agg(c.user_id::text, ',' ORDER BY c.user_id) FROM helpdesk.{prefix}ticket_ccs c
                 WHERE c.account_id = t.account_id AND c.ticket_id = t.id), '') AS line
             FROM helpdesk.{prefix}tickets t WHERE t.account_id = {account}"
        )
    };
    let sql = format!(
        "{} UNION ALL {}
         UNION ALL SELECT 'user ' || id || ' is ' || user_merge.canonical_user({account}, id)
                   FROM generate_series(1, {USERS}) id
         UNION ALL SELECT count(*) || ' entries' FROM helpdesk.ticket_events
                   WHERE account_id = {account} AND via = 'user_merge' AND suppress_triggers",
        tickets("live", ""),
        tickets("archived", "archived_")
    );
    let mut lines = desk.list(&sql).await;
    lines.sort();
    lines
}

fn someone(dice: &mut Dice) -> i64 {
    1 + i64::try_from(dice.below(u64::try_from(USERS).unwrap())).unwrap()
}

/// T1, T2, T4, T5 and D3: after each of a few random merges, in chunks of any size, with archived CCs moved or
/// not, the help desk is what the model is.
#[tokio::test]
async fn t1_t2_t4_t5_d3_any_merges_end_as_the_model_does() {
    let mut dice = Dice::new();
    let mut desk = Desk::open().await;
    for account in 100..100 + CASES {
        let rows = dice.pick(&[1, 2, 3, 5, 500]);
        let chunk = &mut desk.settings.chunk;
        (chunk.initial, chunk.min, chunk.max) = (rows, rows, rows);
        let archived_ccs = dice.below(2) == 0;
        desk.settings.merge.move_archived_ccs = archived_ccs;
        let merger = desk.merger();
        let mut world = World::random(&mut dice);
        world.write(&desk, account).await;
        assert_eq!(read(&desk, account).await, world.lines());

        for n in 0..MERGES {
            let (source, target) = (someone(&mut dice), someone(&mut dice));
            let what = format!(
                "{source} into {target} in account {account}, {rows} rows a chunk, archived CCs {archived_ccs}: {world:?}"
            );
            let request = MergeRequest {
                account_id: account.try_into().unwrap(),
                ..key(&format!("merge-{n}"), source, target)
            };
            let report = desk.run_with(&merger, &request).await.unwrap();
            let is_merged = world.merge(source, target, archived_ccs);
            assert_eq!(report.ending == Ending::Completed, is_merged, "{what}");
            assert_eq!(read(&desk, account).await, world.lines(), "{what}");
        }
    }
}
