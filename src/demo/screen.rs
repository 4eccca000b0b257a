//! What the demo prints: text for 80 columns, in colour only on a terminal that wants it.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// As wide as the text gets.
pub(super) const WIDTH: u16 = 79;

/// A line under the header is enough.
const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Where the story goes. With `--json` nothing of it is printed, and progress goes to standard error.
pub(super) struct Screen {
    quiet: bool,
    terminal: bool,
    colour: bool,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = if quiet {
            std::io::stderr().is_terminal()
        } else {
            std::io::stdout().is_terminal()
        };
        Self {
            quiet,
            terminal: terminal && !dumb,
            colour: terminal && !dumb && !is_set("NO_COLOR"),
        }
    }

    /// A chapter.
    pub(super) fn heading(&self, text: &str) {
        self.line("");
        self.line(&self.paint("1", text));
    }

    /// Text, folded at spaces.
    pub(super) fn text(&self, text: &str) {
        for line in folded(text) {
            self.line(&line);
        }
    }

    /// A line as it is.
    pub(super) fn line(&self, line: &str) {
        if !self.quiet {
            // A reader that went away is no error.
            drop(writeln!(std::io::stdout(), "{line}"));
        }
    }

    /// A tick or a cross before a line.
    pub(super) fn verdict(&self, holds: bool, line: &str) {
        let (colour, sign) = if holds {
            ("32", "✓")
        } else {
            ("1;31", "✗")
        };
        self.line(&format!("  {} {line}", self.paint(colour, sign)));
    }

    pub(super) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table
            .load_style(RULED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDTH)
            .set_header(header.to_vec());
        table.add_rows(rows);
        self.line(&table.trim_fmt());
    }

    /// One line of progress, where there is no bar.
    pub(super) fn progress(&self, line: &str) {
        if self.quiet {
            drop(writeln!(std::io::stderr(), "{line}"));
        } else {
            self.line(line);
        }
    }

    /// A bar on a terminal; `None` elsewhere.
    pub(super) fn bar(&self, length: u64) -> Option<ProgressBar> {
        if !self.terminal {
            return None;
        }
        let target = if self.quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::stdout()
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let template = if self.colour {
            "  {bar:30.green} {pos}/{len} {msg}"
        } else {
            "  {bar:30} {pos}/{len} {msg}"
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template of ours"));
        Some(bar)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn folded(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("begins with one");
        if line.chars().count() + 1 + word.chars().count() > WIDTH.into() {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: impl TryInto<i64>) -> String {
    let number = number.try_into().unwrap_or(i64::MAX);
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_folded_at_spaces() {
        let text = "word ".repeat(40);
        let lines = folded(text.trim());
        assert!(lines.len() > 2 && lines.iter().all(|line| line.len() <= usize::from(WIDTH)));
        assert_eq!(lines.join(" "), text.trim());
    }

    #[test]
    fn digits_come_in_threes() {
        assert_eq!(
            ["7", "1,234", "100,000"],
            [7, 1234, 100_000]
                .map(thousands)
                .each_ref()
                .map(String::as_str)
        );
    }
}
