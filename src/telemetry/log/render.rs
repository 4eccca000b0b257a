//! How a line looks.

use std::fmt::Write as _;

use serde_json::Value;
use tracing::Level;

use super::Format;
use super::seen::Seen;

/// One flat object, with the fixed members first.
pub(super) fn json(time: &str, level: Level, target: &str, message: &str, seen: &Seen) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut line = format!(
        r#"{{"timestamp":"{time}","level":"{level}","target":{},"message":{}"#,
        quoted(target),
        quoted(message)
    );
    for (name, value) in &seen.values {
        let _ = write!(line, ",{}:{value}", quoted(name));
    }
    line + "}\n"
}

/// For people.
pub(super) fn text(
    format: Format,
    time: &str,
    level: Level,
    target: &str,
    message: &str,
    seen: &Seen,
) -> String {
    let (on, off) = match (format, level) {
        (Format::Colour, Level::ERROR) => ("\x1b[31m", "\x1b[0m"),
        (Format::Colour, Level::WARN) => ("\x1b[33m", "\x1b[0m"),
        (Format::Colour, Level::INFO) => ("\x1b[32m", "\x1b[0m"),
        (Format::Colour, _) => ("\x1b[2m", "\x1b[0m"),
        _ => ("", ""),
    };
    let message: String = message.chars().flat_map(harmless).collect();
    let mut line = format!("{time} {on}{level:>5}{off} {target}: {message}");
    for (name, value) in &seen.values {
        let _ = match value {
            Value::String(text) if text.chars().all(|c| c.is_ascii_graphic() && c != '"') => {
                write!(line, " {name}={text}")
            }
            Value::String(text) => write!(line, " {name}={text:?}"),
            other => write!(line, " {name}={other}"),
        };
    }
    line + "\n"
}

/// A line feed or an escape sequence in a message must not look like a line of ours.
fn harmless(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(plain)
}
