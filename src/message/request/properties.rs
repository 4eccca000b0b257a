//! What holds for every request, not only for those in the tables.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::tests::{decode_value, valid};
use super::*;
use crate::message::{MAX_BYTES, SCHEMA_VERSION, schema};

/// A text without NUL, which the messages refuse.
fn text(max_chars: usize) -> impl Strategy<Value = Option<String>> {
    let chars = prop::collection::vec(any::<char>(), 0..=max_chars);
    let text = chars.prop_map(|chars| chars.into_iter().filter(|c| *c != '\0').collect());
    prop::option::of(text)
}

prop_compose! {
    fn requests()(
        key in "[ -~]{1,200}", account in 1_i64.., source in 1_i64.., target in 1_i64..,
        requested_by in text(MAX_REQUESTED_BY_CHARS), reason in text(MAX_REASON_CHARS),
    ) -> MergeRequest {
        MergeRequest {
            idempotency_key: key.parse().unwrap(),
            account_id: AccountId::try_from(account).unwrap(),
            source_user_id: UserId::try_from(source).unwrap(),
            target_user_id: UserId::try_from(target).unwrap(),
            requested_by,
            reason,
        }
    }
}

/// Values at and around every limit. No whole number with a fraction part: to a schema `1.0` is one.
fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!(1.5),
            json!(0),
            json!(-1),
            json!(1),
            json!(2),
            json!(i64::MAX),
            json!(i64::MAX as u64 + 1),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(""),
            json!("\0"),
            json!("a\0b"),
            json!("line\nbreak"),
            json!("end\n"),
            json!("naïve"),
            json!("\u{7f}"),
        ]),
        any::<i64>().prop_map(Value::from),
        (0..1_100_usize).prop_map(|length| json!("x".repeat(length))),
        (190..210_usize).prop_map(|length| json!("é".repeat(length))),
        (990..1_010_usize).prop_map(|length| json!("😀".repeat(length))),
    ]
}

fn objects() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "schema_version",
        "idempotency_key",
        "account_id",
        "source_user_id",
        "target_user_id",
        "requested_by",
        "reason",
        "bulk",
        "",
    ]);
    let changes = prop::collection::vec((names, prop::option::of(values())), 0..3);
    changes.prop_map(|changes| {
        let mut request = valid();
        for (name, value) in changes {
            let fields = request.as_object_mut().unwrap();
            match value {
                Some(value) => fields.insert(name.to_owned(), value),
                None => fields.remove(name),
            };
        }
        request
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(request in requests()) {
        let body = encode(&request);
        prop_assert!(body.len() < MAX_BYTES);
        let key = request.idempotency_key.as_str();
        prop_assert_eq!(decode(&body, Some(key)), Ok(request.clone()));
        let value: Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(&value["schema_version"], SCHEMA_VERSION);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&body, None).is_err());
    }
}

#[test]
fn the_schema_accepts_what_is_read_and_nothing_else() {
    let schema = schema("merge-request").unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let (read, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2_000));
    let compared = runner.run(&objects(), |value| {
        let decoded = decode_value(&value).is_ok();
        let seen = if decoded { &read } else { &refused };
        seen.set(seen.get() + 1);
        prop_assert_eq!(validator.is_valid(&value), decoded, "{}", value);
        Ok(())
    });
    compared.unwrap();
    let (read, refused) = (read.get(), refused.get());
    assert!(
        read > 200 && refused > 200,
        "one-sided: {read} read, {refused} refused"
    );
}
