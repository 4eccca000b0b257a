//! Every broken and hostile message that anybody thought of: `tests/corpus/requests/REASON/CASE.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

/// Stands in many values, and must be in no error.
const MARK: &str = "Zq7";

/// R6: each is refused for the reason that its directory is called after, in a short sentence of one line without
/// a value; those in `read` are read.
#[test]
fn r6_every_message_of_the_corpus_is_read_or_refused_for_its_reason() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/requests");
    let mut seen = BTreeSet::new();
    for directory in fs::read_dir(corpus).unwrap() {
        let directory = directory.unwrap().path();
        let expected = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let message_id = (expected == "message_id_mismatch").then_some("another-id");
        for case in fs::read_dir(directory).unwrap() {
            let path = case.unwrap().path();
            let case = path.display();
            let body = fs::read(&path).unwrap();
            match decode(&body, message_id) {
                Ok(request) => {
                    assert_eq!(expected, "read", "{case}");
                    let key = request.idempotency_key.as_str();
                    assert_eq!(decode(&encode(&request), Some(key)), Ok(request.clone()));
                }
                Err(error) => {
                    assert_eq!(error.reason.label(), expected, "{case}: {error}");
                    let sentence = error.to_string();
                    assert!(!sentence.contains(MARK), "{case}: {sentence}");
                    let is_plain = sentence.len() < 250 && !sentence.contains(char::is_control);
                    assert!(is_plain, "{case}: {sentence:?}");
                }
            }
        }
        seen.insert(expected);
    }
    for reason in DecodeReason::ALL {
        assert!(seen.contains(reason.label()), "no case of {reason}");
    }
    assert_eq!(seen.len(), DecodeReason::ALL.len() + 1, "{seen:?}");
}
