//! The script: accounts, requests, and what the rules make of each.

use crate::broker::Lane;
use crate::domain::{IdempotencyKey, MergeRequest};
use crate::store::demo::Account;

use super::cast;
use super::script::{self, Expect, Scene, Unreadable, When};

/// How large the demo is.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Ordinary users, in all accounts together.
    pub users: i64,
    /// Pairs of duplicates among them that are merged.
    pub merges: i64,
}

/// A request as the demo sends it.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub request: MergeRequest,
    pub lane: Lane,
    pub expect: Expect,
    pub when: When,
}

/// One run of the demo.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub run: i64,
    pub accounts: Vec<Account>,
    pub requests: Vec<Planned>,
    pub unreadable: Vec<Unreadable>,
}

/// Of 100 users: how many each account has; of 100 pairs: how many.
const SHARES: [(i64, i64); 5] = [(40, 45), (20, 22), (15, 17), (15, 16), (10, 10)];

impl Plan {
    /// The plan of a run: the same for the same numbers.
    pub(super) fn new(run: i64, scale: Scale) -> Self {
        let mut accounts = accounts(run);
        for (account, (people, pairs)) in accounts.iter_mut().zip(SHARES) {
            account.people = (scale.users * people / 100).max(4);
            account.pairs = (scale.merges * pairs / 100).clamp(1, account.people / 2);
        }
        let mut plan = Self {
            run,
            accounts,
            requests: Vec::new(),
            unreadable: script::unreadable(run),
        };
        for place in 0..plan.accounts.len() - 1 {
            let account = plan.accounts[place].clone();
            for scene in script::scenes(&account, place == 0) {
                plan.add_scene(&account, &scene);
            }
            plan.add_pairs(&account);
        }
        plan
    }

    /// The accounts' ids, the one of the bystander included.
    pub(super) fn account_ids(&self) -> Vec<i64> {
        self.accounts.iter().map(|account| account.id).collect()
    }

    /// The account of those who are shown.
    pub(super) fn main_account(&self) -> i64 {
        self.accounts[0].id
    }

    /// The account in which nothing is merged, and which has the same ids as the main one.
    pub(super) fn bystander(&self) -> i64 {
        self.accounts[self.accounts.len() - 1].id
    }

    /// Source and target of what is merged, in an order in which it can be.
    pub(super) fn merged(&self) -> impl Iterator<Item = (i64, i64, i64)> + '_ {
        let done = |planned: &&Planned| planned.expect == Expect::Completed;
        self.requests.iter().filter(done).map(|planned| {
            let pair = planned.request.pair();
            (pair.account.get(), pair.source.get(), pair.target.get())
        })
    }

    /// The key that a scene's request has.
    pub(super) fn key(&self, account: i64, name: &str) -> String {
        format!("demo-{}-{account}-{name}", self.run)
    }

    fn add_scene(&mut self, account: &Account, scene: &Scene) {
        let place = self.requests.len();
        let when = match scene.when {
            When::After(back) => When::After(place - back),
            other => other,
        };
        let key = self.key(account.id, scene.name);
        self.add(key, account.id, (scene.source, scene.target), scene.expect);
        self.requests[place].when = when;
    }

    /// The pairs among ordinary users: a backfill and everyday work, half and half.
    fn add_pairs(&mut self, account: &Account) {
        for pair in 1..=account.pairs {
            let key = self.key(account.id, &format!("pair-{pair}"));
            let target = cast::PEOPLE + 2 * pair - 1;
            self.add(key, account.id, (target + 1, target), Expect::Completed);
            if pair % 2 == 0 {
                let last = self.requests.len() - 1;
                self.requests[last].lane = Lane::Bulk;
            }
        }
    }

    fn add(&mut self, key: String, account: i64, (source, target): (i64, i64), expect: Expect) {
        let user = |id: i64| id.try_into().expect("the script's ids begin at 1");
        self.requests.push(Planned {
            request: MergeRequest {
                idempotency_key: IdempotencyKey::new(key).expect("letters and digits"),
                account_id: account.try_into().expect("accounts are numbered from 11"),
                source_user_id: user(source),
                target_user_id: user(target),
                requested_by: Some("agent:2".to_owned()),
                reason: Some("same person".to_owned()),
            },
            lane: Lane::Interactive,
            expect,
            when: When::Now,
        });
    }
}

fn accounts(run: i64) -> Vec<Account> {
    let account = |n: i64, name, sign_on, multiple_organizations| Account {
        id: run * 10 + n,
        name,
        sign_on,
        multiple_organizations,
        people: 0,
        pairs: 0,
    };
    vec![
        account(1, "Tidepool Bikes", &["password"], false),
        account(2, "Northlight Apps", &["saml"], true),
        account(3, "Marmot Outdoor", &["jwt"], false),
        account(4, "Quill and Paper", &["password", "openid"], true),
        account(5, "Bystander Bank", &["password"], false),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::Reason;

    fn plan() -> Plan {
        let scale = Scale {
            users: 300,
            merges: 60,
        };
        Plan::new(3, scale)
    }

    #[test]
    fn every_reason_has_its_scene() {
        let plan = plan();
        for &reason in Reason::ALL {
            let expect = Expect::Rejected(reason);
            assert!(
                plan.requests.iter().any(|planned| planned.expect == expect),
                "{reason}"
            );
        }
    }

    #[test]
    fn nothing_is_merged_in_the_last_account() {
        let plan = plan();
        let last = plan.accounts[4].id;
        assert!(
            plan.requests
                .iter()
                .all(|planned| planned.request.account_id.get() != last)
        );
    }

    #[test]
    fn nobody_is_merged_away_twice() {
        let plan = plan();
        let sources: Vec<_> = plan
            .merged()
            .map(|(account, source, _)| (account, source))
            .collect();
        assert_eq!(sources.iter().collect::<HashSet<_>>().len(), sources.len());
    }

    #[test]
    fn what_comes_after_another_request_is_behind_it() {
        for (place, planned) in plan().requests.iter().enumerate() {
            assert!(!matches!(planned.when, When::After(other) if other >= place));
        }
    }
}
