//! The same figures to read.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use super::{Figure, Goal, Report};
use crate::stats::float;

const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
const COLUMNS: [&str; 6] = [
    "measure",
    "median",
    "lowest to highest",
    "goal",
    "met",
    "of",
];

impl Report {
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(RULED).set_header(COLUMNS);
        let mut measure = "";
        for figure in &self.figures {
            if figure.measure != measure {
                measure = &figure.measure;
                table.add_row([measure]);
            }
            table.add_row(figure.cells("  "));
        }
        for at in [1, 2, 3] {
            if let Some(column) = table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!(
            "{}\n\n{}\n{}",
            table.trim_fmt(),
            self.ground(),
            self.warning()
        )
    }

    pub fn markdown(&self) -> String {
        let mut text = self.ground() + "\n\n";
        let _ = writeln!(
            text,
            "| {} |\n|---|---|---:|---:|---:|---|---|",
            COLUMNS.join(" | ").replacen("measure", "measure | ", 1)
        );
        let mut measure = "";
        for figure in &self.figures {
            let first = if figure.measure == measure {
                String::new()
            } else {
                format!("`{}`", figure.measure)
            };
            measure = &figure.measure;
            let [what, median, spread, goal, met, rounds] = figure.cells("");
            let bold = |text: &str| match figure.goal {
                Some(_) => format!("**{text}**"),
                None => text.to_owned(),
            };
            let _ = writeln!(
                text,
                "| {first} | {what} | {} | {spread} | {goal} | {met} | {rounds} |",
                bold(&median)
            );
        }
        match self.warning() {
            none if none.is_empty() => text,
            warning => format!("{text}\n{warning}"),
        }
    }

    fn ground(&self) -> String {
        let machine = &self.machine;
        format!(
            "{} cores ({}), {} GiB, Linux {}, PostgreSQL {}, RabbitMQ {}, all on one machine; fsync and \
             synchronous_commit on. Load before and after: {:.1} and {:.1}. Revision {}.",
            machine.cores,
            machine.processor,
            machine.memory_gib,
            machine.kernel,
            machine.postgresql,
            machine.rabbitmq,
            machine.load_before,
            self.load_after,
            machine.revision,
        )
    }

    fn warning(&self) -> String {
        let mut text = String::new();
        if self.quick {
            text += "Small sizes (--quick): these figures only show that the bench works, and don't count.\n";
        }
        // The build that came before is one such process.
        if self.machine.load_before > float(self.machine.cores) + 1.0 {
            text += "The machine was busy with other things: these figures are rough.\n";
        }
        text
    }
}

impl Figure {
    pub(super) fn line(&self) -> String {
        let [what, median, spread, goal, met, _] = self.cells("");
        let mut line = format!("{}: {what}: {median}", self.measure);
        if self.rounds > 1 {
            let _ = write!(line, " ({spread})");
        }
        if self.goal.is_some() {
            let _ = write!(line, ", goal {goal}: {met}");
        }
        line
    }

    fn cells(&self, indent: &str) -> [String; 6] {
        let value = |value| format!("{} {}", short(value), self.unit);
        let spread = if self.rounds > 1 {
            format!("{} to {}", short(self.low), short(self.high))
        } else {
            String::new()
        };
        let goal = match self.goal {
            Some(Goal::AtMost(most)) => format!("≤ {most} {}", self.unit),
            Some(Goal::AtLeast(least)) => format!("≥ {least} {}", self.unit),
            None => String::new(),
        };
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let rounds = if self.rounds > 1 {
            format!("{} rounds", self.rounds)
        } else {
            String::new()
        };
        [
            format!("{indent}{}", self.what),
            value(self.value),
            spread,
            goal,
            met.to_owned(),
            rounds,
        ]
    }
}

/// Three digits that count, and no more than the figure has.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
