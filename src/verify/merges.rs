//! Each merge against its users and its messages: the verdict on what the store reports.

use super::{Check, Finding, Report};
use crate::domain::AccountId;
use crate::store::merges::State;
use crate::store::verify::MergeFacts;

pub(super) fn judge(report: &mut Report, account: AccountId, merge: &MergeFacts) {
    let about = || Finding::of(account, merge.id).user(merge.source);
    let (state, holds) = (merge.state, merge.holds_users);
    let is_unfinished = matches!(state, State::Running | State::Failed);

    if merge.did_the_work || holds {
        report.expect(Check::SameUser, merge.source != merge.target, about());
    }
    if holds {
        let conflict = Finding {
            other_merge_id: merge.conflicting,
            ..about()
        };
        report.expect(Check::Conflict, merge.conflicting.is_none(), conflict);
    }
    if is_unfinished {
        let check = match state {
            State::Failed => Check::StaleFailed,
            _ => Check::StaleRunning,
        };
        // One that failed before it moved anything holds nobody, and has had its answer.
        let waits = state == State::Running || holds;
        report.expect(check, !waits || !merge.is_stale, about());
    } else {
        report.expect(Check::EndedHolds, !holds, about());
        report.expect(Check::OutcomeWrong, merge.outcome_fits, about());
    }
    if merge.is_recent && state != State::Running {
        report.expect(Check::EventMissing, merge.has_event, about());
        if state == State::Failed {
            report.expect(Check::DeadLetterMissing, merge.has_dead_letter, about());
        }
    }
    if merge.did_the_work {
        let deletions = about().counts(1, merge.deletions);
        report.expect(
            Check::DeletionMissing,
            merge.deletions > 0,
            deletions.clone(),
        );
        report.expect(Check::DeletionTwice, merge.deletions < 2, deletions);
        tombstone(report, account, merge);
    }
}

/// What its merge made of the source, if the deletion pipeline has not been there yet.
fn tombstone(report: &mut Report, account: AccountId, merge: &MergeFacts) {
    let about = || Finding::of(account, merge.id).user(merge.source);
    let is_merged = merge.merged_into.is_some();
    if merge.has_source {
        report.expect(Check::SourceNotMerged, is_merged, about());
    }
    if is_merged {
        report.expect(Check::WrongTarget, !merge.leads_elsewhere, about());
    }
    if is_merged || !merge.has_source {
        let follower = merge.follower.map_or_else(about, |id| about().user(id));
        report.expect(Check::PointsToMerged, merge.follower.is_none(), follower);
    }
}
