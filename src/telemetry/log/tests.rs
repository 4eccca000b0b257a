use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::{Level, event, info, info_span, warn};

use super::*;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is written while `work` runs.
fn written(format: Format, filter: &str, work: impl FnOnce()) -> String {
    let page = Page::default();
    let writer = page.clone();
    let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
}

fn a_merge() {
    let merge = info_span!(
        "merge",
        merge.id = "0193",
        account.id = 42,
        outcome = tracing::field::Empty
    );
    let _entered = merge.enter();
    let _inner = info_span!("chunk", rows = 500_u64).entered();
    merge.record("outcome", "completed");
    info!(tickets = 12, "chunk moved");
}

#[test]
fn json_lines_are_flat_and_carry_the_fields_of_every_span() {
    let line = written(Format::Json, "info", a_merge);
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["merge.id"], "0193");
    assert_eq!(json["account.id"], 42);
    assert_eq!(json["outcome"], "completed");
    assert_eq!(json["rows"], 500);
    assert_eq!(json["tickets"], 12);
    assert_eq!(json["message"], "chunk moved");
    assert_eq!(json["level"], "INFO");
    assert!(json["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn text_lines_carry_them_too() {
    let line = written(Format::Text, "info", a_merge);
    let end = "chunk moved merge.id=0193 account.id=42 outcome=completed rows=500 tickets=12\n";
    assert!(line.ends_with(end), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn a_warning_names_its_merge_even_if_only_warnings_are_wanted() {
    let line = written(Format::Text, "warn", || {
        let _entered = info_span!("merge", merge.id = "0193").entered();
        info!("not wanted");
        warn!("wanted");
    });
    assert!(
        line.ends_with("wanted merge.id=0193\n") && line.lines().count() == 1,
        "{line}"
    );
}

#[test]
fn a_field_that_is_not_listed_is_not_shown() {
    let line = written(Format::Json, "info", || {
        info!(email = "ann@example.org", "oops");
    });
    assert!(line.contains("email") && !line.contains("ann@"), "{line}");
}

#[test]
fn libraries_stay_under_their_caps_whatever_the_filter_says() {
    let lines = written(Format::Text, "trace", || {
        event!(target: "sqlx::query", Level::INFO, db.statement = "secret");
        event!(target: "sqlx::query", Level::WARN, "slow statement");
        event!(target: "sqlx::postgres::notice", Level::WARN, "secret");
        event!(target: "lapin::channel", Level::TRACE, "secret");
        event!(target: "lapin::returned_messages", Level::WARN, "secret");
    });
    assert!(
        lines.contains("slow statement") && !lines.contains("secret"),
        "{lines}"
    );
}

#[test]
fn an_error_is_written_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("can't move the chunk")]
    struct Outer(#[source] std::fmt::Error);

    let line = written(Format::Text, "info", || {
        let error = Outer(std::fmt::Error);
        warn!(error = &error as &dyn std::error::Error, "put off");
    });
    assert!(
        line.contains("error=\"can't move the chunk: an error occurred when"),
        "{line}"
    );
}

#[test]
fn a_value_or_message_can_not_pose_as_a_line() {
    let line = written(Format::Text, "info", || {
        info!(reason = "a\nb", "one\n{}", "\x1b[2J");
    });
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains(r#"one\n\u{1b}[2J reason="a\nb""#), "{line}");
}

#[test]
fn a_filter_that_is_none_is_refused_by_name() {
    let error = subscriber(Format::Text, "info,user_merge=loud", std::io::sink)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("telemetry.log_filter = \"info,user_merge=loud\""),
        "{error}"
    );
}

#[test]
fn every_field_has_one_entry() {
    let mut names: Vec<_> = FIELDS.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FIELDS.len());
}

#[test]
fn a_panic_is_a_line_that_quotes_no_value() {
    let hook = std::panic::take_hook();
    panics::log();
    let lines = written(Format::Text, "info", || {
        let address = "ann@example.org".to_owned();
        let _ = std::panic::catch_unwind(|| panic!("can't parse {address}"));
        let _ = std::panic::catch_unwind(|| panic!("a fixed text"));
    });
    std::panic::set_hook(hook);
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("telemetry/log/tests.rs:"), "{lines}");
    assert!(
        lines.contains("a fixed text") && !lines.contains("ann@"),
        "{lines}"
    );
}
