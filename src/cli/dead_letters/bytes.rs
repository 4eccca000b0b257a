//! A body as people may see it: text, or a dump.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::text::safe;

/// How many bytes of a body are shown unless all are asked for.
pub(super) const SHOWN: usize = 4 * 1024;
const PER_LINE: usize = 16;

/// Text line by line where it is text, otherwise hexadecimal with the characters beside it; `most` bytes of it.
pub(super) fn shown(body: &[u8], most: usize) -> String {
    let (mut out, kind, kept) = match std::str::from_utf8(body) {
        Ok(text) if !text.contains('\0') => {
            let kept = &text[..text.floor_char_boundary(most)];
            let lines: Vec<String> = kept.split('\n').map(safe).collect();
            (lines.join("\n"), "UTF-8", kept.len())
        }
        _ => {
            let kept = body.len().min(most);
            (dump(&body[..kept]), "binary", kept)
        }
    };
    let length = body.len();
    if kept < length {
        out.push_str("\n…");
        format!("{length} bytes, {kind}, the first {kept} shown: --full shows all\n{out}")
    } else {
        format!("{length} bytes, {kind}\n{out}")
    }
}

fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(PER_LINE).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let characters = chunk.iter().map(|&byte| match byte {
            b' '..=b'~' => char::from(byte),
            _ => '.',
        });
        let characters: String = characters.collect();
        let (at, width) = (line * PER_LINE, PER_LINE * 3 - 1);
        let line = format!("{at:08x}  {:width$}  |{characters}|", hex.join(" "));
        // Writing to a string can't fail.
        let _ = writeln!(out, "{line}");
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// For machines: as a string where it is one, so that no byte is lost.
pub(super) fn json(body: &[u8]) -> (&'static str, Value) {
    match std::str::from_utf8(body) {
        Ok(text) => ("body", json!(text)),
        Err(_) => ("body_base64", json!(STANDARD.encode(body))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_lines_and_loses_its_teeth() {
        let body = "{\"a\": 1,\n \"b\": \"\u{1b}[2J\"}";
        assert_eq!(
            shown(body.as_bytes(), 100),
            "22 bytes, UTF-8\n{\"a\": 1,\n \"b\": \"\\u{1b}[2J\"}"
        );
    }

    #[test]
    fn binary_is_dumped() {
        let body = b"\x1f\x8b\x08\0ABCDEFGHIJKLMN\xff";
        assert_eq!(
            shown(body, 100),
            "19 bytes, binary\n\
             00000000  1f 8b 08 00 41 42 43 44 45 46 47 48 49 4a 4b 4c  |....ABCDEFGHIJKL|\n\
             00000010  4d 4e ff                                         |MN.|"
        );
        assert!(shown(b"nul \0 inside", 100).starts_with("12 bytes, binary"));
        assert_eq!(shown(b"", 100), "0 bytes, UTF-8\n");
    }

    #[test]
    fn what_is_cut_is_cut_between_characters() {
        assert_eq!(
            shown("éé".as_bytes(), 3),
            "4 bytes, UTF-8, the first 2 shown: --full shows all\né\n…"
        );
        let long = shown(&[0xff; 100], 16);
        assert!(long.starts_with("100 bytes, binary, the first 16 shown"));
        assert_eq!(long.lines().count(), 3);
    }

    #[test]
    fn machines_get_every_byte() {
        assert_eq!(json(b"a\0"), ("body", json!("a\0")));
        assert_eq!(json(b"\xff"), ("body_base64", json!("/w==")));
    }
}
