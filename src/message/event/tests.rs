use serde_json::{Value, json};

use super::*;
use crate::domain::Reason;

const FROM_THE_CONTRACT: &str = r#"{"schema_version": 1, "type": "merge.completed", "merge_id": "019352a0-7c00-7000-8000-000000000001", "idempotency_key": "crm-2026-11-22-000123", "account_id": 42,
 "source_user_id": 1001, "target_user_id": 1002, "requested_by": "agent:77", "already_merged": false,
 "tickets": {"live": 12, "closed": 30, "archived": 400}, "ccs": {"moved": 3, "deduplicated": 1},
 "profile": {"emails_added": 1, "phones_added": 1, "organizations_added": 0, "dropped": {"notes": 1, "tags": 2, "x": 1}},
 "attempts": 1, "accepted_at": "2026-11-22T08:59:58.250Z", "completed_at": "2026-11-22T09:00:00Z"}"#;

pub(super) fn request(key: &str) -> MergeRequest {
    MergeRequest {
        idempotency_key: key.parse().unwrap(),
        account_id: AccountId::try_from(42).unwrap(),
        source_user_id: UserId::try_from(1001).unwrap(),
        target_user_id: UserId::try_from(1002).unwrap(),
        requested_by: Some("agent:77".to_owned()),
        reason: Some("Zq7: never handed on".to_owned()),
    }
}

fn run() -> MergeRun {
    MergeRun {
        merge_id: "019352a0-7c00-7000-8000-000000000001".parse().unwrap(),
        attempts: 1,
        accepted_at: "2026-11-22T08:59:58.250Z".parse().unwrap(),
        completed_at: "2026-11-22T09:00:00Z".parse().unwrap(),
    }
}

fn completed() -> OutcomeEvent {
    let tickets = TicketCounts {
        live: 12,
        closed: 30,
        archived: 400,
    };
    let ccs = CcCounts {
        moved: 3,
        deduplicated: 1,
    };
    let dropped = [("tags", 2), ("notes", 1), ("x", 1)];
    let profile = ProfileCounts {
        emails_added: 1,
        phones_added: 1,
        dropped: dropped.map(|(kind, count)| (kind.to_owned(), count)).into(),
        ..ProfileCounts::default()
    };
    OutcomeEvent::completed(
        &request("crm-2026-11-22-000123"),
        run(),
        tickets,
        ccs,
        profile,
    )
}

pub(super) fn value(event: &OutcomeEvent) -> Value {
    serde_json::from_slice(&event.encode()).unwrap()
}

#[test]
fn the_contracts_example_is_written_and_read_back() {
    let event = completed();
    let compact = FROM_THE_CONTRACT
        .replace(": ", ":")
        .replace(", \"", ",\"")
        .replace(",\n ", ",");
    assert_eq!(String::from_utf8(event.encode()).unwrap(), compact);
    assert_eq!(
        serde_json::from_str::<OutcomeEvent>(FROM_THE_CONTRACT).unwrap(),
        event
    );
}

#[test]
fn a_rejected_event_has_the_reason_and_the_canonical_user() {
    let canonical = UserId::try_from(7).unwrap();
    let rejection = Rejection {
        reason: Reason::SourceMergedElsewhere,
        canonical_user_id: Some(canonical),
    };
    let event = OutcomeEvent::rejected(&request("k"), run(), rejection);
    assert_eq!(event.routing_key(), "merge.rejected");
    let value = value(&event);
    let expected = json!({"reason": "source_merged_elsewhere", "canonical_user_id": 7});
    assert_eq!(value["rejection"], expected);
    for absent in ["tickets", "ccs", "profile", "failure"] {
        assert!(value.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn r7_a_failed_event_has_the_failure_and_what_was_moved_so_far() {
    let failure = Failure {
        reason: "deadlock".to_owned(),
        sqlstate: Some("40P01".to_owned()),
    };
    let tickets = TicketCounts {
        live: 5,
        ..TicketCounts::default()
    };
    let run = MergeRun {
        attempts: 8,
        ..run()
    };
    let event = OutcomeEvent::failed(&request("k"), run, failure, tickets, CcCounts::default());
    let value = value(&event);
    assert_eq!(value["type"], "merge.failed");
    assert_eq!(
        value["failure"],
        json!({"reason": "deadlock", "sqlstate": "40P01"})
    );
    assert_eq!(value["tickets"]["live"], 5);
    assert_eq!(value["ccs"], json!({"moved": 0, "deduplicated": 0}));
    assert_eq!(value["attempts"], 8);
    assert!(value.get("profile").is_none());
}

#[test]
fn r3_a_new_key_gets_the_recorded_outcome_as_already_merged() {
    let recorded = completed();
    let again = MergeRequest {
        requested_by: None,
        ..request("second-key")
    };
    let mut expected = value(&recorded);
    expected["idempotency_key"] = json!("second-key");
    expected["already_merged"] = json!(true);
    expected.as_object_mut().unwrap().remove("requested_by");
    assert_eq!(value(&recorded.repeated_for(&again)), expected);
}

#[test]
fn d3_a_source_whose_target_was_merged_on_is_answered_with_todays_target() {
    let target_user_id = UserId::try_from(2002).unwrap();
    let again = MergeRequest {
        target_user_id,
        ..request("second-key")
    };
    let repeated = completed().repeated_for(&again);
    assert_eq!(repeated.target_user_id, target_user_id);
    assert_eq!(repeated.merge_id, completed().merge_id);
}

#[test]
fn a_repeated_event_is_a_message_of_its_own() {
    let recorded = completed();
    let repeated = recorded.repeated_for(&request("second-key"));
    let own = Uuid::from_u128(7);
    assert_eq!(
        recorded.message_id(recorded.merge_id),
        format!("merge.completed:{}", recorded.merge_id)
    );
    assert_eq!(
        repeated.message_id(own),
        "merge.completed:00000000-0000-0000-0000-000000000007"
    );
}

#[test]
fn a_requests_reason_is_not_handed_on() {
    assert!(
        !String::from_utf8(completed().encode())
            .unwrap()
            .contains("Zq7")
    );
}

#[test]
fn a_stored_event_is_checked_when_it_is_read() {
    for (field, bad) in [
        ("schema_version", json!(2)),
        ("type", json!("merge.done")),
        ("idempotency_key", json!("naïve")),
        ("account_id", json!(0)),
    ] {
        let mut stored = value(&completed());
        stored[field] = bad;
        assert!(
            serde_json::from_value::<OutcomeEvent>(stored).is_err(),
            "{field}"
        );
    }
}

#[test]
fn a_field_of_a_later_worker_does_not_stop_an_older_one() {
    let mut stored = value(&completed());
    stored["new_in_a_later_release"] = json!(1);
    assert_eq!(
        serde_json::from_value::<OutcomeEvent>(stored).unwrap(),
        completed()
    );
}
