//! The figures: as JSON, as a table, and as Markdown made from the JSON.

mod table;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::machine::{self, Machine};
use crate::stats::Spread;

#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    schema_version: u32,
    /// Sizes too small for the figures to count.
    quick: bool,
    machine: Machine,
    load_after: f64,
    figures: Vec<Figure>,
}

/// One line of the table: a median of rounds, and perhaps a goal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    measure: String,
    what: String,
    unit: String,
    value: f64,
    low: f64,
    high: f64,
    rounds: usize,
    goal: Option<Goal>,
    met: Option<bool>,
}

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl Report {
    pub fn new(quick: bool, machine: Machine) -> Self {
        Self {
            schema_version: 1,
            quick,
            machine,
            load_after: 0.0,
            figures: Vec::new(),
        }
    }

    pub const fn of<'a>(&'a mut self, measure: &'a str) -> Section<'a> {
        Section {
            report: self,
            measure,
        }
    }

    pub fn finish(&mut self) {
        self.load_after = machine::load();
    }

    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let text = std::fs::read(file).with_context(|| format!("{name} can't be read"))?;
        serde_json::from_slice(&text).with_context(|| format!("{name} holds no figures"))
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let written = std::fs::write(file, text);
        written.with_context(|| format!("{} can't be written", file.display()))
    }
}

/// Where a measure puts its figures.
pub struct Section<'a> {
    report: &'a mut Report,
    measure: &'a str,
}

impl Section<'_> {
    pub fn figure(&mut self, what: &str, unit: &str, spread: Spread) {
        self.put(what, unit, spread, None);
    }

    pub fn goal(&mut self, what: &str, unit: &str, spread: Spread, goal: Goal) {
        self.put(what, unit, spread, Some(goal));
    }

    fn put(&mut self, what: &str, unit: &str, spread: Spread, goal: Option<Goal>) {
        let figure = Figure {
            measure: self.measure.to_owned(),
            what: what.to_owned(),
            unit: unit.to_owned(),
            value: spread.median,
            low: spread.low,
            high: spread.high,
            rounds: spread.rounds,
            goal,
            met: goal.map(|goal| goal.is_met(spread.median)),
        };
        // At once as well: a whole run takes long.
        eprintln!("  {}", figure.line());
        self.report.figures.push(figure);
    }
}
