//! A table of any size, in which each user's tickets are spread from one end to the other.

use anyhow::Result;

use super::{Batch, Desk};
use crate::servers::Servers;
use crate::sizes::SMALL;

/// Tickets of a user of whom there are few.
pub const MANY: i64 = 1_000;
const FIRST_LARGE: i64 = 10_000_000;
const FIRST_SMALL: i64 = 20_000_000;

pub struct Wide {
    pub desk: Desk,
    pub tickets: i64,
    /// Users that were given out, of those with many tickets and of those with few.
    taken: [i64; 2],
}

impl Wide {
    /// Nine tickets in ten are of users with a thousand, the others of users with five.
    pub async fn open(servers: &Servers, name: &str, tickets: i64) -> Result<Self> {
        let desk = Desk::empty(servers, name).await?;
        let (large, small) = (large_users(tickets), small_users(tickets));
        for (first, users) in [(FIRST_LARGE, large), (FIRST_SMALL, small)] {
            let last = first + 2 * users - 1;
            desk.run(&format!(
                "INSERT INTO helpdesk.users (account_id, id, name, verified)
                 SELECT 1, id, 'user', true FROM generate_series({first}, {last}) id;
                 INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary, verified)
                 SELECT 1, id, 'email', 'user.' || id || '@example.com', true, true
                 FROM generate_series({first}, {last}) id"
            ))
            .await?;
        }
        desk.run(&load(&format!(
            "INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
             SELECT 1, id, requester, requester, CASE WHEN id % 3 = 0 THEN 'closed' ELSE 'open' END, 'Where is my order?'
             FROM generate_series(1::bigint, {tickets}) id
             CROSS JOIN LATERAL (SELECT CASE
                 WHEN id % 10 = 0 THEN {FIRST_SMALL} + 2 * (id / 10 % {small})
                 ELSE {FIRST_LARGE} + 2 * ((id - id / 10) % {large}) END AS requester) AS of"
        )))
        .await?;
        desk.tidy().await?;
        Ok(Self {
            desk,
            tickets,
            taken: [0; 2],
        })
    }

    /// One user with a thousand tickets.
    pub fn large(&mut self) -> Batch {
        let (users, taken) = (large_users(self.tickets), &mut self.taken[0]);
        Batch {
            sources: vec![FIRST_LARGE + 2 * apart(*taken, users)],
            tickets: {
                *taken += 1;
                MANY
            },
        }
    }

    /// Users with five tickets each.
    pub fn small(&mut self, count: usize) -> Batch {
        let (users, taken) = (small_users(self.tickets), &mut self.taken[1]);
        let numbers = (*taken..).take(count);
        let sources = numbers.map(|n| FIRST_SMALL + 2 * apart(n, users)).collect();
        *taken += i64::try_from(count).unwrap_or(i64::MAX);
        Batch {
            sources,
            tickets: SMALL,
        }
    }
}

const fn large_users(tickets: i64) -> i64 {
    tickets * 9 / 10 / MANY
}

const fn small_users(tickets: i64) -> i64 {
    tickets / 10 / SMALL
}

/// The n-th user to merge: never a neighbour of the one before, whose tickets lie on the same pages. The step has no
/// factor in common with the numbers of users.
const fn apart(n: i64, users: i64) -> i64 {
    assert!(n < users, "so many users were loaded");
    n * 101 % users
}

/// Loads into bare tables, and makes keys and indexes afterwards, whatever the schema's are: hours become minutes.
fn load(insert: &str) -> String {
    format!(
        "SET maintenance_work_mem = '256MB';
         DO $$
         DECLARE
             tickets regclass := 'helpdesk.tickets';
             made text[];
             dropped text[];
             statement text;
         BEGIN
             SELECT array_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
                                     pg_get_constraintdef(oid)) ORDER BY contype = 'f'),
                    array_agg(format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
                              ORDER BY contype <> 'f')
             INTO made, dropped
             FROM pg_constraint
             WHERE contype IN ('p', 'u', 'f') AND tickets IN (conrelid, confrelid);
             SELECT array_agg(pg_get_indexdef(indexrelid)) || made,
                    array_agg(format('DROP INDEX %s', indexrelid::regclass)) || dropped
             INTO made, dropped
             FROM pg_index
             WHERE indrelid = tickets AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);
             FOREACH statement IN ARRAY dropped LOOP EXECUTE statement; END LOOP;
             {insert};
             FOREACH statement IN ARRAY made LOOP EXECUTE statement; END LOOP;
         END $$;
         RESET maintenance_work_mem"
    )
}
