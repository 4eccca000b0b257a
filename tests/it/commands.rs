//! The commands as somebody types them: what they print, where, and how they end.

mod enqueue;
mod migrate;
mod outages;
mod schema;
mod status;
mod usage;

use user_merge::config::Settings;

use crate::harness::{Output, command, output};

/// Runs `user-merge` with these settings and arguments, given in one line.
async fn user_merge(settings: &Settings, arguments: &str) -> Output {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    output(command(settings, &arguments)).await
}

/// One line for people: no list of nested causes, nothing of the library's own words twice.
fn assert_one_sentence(output: &Output, part: &str) {
    let text = &output.stderr;
    assert!(text.contains(part), "{part:?} is not in {output:?}");
    assert!(text.starts_with("user-merge: "), "{output:?}");
    assert_eq!(text.lines().count(), 1, "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let causes: Vec<&str> = text.trim().split(": ").collect();
    for (at, cause) in causes.iter().enumerate() {
        assert!(!causes[at + 1..].contains(cause), "said twice: {output:?}");
    }
}
