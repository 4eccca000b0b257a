//! Text from a sender on somebody's terminal: nothing of it may act there, or look like something else.

use std::fmt::Write as _;

/// Whether a terminal prints the character and does nothing else: no control, no direction mark, nothing invisible.
fn is_plain(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1
}

/// The text as it is, or, if anything in it isn't plain, with that escaped, and each backslash doubled.
pub(super) fn safe(text: &str) -> String {
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => safe.push_str(r"\\"),
            c if is_plain(c) => safe.push(c),
            c => safe.extend(c.escape_debug()),
        }
    }
    safe
}

/// The same, at most so many characters of it.
pub(super) fn short(text: &str, most: usize) -> String {
    let safe = safe(text);
    if safe.chars().count() <= most {
        return safe;
    }
    let kept: String = safe.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

/// A line of JSON, in which what isn't plain can stand within strings only: there it is escaped.
pub(super) fn safe_json(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for c in line.chars() {
        if is_plain(c) {
            safe.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string can't fail.
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 7] = [
        "\x1b[2J\x1b]0;owned\x07",
        "\u{9b}31m",
        "a\rb\nc\td\0",
        "\u{202e}gnp.exe",
        "\u{200b}\u{feff}\u{2066}",
        "\u{e000}\u{10ffff}",
        "\u{7f}\u{85}\u{2028}",
    ];

    #[test]
    fn plain_text_stays() {
        for text in ["", r#"{"a": "b\\c"}"#, "Zoë, 会議, it's"] {
            assert_eq!(safe(text), text);
            assert_eq!(safe_json(text), text);
        }
    }

    #[test]
    fn nothing_hostile_comes_through() {
        for text in HOSTILE {
            for shown in [safe(text), short(text, 100)] {
                assert!(shown.chars().all(is_plain), "{shown:?}");
                assert!(shown.is_ascii() || shown.chars().all(|c| !c.is_control()));
            }
            let json = serde_json::to_string(text).unwrap();
            let line = safe_json(&json);
            assert!(line.chars().all(is_plain), "{line:?}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
        assert_eq!(safe("\\\x1b"), r"\\\u{1b}");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("abcdefg", 6), "abcde…");
    }
}
