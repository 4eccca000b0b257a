//! What goes to the terminal, and the exit status that goes with it.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

/// Prints a value as one line of JSON, or as whatever `text` makes of it. A reader that went away, such as
/// `head`, is no error; a full disk is.
pub(super) fn print(
    as_json: bool,
    value: &Value,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let line = if as_json { value.to_string() } else { text() };
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("can't write to standard output"),
    }
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
