//! What goes to the terminal, and the exit status that goes with it.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

/// Prints a value as one line of JSON, or as whatever `text` makes of it. A reader that went away is no error.
pub(super) fn print(as_json: bool, value: &Value, text: impl FnOnce() -> String) {
    let line = if as_json { value.to_string() } else { text() };
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Says on standard error what went wrong, each cause once, and turns it into an exit status.
pub(super) fn failed(error: &anyhow::Error, as_json: bool) -> ExitCode {
    let chain = format!("{error:#}");
    if as_json {
        drop(writeln!(std::io::stderr(), "{}", json!({ "error": chain })));
    } else {
        drop(writeln!(std::io::stderr(), "user-merge: {chain}"));
    }
    ExitCode::from(super::status_of(error))
}
