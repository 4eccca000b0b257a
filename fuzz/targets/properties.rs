//! Rule R6 for a message's properties and headers: whatever bytes the broker passes on, what is read of them can be
//! sent on to another queue, and reads the same there.

#![no_main]

use lapin::protocol::basic::parse_properties;
use libfuzzer_sys::fuzz_target;
use user_merge::broker::Properties;
use user_merge::broker::fuzzing::{read, write};

/// Nested headers are read by recursion, on a stack that the program makes large enough and this one doesn't
/// have; a test has that case (`r6_headers_nested_without_end_do_not_end_the_worker`).
const MOST_BYTES: usize = 4_096;

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() > MOST_BYTES {
        return;
    }
    let Ok((_, amqp)) = parse_properties(bytes) else {
        return;
    };
    let came = read(&amqp);
    // A short string has at most 255 bytes on the wire: what came in can go out.
    let sent = read(&write(&came).expect("what was read can be written"));
    // A time is sent on in milliseconds, and a message without a content type gets ours.
    let time = |of: &Properties| of.deferred_since.map(|time| time.timestamp_millis());
    assert_eq!(time(&sent), time(&came));
    let expected = Properties {
        deferred_since: sent.deferred_since,
        content_type: sent.content_type.clone(),
        ..came.clone()
    };
    assert!(sent == expected);
    assert!(came.content_type.is_none() || sent.content_type == came.content_type);
    assert!(read(&write(&sent).expect("a copy")) == sent, "a copy of a copy differs");
});
