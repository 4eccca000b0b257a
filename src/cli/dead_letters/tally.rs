//! What became of the letters that a command was about.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::walk::Reach;
use crate::cli::output;

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Taken out of the queue, or, in a dry run, what would be.
    pub done: u64,
    /// Left where they are, by why.
    kept: BTreeMap<&'static str, u64>,
}

/// Each word for why a letter was kept, and what it means.
const WHY: &[(&str, &str)] = &[
    (
        "unreadable",
        "no worker would read it: --include-unreadable sends it all the same",
    ),
    (
        "no_lane",
        "nothing says which lane it came by: --fallback-lane decides",
    ),
    (
        "unfinished",
        "its merge is unfinished and has its users reserved: replay it, or give --unfinished",
    ),
];

impl Tally {
    pub(super) fn keep(&mut self, why: &'static str) {
        *self.kept.entry(why).or_default() += 1;
    }

    /// What was kept comes again.
    pub(super) fn begin_again(&mut self) {
        self.kept.clear();
    }

    pub(super) fn matched(&self) -> u64 {
        self.done + self.kept.values().sum::<u64>()
    }

    /// Prints what was done, or would be. Exit status 1 where a signal came between.
    pub(super) fn print(
        &self,
        as_json: bool,
        word: &'static str,
        dry_run: bool,
        reach: Reach,
    ) -> anyhow::Result<ExitCode> {
        output::print(as_json, &self.json(word, dry_run, reach), || {
            self.text(word, dry_run, reach)
        })?;
        Ok(if reach.interrupted {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn json(&self, word: &'static str, dry_run: bool, reach: Reach) -> Value {
        json!({
            word: self.done,
            "matched": self.matched(),
            "kept": self.kept,
            "dry_run": dry_run,
            "looked_at": reach.looked_at,
            "there": reach.there,
            "others_read": reach.others_read,
            "interrupted": reach.interrupted,
        })
    }

    fn text(&self, word: &str, dry_run: bool, reach: Reach) -> String {
        let would = if dry_run { "would be " } else { "" };
        let (done, matched) = (self.done, self.matched());
        let mut lines = vec![format!("{done} of {matched} that match {would}{word}")];
        for (word, count) in &self.kept {
            let why = WHY.iter().find(|(known, _)| known == word);
            let why = why.map_or(*word, |(_, why)| why);
            lines.push(format!("{count} kept: {why}"));
        }
        lines.extend(reach.notes());
        lines.join("\n")
    }
}
