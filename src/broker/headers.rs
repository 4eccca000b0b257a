//! Headers as senders write them: of any type, any width, any bytes.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// How often the broker delivered the message before; a quorum queue counts from the second delivery on.
pub(super) fn delivery_count(amqp: &BasicProperties) -> u32 {
    let count = Headers(amqp.headers().as_ref()).number("x-delivery-count");
    count.map_or(0, |n| u32::try_from(n.max(0)).unwrap_or(u32::MAX))
}

/// The headers of a message. A value of another type than asked for counts as missing.
pub(super) struct Headers<'a>(pub(super) Option<&'a FieldTable>);

impl<'a> Headers<'a> {
    fn get(&self, name: &str) -> Option<&'a AMQPValue> {
        self.0?.inner().get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Clients write the same number in different widths.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            AMQPValue::ShortShortInt(n) => Some((*n).into()),
            AMQPValue::ShortShortUInt(n) => Some((*n).into()),
            AMQPValue::ShortInt(n) => Some((*n).into()),
            AMQPValue::ShortUInt(n) => Some((*n).into()),
            AMQPValue::LongInt(n) => Some((*n).into()),
            AMQPValue::LongUInt(n) => Some((*n).into()),
            AMQPValue::LongLongInt(n) => Some(*n),
            _ => None,
        }
    }
}

/// `version-traceid-parentid-flags`, lower-case hexadecimal.
pub(super) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]) && parts.iter().all(|part| hex(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_context_of_another_form_is_dropped() {
        assert!(is_traceparent(TRACE));
        for bad in [
            "",
            "00",
            &TRACE.to_uppercase(),
            &TRACE[1..],
            &format!("{TRACE}-00"),
            &TRACE.replace('-', "_"),
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

    #[test]
    fn a_count_of_any_width_is_read() {
        let count = |value| {
            let mut headers = FieldTable::default();
            headers.insert("x-delivery-count".into(), value);
            delivery_count(&BasicProperties::default().with_headers(headers))
        };
        assert_eq!(count(AMQPValue::ShortShortUInt(7)), 7);
        assert_eq!(count(AMQPValue::LongLongInt(i64::MAX)), u32::MAX);
        assert_eq!(count(AMQPValue::LongInt(-1)), 0);
        assert_eq!(count(AMQPValue::Boolean(true)), 0);
        assert_eq!(delivery_count(&BasicProperties::default()), 0);
    }
}
