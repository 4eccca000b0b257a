use super::*;
use crate::message::request;

#[test]
fn every_schema_is_valid_and_describes_itself() {
    for name in NAMES {
        let schema = schema(name).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert!(schema.get("$id").is_none(), "{name}");
        assert!(schema["title"].is_string(), "{name}");
        assert!(schema["description"].as_str().unwrap().len() > 40, "{name}");
        for (field, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name}: {field}");
        }
    }
    assert_eq!(schema("no-such-message"), None);
    assert_eq!(schema(""), None);
}

#[test]
fn every_example_fits_its_schema() {
    for name in NAMES {
        let schema = schema(name).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for example in schema["examples"].as_array().unwrap() {
            assert!(validator.is_valid(example), "{name}: {example}");
        }
    }
}

#[test]
fn every_example_is_what_the_types_read() {
    for example in schema("merge-request").unwrap()["examples"]
        .as_array()
        .unwrap()
    {
        request::decode(example.to_string().as_bytes(), None).unwrap();
    }
    for example in schema("outcome-event").unwrap()["examples"]
        .as_array()
        .unwrap()
    {
        let event: OutcomeEvent = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(&serde_json::to_value(&event).unwrap(), example);
    }
}

#[test]
fn the_request_schema_says_every_limit() {
    let schema = schema("merge-request").unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let required = [
        "schema_version",
        "idempotency_key",
        "account_id",
        "source_user_id",
        "target_user_id",
    ];
    assert_eq!(schema["required"], json!(required));
    let limits = [
        ("/schema_version/const", json!(1)),
        ("/idempotency_key/minLength", json!(1)),
        ("/idempotency_key/maxLength", json!(200)),
        ("/idempotency_key/pattern", json!("^[ -~]+$")),
        ("/account_id/minimum", json!(1)),
        ("/source_user_id/maximum", json!(i64::MAX)),
        ("/target_user_id/minimum", json!(1)),
        ("/requested_by/maxLength", json!(200)),
        ("/requested_by/type", json!(["string", "null"])),
        ("/reason/maxLength", json!(1_000)),
    ];
    for (pointer, expected) in limits {
        assert_eq!(
            schema["properties"].pointer(pointer),
            Some(&expected),
            "{pointer}"
        );
    }
}

#[test]
fn an_outcome_schema_refuses_what_no_worker_sends() {
    let schema = schema("outcome-event").unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let [completed, rejected, failed] = [0, 1, 2].map(|at| schema["examples"][at].clone());
    let cases = [
        (&completed, "/tickets/live", json!(-1)),
        (&completed, "/ccs/moved", json!(-1)),
        (&completed, "/profile/dropped/tags", json!(-1)),
        (&completed, "/attempts", json!(0)),
        (&completed, "/type", json!("merge.rejected")),
        (&completed, "/merge_id", json!(7)),
        (&completed, "/requested_by", json!(null)),
        (&rejected, "/type", json!("merge.completed")),
        (&rejected, "/rejection", json!(null)),
        (&rejected, "/rejection/reason", json!("no_such_reason")),
        (&rejected, "/rejection/canonical_user_id", json!(0)),
        (&failed, "/failure/sqlstate", json!("55p03: Zq7")),
        (&failed, "/type", json!("merge.completed")),
    ];
    for (valid, pointer, bad) in cases {
        let mut event = valid.clone();
        *event.pointer_mut(pointer).unwrap() = bad;
        assert!(
            validator.is_valid(valid) && !validator.is_valid(&event),
            "{pointer}"
        );
    }
    let foreign = [
        (&rejected, &completed, "tickets"),
        (&completed, &failed, "failure"),
    ];
    for (valid, other, part) in foreign {
        let mut event = valid.clone();
        event[part] = other[part].clone();
        assert!(
            !validator.is_valid(&event),
            "a part of another type: {part}"
        );
    }
    let mut later = completed;
    later["new_in_a_later_release"] = json!(1);
    assert!(validator.is_valid(&later), "what is sent may gain fields");
}
