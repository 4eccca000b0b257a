//! Rules A: who may be merged, decided on real rows.

mod changes;
mod conflicts;
mod contact;
mod merged;
mod order;
mod recorded;
mod tickets;

use user_merge::domain::{MergeRequest, Reason};
use user_merge::merge::{Ending, Report};

use crate::harness::{Desk, request};

/// A help desk where each case of a table has an account of its own with the same users 1, 2 and 3: what one
/// account has must not matter to another (rule A2).
struct Accounts {
    desk: Desk,
    last: i64,
}

impl Accounts {
    async fn open() -> Self {
        Self {
            desk: Desk::open().await,
            last: 1,
        }
    }

    /// Makes an account with this sign-on, changes it by SQL in which `:a` is its id, and asks to merge its
    /// user 1 into its user 2.
    async fn ending_after(&mut self, sign_on: &[&str], change: &str) -> Ending {
        self.last += 1;
        let account = self.last;
        self.desk.account(account, sign_on, false).await;
        self.desk
            .execute(&format!(
                "INSERT INTO helpdesk.users (account_id, id, name, verified)
                 SELECT {account}, id, 'someone', true FROM generate_series(1, 3) id"
            ))
            .await;
        self.desk
            .execute(&change.replace(":a", &account.to_string()))
            .await;
        let request = MergeRequest {
            account_id: account.try_into().unwrap(),
            ..request(1, 2)
        };
        self.desk.run(&request).await.unwrap().ending
    }
}

/// The event that a run promises.
fn event(report: &Report) -> serde_json::Value {
    let mut events = report
        .promised
        .iter()
        .filter(|message| message.draft.routing_key.starts_with("merge."));
    let event = events.next().expect("no event is promised");
    assert!(events.next().is_none(), "more than one event");
    serde_json::from_str(&event.draft.body).unwrap()
}

/// Checks a rejection, and who its event says the merged user is today.
fn assert_rejected(report: &Report, reason: Reason, canonical: Option<i64>) {
    assert_eq!(report.ending, Ending::Rejected(reason));
    let rejection = &event(report)["rejection"];
    assert_eq!(rejection["reason"], reason.label());
    assert_eq!(rejection["canonical_user_id"].as_i64(), canonical);
    assert_eq!(
        report.promised.len(),
        1,
        "a rejection promises its event only"
    );
}
