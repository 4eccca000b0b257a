use serde_json::{Value, json};

use super::*;

/// Stands in every value, and must be in no error.
const MARK: &str = "Zq7";

const FROM_THE_CONTRACT: &str = r#"{"schema_version": 1, "idempotency_key": "crm-2026-11-22-000123", "account_id": 42,
 "source_user_id": 1001, "target_user_id": 1002,
 "requested_by": "agent:77", "reason": "same person, second address"}"#;

pub(super) fn valid() -> Value {
    serde_json::from_str(FROM_THE_CONTRACT).unwrap()
}

pub(super) fn decode_value(value: &Value) -> Result<MergeRequest, DecodeError> {
    decode(value.to_string().as_bytes(), None)
}

#[test]
fn the_contracts_example_is_read_and_written() {
    let request = decode(FROM_THE_CONTRACT.as_bytes(), Some("crm-2026-11-22-000123")).unwrap();
    assert_eq!(request.idempotency_key.as_str(), "crm-2026-11-22-000123");
    assert_eq!(request.account_id.get(), 42);
    assert_eq!(request.source_user_id.get(), 1001);
    assert_eq!(request.target_user_id.get(), 1002);
    assert_eq!(request.requested_by.as_deref(), Some("agent:77"));
    assert_eq!(
        request.reason.as_deref(),
        Some("same person, second address")
    );

    let compact = FROM_THE_CONTRACT
        .replace(": ", ":")
        .replace(", \"", ",\"")
        .replace(",\n ", ",");
    assert_eq!(String::from_utf8(encode(&request)).unwrap(), compact);
}

#[test]
fn optional_fields_may_be_absent_or_null() {
    for field in ["requested_by", "reason"] {
        let mut null = valid();
        null[field] = Value::Null;
        let mut absent = valid();
        absent.as_object_mut().unwrap().remove(field);
        let request = decode_value(&null).unwrap();
        assert_eq!(decode_value(&absent).unwrap(), request);
        assert!(!String::from_utf8(encode(&request)).unwrap().contains(field));
    }
}

#[test]
fn every_error_names_the_field_and_never_the_value() {
    use DecodeReason::{
        ForbiddenCharacter, InvalidKey, OutOfRange, TooLong, UnknownField,
        UnsupportedSchemaVersion, WrongType,
    };
    let long = MARK.repeat(400);
    let cases = [
        ("schema_version", json!(2), UnsupportedSchemaVersion),
        ("schema_version", json!(0), UnsupportedSchemaVersion),
        ("schema_version", json!(u64::MAX), UnsupportedSchemaVersion),
        ("schema_version", json!(true), WrongType),
        ("schema_version", json!(1.0), WrongType),
        ("schema_version", json!("1"), WrongType),
        ("schema_version", json!(null), WrongType),
        ("idempotency_key", json!(""), InvalidKey),
        ("idempotency_key", json!("Zq7 naïve"), InvalidKey),
        ("idempotency_key", json!("Zq7\n"), InvalidKey),
        ("idempotency_key", json!(long[..201]), InvalidKey),
        ("idempotency_key", json!(["Zq7"]), WrongType),
        ("idempotency_key", json!(null), WrongType),
        ("account_id", json!("Zq7"), WrongType),
        ("account_id", json!(null), WrongType),
        ("account_id", json!(0), OutOfRange),
        ("source_user_id", json!(1e3), WrongType),
        ("source_user_id", json!(-5), OutOfRange),
        ("target_user_id", json!({"Zq7": "Zq7"}), WrongType),
        ("target_user_id", json!(u64::MAX), OutOfRange),
        ("requested_by", json!(long[..201]), TooLong),
        ("requested_by", json!("Zq7\0"), ForbiddenCharacter),
        ("requested_by", json!(77), WrongType),
        ("reason", json!(long[..1001]), TooLong),
        ("reason", json!("\0Zq7"), ForbiddenCharacter),
        ("reason", json!(["Zq7"]), WrongType),
        ("dry_run", json!("Zq7"), UnknownField),
        ("Reason", json!("Zq7"), UnknownField),
    ];
    for (field, value, reason) in cases {
        let mut request = valid();
        request[field] = value.clone();
        let error = decode_value(&request).unwrap_err();
        assert_eq!(error.reason, reason, "{field}: {value}");
        assert_eq!(error.field.as_deref(), Some(field), "{value}");
        let sentence = error.to_string();
        assert!(sentence.starts_with(&format!("{field}: ")), "{sentence}");
        assert!(!sentence.contains(MARK), "{sentence}");
    }
}

#[test]
fn what_is_required_must_be_there() {
    let required = [
        "schema_version",
        "idempotency_key",
        "account_id",
        "source_user_id",
        "target_user_id",
    ];
    for field in required {
        let mut request = valid();
        request.as_object_mut().unwrap().remove(field);
        let error = decode_value(&request).unwrap_err();
        assert_eq!(error.reason, DecodeReason::MissingField);
        assert!(
            error
                .to_string()
                .starts_with(&format!("{field}: is missing, must be "))
        );
    }
}

#[test]
fn the_limits_are_inclusive_and_count_characters() {
    let mut request = valid();
    request["idempotency_key"] = json!("~".repeat(200));
    request["requested_by"] = json!("😀".repeat(200));
    request["reason"] = json!("é\n".repeat(500));
    request["target_user_id"] = json!(i64::MAX);
    assert!(decode_value(&request).is_ok());
}

#[test]
fn another_version_is_reported_before_its_unknown_fields() {
    let error = decode_value(&json!({"schema_version": 2, "merge": {}})).unwrap_err();
    assert_eq!(error.to_string(), "schema_version: must be the number 1");
}

#[test]
fn a_message_id_must_be_the_key() {
    let body = FROM_THE_CONTRACT.as_bytes();
    for other in ["", "Zq7", "CRM-2026-11-22-000123", "crm-2026-11-22-000123 "] {
        let error = decode(body, Some(other)).unwrap_err();
        assert_eq!(error.reason, DecodeReason::MessageIdMismatch);
        let sentence = "message_id: must equal idempotency_key, or be left unset";
        assert_eq!(error.to_string(), sentence);
    }
}
