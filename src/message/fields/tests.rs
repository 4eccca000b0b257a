use proptest::prelude::*;

use super::*;
use crate::domain::UserId;

/// Stands in every value, and must be in no error.
const MARK: &str = "Zq7";

fn reason(result: Result<Fields, DecodeError>) -> (DecodeReason, Option<String>) {
    let error = result.expect_err("must be refused");
    let sentence = error.to_string();
    assert!(!sentence.contains(MARK), "{sentence}");
    assert!(sentence.len() < 250, "{sentence}");
    (error.reason, error.field)
}

#[test]
fn a_body_is_one_json_object() {
    use DecodeReason::{DuplicateField, NotAnObject, NotJson, NotUtf8, TrailingData};
    let deep_field = format!(r#"{{"Zq7": {}"#, "[".repeat(60_000));
    let deep = "[".repeat(MAX_BYTES);
    let cases: &[(&[u8], DecodeReason, Option<&str>)] = &[
        (b"", NotJson, None),
        (b" \n", NotJson, None),
        (b"Zq7", NotJson, None),
        (b"{\"a\": \"Zq7", NotJson, None),
        (b"{\"a\": \"Zq7\\x\"}", NotJson, None),
        (b"{\"a\": \"Zq7\\ud800\"}", NotJson, None),
        (b"{\"a\": 1,}", NotJson, None),
        (b"{a: 1}", NotJson, None),
        (b"{\"a\": NaN}", NotJson, None),
        (b"{\"a\": 1e999}", NotJson, None),
        (b"{\"a\": 01}", NotJson, None),
        (b"\xef\xbb\xbf{}", NotJson, None),
        (deep_field.as_bytes(), NotJson, None),
        (b"{\"a\": \"Zq7\xff\"}", NotUtf8, None),
        (b"\x1f\x8b\x08\x00Zq7", NotUtf8, None),
        (b"{} {\"a\": \"Zq7\"}", TrailingData, None),
        (b"{}\0", TrailingData, None),
        (b"\"Zq7\"", NotAnObject, None),
        (b"[{\"a\": \"Zq7\"}]", NotAnObject, None),
        (b"null", NotAnObject, None),
        (b"77177", NotAnObject, None),
        (deep.as_bytes(), NotAnObject, None),
        (
            b"{\"a\": 1, \"b\": 2, \"a\": \"Zq7\"}",
            DuplicateField,
            Some("a"),
        ),
        (
            b"{\"a\": \"Zq7\", \"\\u0061\": [[\"Zq7\"]]}",
            DuplicateField,
            Some("a"),
        ),
    ];
    for (body, expected, field) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
        let (reason, named) = reason(Fields::read(body));
        assert_eq!((reason, named.as_deref()), (*expected, *field), "{shown}");
    }
}

#[test]
fn deep_nesting_inside_a_field_is_a_wrong_type() {
    let body = format!(r#"{{"a": {}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    let mut fields = Fields::read(body.as_bytes()).unwrap();
    let error = fields.text("a", "must be a string").unwrap_err();
    assert_eq!(error.reason, DecodeReason::WrongType);
    assert_eq!(error.to_string(), "a: must be a string");
}

#[test]
fn the_size_limit_is_inclusive() {
    let mut body = b"{}".to_vec();
    body.resize(MAX_BYTES, b' ');
    assert!(Fields::read(&body).is_ok());
    body.push(b' ');
    let (reason, field) = reason(Fields::read(&body));
    assert_eq!((reason, field), (DecodeReason::TooLarge, None));
}

#[test]
fn an_id_is_a_whole_number_in_range() {
    use DecodeReason::{MissingField, OutOfRange, WrongType};
    let cases = [
        ("1", Ok(1)),
        ("9223372036854775807", Ok(i64::MAX)),
        ("0", Err(OutOfRange)),
        ("-1", Err(OutOfRange)),
        ("-9223372036854775808", Err(OutOfRange)),
        ("9223372036854775808", Err(OutOfRange)),
        ("18446744073709551616", Err(OutOfRange)),
        ("-99999999999999999999999", Err(OutOfRange)),
        ("-0", Err(WrongType)),
        ("1.0", Err(WrongType)),
        ("1e3", Err(WrongType)),
        ("1.5", Err(WrongType)),
        ("true", Err(WrongType)),
        ("\"1\"", Err(WrongType)),
        ("null", Err(WrongType)),
        ("[1]", Err(WrongType)),
        ("{\"id\": 1}", Err(WrongType)),
    ];
    for (value, expected) in cases {
        let mut fields = Fields::read(format!(r#"{{"id": {value}}}"#).as_bytes()).unwrap();
        let id = fields.id::<UserId>("id");
        let seen = id.as_ref().map(|id| id.get()).map_err(|e| e.reason);
        assert_eq!(seen, expected, "{value}");
        if let Err(error) = id {
            let sentence = "id: must be a whole number from 1 to 9223372036854775807";
            assert_eq!(error.to_string(), sentence);
        }
        let again = fields.id::<UserId>("id").unwrap_err();
        assert_eq!(again.reason, MissingField, "taken once");
    }
}

#[test]
fn an_optional_text_is_bounded_in_characters() {
    use DecodeReason::{ForbiddenCharacter, TooLong, WrongType};
    let cases = [
        (r#"{"t": null}"#, Ok(None)),
        ("{}", Ok(None)),
        (r#"{"t": ""}"#, Ok(Some(""))),
        (r#"{"t": "éé😀"}"#, Ok(Some("éé😀"))),
        (r#"{"t": "éé😀é"}"#, Err(TooLong)),
        (r#"{"t": "\u0000"}"#, Err(ForbiddenCharacter)),
        (r#"{"t": 7}"#, Err(WrongType)),
        (r#"{"t": false}"#, Err(WrongType)),
    ];
    for (body, expected) in cases {
        let text = Fields::read(body.as_bytes()).and_then(|mut f| f.optional_text("t", 3));
        let seen = text.as_ref().map(Option::as_deref).map_err(|e| e.reason);
        assert_eq!(seen, expected, "{body}");
    }
}

#[test]
fn what_nobody_took_is_unknown() {
    let mut fields = Fields::read(br#"{"a": "1", "c": 1, "b": 1}"#).unwrap();
    fields.text("a", "").unwrap();
    let error = fields.finish().unwrap_err();
    assert_eq!(error.reason, DecodeReason::UnknownField);
    assert_eq!(error.field.as_deref(), Some("b"));
    assert!(Fields::read(b"{}").unwrap().finish().is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Fields::read(&body);
    }

    #[test]
    fn nothing_that_looks_like_json_makes_it_panic(body in r#"[{}\[\]",:\\ue0-9+.tn]{0,60}"#) {
        let _ = Fields::read(body.as_bytes());
    }
}
