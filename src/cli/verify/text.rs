//! The result for people: one line a finding, then what it comes to.

use crate::verify::{Finding, Report, Tally};

pub(super) fn text(report: &Report) -> String {
    let mut lines: Vec<String> = report.checks.iter().flat_map(findings).collect();
    let looked_at = format!(
        "{} merges, {} messages and {} log entries of {} accounts",
        report.merges, report.messages, report.log_entries, report.accounts
    );
    if report.in_motion > 0 {
        lines.push(format!(
            "{} merges went on meanwhile: their log entries are for the next time",
            report.in_motion
        ));
    }
    lines.push(if report.holds() {
        format!("everything holds: {looked_at}")
    } else {
        format!("{} violations: {looked_at}", report.violations())
    });
    lines.join("\n")
}

fn findings(tally: &Tally) -> Vec<String> {
    let head = format!("{:<20} {:<7}", tally.check.code(), tally.rules);
    let mut lines: Vec<_> = tally
        .findings
        .iter()
        .map(|finding| format!("{head} {}", ids(finding)))
        .collect();
    let more = tally.violations - tally.findings.len() as u64;
    if more > 0 {
        lines.push(format!("{head} and {more} more"));
    }
    lines
}

fn ids(finding: &Finding) -> String {
    let mut words = vec![
        format!("account {}", finding.account_id),
        format!("merge {}", finding.merge_id),
    ];
    let numbers = [
        ("user", finding.user_id),
        ("ticket", finding.ticket_id),
        ("identity", finding.identity_id),
        ("expected", finding.expected),
        ("found", finding.found),
    ];
    words.extend(
        numbers
            .into_iter()
            .filter_map(|(name, number)| Some(format!("{name} {}", number?))),
    );
    if let Some(other) = finding.other_merge_id {
        words.push(format!("and merge {other}"));
    }
    words.join("  ")
}
