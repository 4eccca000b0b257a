//! What holds for every event: it can be stored and read back, and it fits the published schema.

use proptest::prelude::*;

use super::tests::{request, value};
use super::*;
use crate::domain::Reason;
use crate::message::schema;

prop_compose! {
    fn runs()(id in any::<u128>(), attempts in 1_i32.., micros in 0..4_000_000_000_000_000_i64) -> MergeRun {
        let at = DateTime::from_timestamp_micros(micros).unwrap();
        MergeRun { merge_id: Uuid::from_u128(id), attempts, accepted_at: at, completed_at: at }
    }
}

prop_compose! {
    fn profiles()(
        counts in any::<[u32; 4]>(), differs in any::<bool>(),
        dropped in prop::collection::btree_map("[a-z_]{1,12}", 0_i64.., 0..5),
    ) -> ProfileCounts {
        let [emails, phones, organizations, social] = counts.map(i64::from);
        ProfileCounts {
            emails_added: emails, phones_added: phones, organizations_added: organizations,
            social_identities_added: social, suspension_differs: differs, dropped,
        }
    }
}

fn events() -> impl Strategy<Value = OutcomeEvent> {
    let counts = any::<[u32; 5]>().prop_map(|counts| {
        let [live, closed, archived, moved, deduplicated] = counts.map(i64::from);
        (
            TicketCounts {
                live,
                closed,
                archived,
            },
            CcCounts {
                moved,
                deduplicated,
            },
        )
    });
    let rejection = (prop::sample::select(Reason::ALL), prop::option::of(1_i64..));
    let sqlstate = prop::option::of("[0-9A-Z]{5}");
    (
        0..4,
        "[ -~]{1,200}",
        runs(),
        counts,
        profiles(),
        rejection,
        sqlstate,
    )
        .prop_map(
            |(which, key, run, (tickets, ccs), profile, (reason, canonical), sqlstate)| {
                let request = request(&key);
                let canonical_user_id = canonical.map(|id| UserId::try_from(id).unwrap());
                let failure = Failure {
                    reason: "deadlock".to_owned(),
                    sqlstate,
                };
                match which {
                    0 => OutcomeEvent::completed(&request, run, tickets, ccs, profile),
                    1 => OutcomeEvent::completed(&request, run, tickets, ccs, profile)
                        .repeated_for(&request),
                    2 => OutcomeEvent::rejected(
                        &request,
                        run,
                        Rejection {
                            reason,
                            canonical_user_id,
                        },
                    ),
                    _ => OutcomeEvent::failed(&request, run, failure, tickets, ccs),
                }
            },
        )
}

#[test]
fn every_event_is_read_back_and_fits_the_schema() {
    let schema = schema("outcome-event").unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    proptest!(|(event in events())| {
        let value = value(&event);
        prop_assert!(validator.is_valid(&value), "{}", value);
        prop_assert_eq!(serde_json::from_value::<OutcomeEvent>(value).unwrap(), event);
    });
}
