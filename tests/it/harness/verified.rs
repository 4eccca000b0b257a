//! What `user-merge verify` says of a desk, asked within the test's process.

use std::time::Duration;

use user_merge::verify::{self, Check, Finding, Plan, Report};

use super::Desk;

impl Desk {
    /// The plan of `user-merge verify --patience 0s` under the desk's settings.
    pub fn plan(&self) -> Plan {
        Plan {
            account: None,
            batch: 1_000,
            skipped: Vec::new(),
            stale: Duration::from_hours(2),
            patience: Duration::ZERO,
            window: self.settings.sweep.window,
            kept: self.settings.relay.keep_published,
            archived_ccs: self.settings.merge.move_archived_ccs,
        }
    }

    /// Verifies all of it.
    pub async fn verify(&self) -> Report {
        self.verify_as(&self.plan()).await
    }

    /// Verifies by another plan.
    pub async fn verify_as(&self, plan: &Plan) -> Report {
        let pool = user_merge::app::pool(&self.settings).unwrap();
        let report = verify::run(&pool, plan, |_| {}).await.unwrap();
        pool.close().await;
        report
    }

    /// Verifies, and fails with what was found.
    pub async fn assert_verified(&self) {
        let report = self.verify().await;
        assert_eq!(found(&report), [], "{report:?}");
    }
}

/// Every finding with its check.
pub fn found(report: &Report) -> Vec<(Check, Finding)> {
    let of = |tally: &verify::Tally| {
        let check = tally.check;
        tally
            .findings
            .clone()
            .into_iter()
            .map(move |finding| (check, finding))
    };
    report.checks.iter().flat_map(of).collect()
}
