//! Rule R6 for any bytes at all: the decoder of requests neither panics nor takes what it must not, and whatever it
//! takes it writes and reads again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use user_merge::domain::MergeRequest;
use user_merge::message::request::{decode, encode};
use user_merge::message::{DecodeError, DecodeReason, MAX_BYTES};

const FIELDS: [&str; 7] = [
    "schema_version",
    "idempotency_key",
    "account_id",
    "source_user_id",
    "target_user_id",
    "requested_by",
    "reason",
];

fuzz_target!(|body: &[u8]| match decode(body, None) {
    Ok(request) => taken(body, &request),
    Err(error) => refused(body, &error),
});

/// What another reader of JSON finds in the same bytes is what was taken; all limits hold; it survives a round.
fn taken(body: &[u8], request: &MergeRequest) {
    assert!(body.len() <= MAX_BYTES);
    let value: Value = serde_json::from_slice(body).expect("JSON");
    let fields = value.as_object().expect("an object");
    assert!(fields.keys().all(|name| FIELDS.contains(&name.as_str())));
    assert_eq!(value["schema_version"].as_i64(), Some(1));
    let key = request.idempotency_key.as_str();
    assert_eq!(value["idempotency_key"].as_str(), Some(key));
    assert!((1..=200).contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b)));
    let ids = [
        ("account_id", request.account_id.get()),
        ("source_user_id", request.source_user_id.get()),
        ("target_user_id", request.target_user_id.get()),
    ];
    for (name, id) in ids {
        assert_eq!(value[name].as_i64(), Some(id), "{name}");
        assert!(id > 0, "{name}");
    }
    for (name, text, most) in [
        ("requested_by", &request.requested_by, 200),
        ("reason", &request.reason, 1_000),
    ] {
        assert_eq!(fields.get(name).and_then(Value::as_str), text.as_deref());
        let fits = |text: &String| text.chars().count() <= most && !text.contains('\0');
        assert!(text.as_ref().is_none_or(fits), "{name}");
    }

    let written = encode(request);
    assert!(written.len() <= MAX_BYTES);
    assert_eq!(decode(&written, Some(key)).as_ref(), Ok(request));
    let other = decode(body, Some(&format!("{key}x"))).expect_err("another message id");
    assert_eq!(other.reason, DecodeReason::MessageIdMismatch);
}

/// The reason is one of the list, the sentence short and in one line, and the message id is looked at last.
fn refused(body: &[u8], error: &DecodeError) {
    assert!(DecodeReason::ALL.contains(&error.reason));
    assert_ne!(error.reason, DecodeReason::MessageIdMismatch);
    assert_eq!(error.reason == DecodeReason::TooLarge, body.len() > MAX_BYTES);
    let is_utf8 = std::str::from_utf8(body).is_ok();
    assert!(is_utf8 || matches!(error.reason, DecodeReason::NotUtf8 | DecodeReason::TooLarge));
    let sentence = error.to_string();
    assert!(sentence.len() < 250 && !sentence.contains(char::is_control), "{sentence:?}");
    assert_eq!(decode(body, Some("a message id")).as_ref(), Err(error));
}
