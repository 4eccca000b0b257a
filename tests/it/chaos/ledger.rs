//! The ledger: what was asked, what became of it, and what must be nought.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Row as _};

use super::heard::Heard;
use super::load::Sent;
use super::plan::{Ask, Group, Outcome};
use super::stage::Stage;

/// Lines of a name and a number, in order, and what is wrong.
#[derive(Default)]
pub struct Ledger {
    lines: Vec<(String, i64)>,
    pub wrong: Vec<String>,
}

/// A merge on record: state, rejection, whether the pair was merged before.
type Recorded = BTreeMap<(i64, String, i64, i64), Outcome>;

impl Ledger {
    pub fn line(&mut self, name: &str, number: impl TryInto<i64>) {
        let number = number.try_into().unwrap_or(i64::MAX);
        self.lines.push((name.to_owned(), number));
    }

    /// As a Markdown table.
    pub fn table(&self) -> String {
        let width = self.lines.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or(0);
        let mut table = format!("| {:width$} | {:>9} |\n|---|---:|\n", "", "");
        for (name, number) in &self.lines {
            table += &format!("| {name:width$} | {number:>9} |\n");
        }
        table
    }

    /// As JSON, into the file that `USER_MERGE_PROOF_LEDGER` names.
    pub fn save(&self) {
        let path = std::env::var("USER_MERGE_PROOF_LEDGER").unwrap_or_else(|_| {
            let directory = env!("CARGO_TARGET_TMPDIR");
            format!("{directory}/chaos.json")
        });
        let lines = self.lines.iter().cloned();
        let lines: Map<String, Value> = lines.map(|(name, n)| (name, n.into())).collect();
        let text = serde_json::to_string_pretty(&lines).unwrap() + "\n";
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Settles every request: how it ended, whether that is allowed, and whether anything was lost or done twice.
    /// Returns where each merged user is in the end: account, user, and who it is today.
    pub fn requests(
        &mut self,
        sent: &Sent,
        recorded: &Recorded,
        heard: &Heard,
    ) -> Vec<(i64, i64, i64)> {
        let mut into = BTreeMap::new();
        let mut ends: BTreeMap<String, i64> = BTreeMap::new();
        let (mut lost, mut contradictory, mut forbidden) = (0, 0, 0);
        for group in &sent.groups {
            let ends_of_group: Vec<Outcome> = group
                .asks
                .iter()
                .map(|ask| outcome(group, ask, recorded, heard))
                .collect();
            for (ask, end) in group.asks.iter().zip(&ends_of_group) {
                *ends.entry(label(end)).or_default() += 1;
                lost += i64::from(matches!(end, Outcome::Unsettled(_)));
                let told = heard.outcomes.get(&asked(group, ask));
                let told = told.map_or(0, std::collections::BTreeSet::len);
                if told != 1 {
                    contradictory += 1;
                    self.wrong
                        .push(format!("{told} outcomes announced for {ask:?}"));
                }
                if *end == Outcome::Completed {
                    into.insert((group.account, ask.source), ask.target);
                }
            }
            if !group.allows(&ends_of_group) {
                forbidden += 1;
                self.wrong.push(format!(
                    "{:?} in account {} ended as {ends_of_group:?}: {:?}",
                    group.kind, group.account, group.asks
                ));
            }
        }
        for (end, number) in ends {
            self.line(&format!("requests: {end}"), number);
        }
        self.line("requests lost", lost);
        self.line(
            "requests with two outcomes, or none announced",
            contradictory,
        );
        self.line("groups with an outcome that no rule allows", forbidden);
        fate(&into)
    }

    /// Exactly the merged users are handed over to deletion, each under one key with one body.
    pub fn deletions(&mut self, heard: &Heard, fate: &[(i64, i64, i64)]) {
        let wanted: Vec<String> = fate
            .iter()
            .map(|(account, user, _)| format!("user-deletion:{account}:{user}"))
            .collect();
        let missing = wanted
            .iter()
            .filter(|key| !heard.deletions.contains_key(*key));
        let surplus = heard.deletions.keys().filter(|key| !wanted.contains(key));
        let different = heard
            .deletions
            .iter()
            .filter(|(_, bodies)| bodies.len() > 1);
        for (what, keys) in [
            ("deletion messages missing", missing.collect::<Vec<_>>()),
            ("deletion messages for somebody else", surplus.collect()),
            (
                "deletion keys with different bodies",
                different.map(|(key, _)| key).collect(),
            ),
        ] {
            self.line(what, keys.len());
            if let Some(first) = keys.first() {
                self.wrong
                    .push(format!("{what}: {}, such as {first}", keys.len()));
            }
        }
    }
}

fn asked(group: &Group, ask: &Ask) -> (i64, String, i64, i64) {
    (group.account, ask.key.clone(), ask.source, ask.target)
}

/// The record's word; where the key is another pair's, the event's.
fn outcome(group: &Group, ask: &Ask, recorded: &Recorded, heard: &Heard) -> Outcome {
    let asked = asked(group, ask);
    if let Some(outcome) = recorded.get(&asked) {
        return outcome.clone();
    }
    let told = heard.outcomes.get(&asked).and_then(|told| told.first());
    match told.map(String::as_str) {
        Some("idempotency_key_reused") => Outcome::Rejected("idempotency_key_reused".to_owned()),
        told => Outcome::Unsettled(format!("no record; announced: {told:?}")),
    }
}

fn label(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed => "completed".to_owned(),
        Outcome::AlreadyMerged => "already merged".to_owned(),
        Outcome::Rejected(reason) => format!("rejected, {reason}"),
        Outcome::Unsettled(state) => format!("unsettled, {state}"),
    }
}

/// Follows each merged user to the one who is not.
fn fate(into: &BTreeMap<(i64, i64), i64>) -> Vec<(i64, i64, i64)> {
    let end = |account: i64, user: i64| {
        let mut at = user;
        for _ in 0..into.len() {
            match into.get(&(account, at)) {
                Some(next) => at = *next,
                None => break,
            }
        }
        at
    };
    let users = into.keys();
    users
        .map(|&(account, user)| (account, user, end(account, user)))
        .collect()
}

/// Every merge on record.
pub async fn recorded(stage: &Stage) -> Recorded {
    let sql = "SELECT account_id, idempotency_key, source_user_id, target_user_id, state,
                      coalesce(rejection, last_error, ''), coalesce(outcome ->> 'already_merged', 'false')
               FROM user_merge.merges";
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&stage.pool).await;
    let rows = rows.unwrap();
    let all = rows.iter().map(|row| {
        let asked = (row.get(0), row.get(1), row.get(2), row.get(3));
        let (how, reason, already): (String, String, String) = (row.get(4), row.get(5), row.get(6));
        let outcome = match how.as_str() {
            "completed" if already == "true" => Outcome::AlreadyMerged,
            "completed" => Outcome::Completed,
            "rejected" => Outcome::Rejected(reason),
            _ => Outcome::Unsettled(format!("{how} {reason}")),
        };
        (asked, outcome)
    });
    all.collect()
}
