//! One dead letter.

use chrono::{DateTime, Utc};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};

use crate::broker::headers::{Headers, delivery_count};
use crate::broker::mend::SUBSTITUTE;
use crate::broker::{Lane, Properties};

/// How deep headers are shown.
const MAX_DEPTH: usize = 16;

/// A message of the dead-letter queue, held for whoever walks through it. No `Debug`: neither the body nor values
/// from a sender belong into logs.
pub struct Letter {
    /// Its place in the queue when the walk, or its round, began; the first is 1.
    pub position: u64,
    /// The body, as the sender wrote it.
    pub body: Vec<u8>,
    /// Ids and headers.
    pub properties: Properties,
    /// What the broker says about it, where the broker itself moved it here.
    pub death: Option<Death>,
    /// How often it was delivered before, which includes those who only looked.
    pub delivery_count: u32,
    pub(super) acker: lapin::Acker,
    pub(super) tag: u64,
    amqp: BasicProperties,
}

/// The newest entry of `x-death`. The worker's own dead letters have none: it drops the header.
pub struct Death {
    /// Such as `delivery_limit`.
    pub reason: String,
    /// Where it died.
    pub queue: String,
    /// The lane of that queue, if it is one's.
    pub lane: Option<Lane>,
    /// When.
    pub time: Option<DateTime<Utc>>,
}

impl Letter {
    pub(super) fn new(
        delivery: lapin::message::Delivery,
        position: u64,
        lanes: &[(String, Lane)],
    ) -> Self {
        Self {
            position,
            properties: Properties::from_amqp(&delivery.properties),
            death: newest_death(&delivery.properties, lanes),
            delivery_count: delivery_count(&delivery.properties),
            body: delivery.data,
            acker: delivery.acker,
            tag: delivery.delivery_tag,
            amqp: delivery.properties,
        }
    }

    /// Whether ids or names of headers hold bytes that are no UTF-8; each of them reads as U+001A.
    #[must_use]
    pub fn is_mended(&self) -> bool {
        let ids = self.ids();
        let mut texts = ids.iter().filter_map(|(_, text)| text.as_deref());
        texts.any(|text| text.contains(SUBSTITUTE))
            || self.amqp.headers().as_ref().is_some_and(has_mended_name)
    }

    /// All AMQP properties but the headers, by name.
    #[must_use]
    pub fn ids(&self) -> Vec<(&'static str, Option<String>)> {
        let amqp = &self.amqp;
        let text = |value: &Option<lapin::types::ShortString>| {
            value.as_ref().map(|text| text.as_str().to_owned())
        };
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        vec![
            ("message_id", text(amqp.message_id())),
            ("correlation_id", text(amqp.correlation_id())),
            ("content_type", text(amqp.content_type())),
            ("content_encoding", text(amqp.content_encoding())),
            ("type", text(amqp.kind())),
            ("app_id", text(amqp.app_id())),
            ("user_id", text(amqp.user_id())),
            ("reply_to", text(amqp.reply_to())),
            ("cluster_id", text(amqp.cluster_id())),
            ("expiration", text(amqp.expiration())),
            ("timestamp", number(*amqp.timestamp())),
            ("priority", number(amqp.priority().map(Into::into))),
            (
                "delivery_mode",
                number(amqp.delivery_mode().map(Into::into)),
            ),
        ]
    }

    /// The headers as JSON. Bytes that are no UTF-8 are escaped (`\xff`), and what is nested too deep is left out.
    #[must_use]
    pub fn headers(&self) -> Value {
        let headers = self.amqp.headers().as_ref();
        headers.map_or_else(|| json!({}), |headers| table(headers, MAX_DEPTH))
    }
}

fn newest_death(amqp: &BasicProperties, lanes: &[(String, Lane)]) -> Option<Death> {
    let AMQPValue::FieldArray(deaths) = amqp.headers().as_ref()?.inner().get("x-death")? else {
        return None;
    };
    let AMQPValue::FieldTable(newest) = deaths.as_slice().first()? else {
        return None;
    };
    let death = Headers(Some(newest));
    let queue = death.text("queue")?.to_owned();
    let time = match newest.inner().get("time") {
        Some(AMQPValue::Timestamp(seconds)) => i64::try_from(*seconds).ok(),
        _ => None,
    };
    Some(Death {
        reason: death.text("reason")?.to_owned(),
        lane: lanes
            .iter()
            .find(|(name, _)| *name == queue)
            .map(|(_, lane)| *lane),
        queue,
        time: time.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
    })
}

/// The depth is the sender's; the stack has room for it, since the client library went down there before.
fn has_mended_name(table: &FieldTable) -> bool {
    let mut entries = table.inner().iter();
    entries.any(|(name, inner)| name.as_str().contains(SUBSTITUTE) || has_mended_name_in(inner))
}

fn has_mended_name_in(value: &AMQPValue) -> bool {
    match value {
        AMQPValue::FieldTable(table) => has_mended_name(table),
        AMQPValue::FieldArray(array) => array.as_slice().iter().any(has_mended_name_in),
        _ => false,
    }
}

fn table(table: &FieldTable, depth: usize) -> Value {
    let entries = table.inner().iter();
    let entries = entries.map(|(name, inner)| (name.as_str().to_owned(), value(inner, depth)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn value(of: &AMQPValue, depth: usize) -> Value {
    let bytes = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!(bytes.escape_ascii().to_string()),
    };
    match of {
        AMQPValue::Boolean(is) => json!(is),
        AMQPValue::ShortShortInt(n) => json!(n),
        AMQPValue::ShortShortUInt(n) => json!(n),
        AMQPValue::ShortInt(n) => json!(n),
        AMQPValue::ShortUInt(n) => json!(n),
        AMQPValue::LongInt(n) => json!(n),
        AMQPValue::LongUInt(n) => json!(n),
        AMQPValue::LongLongInt(n) => json!(n),
        AMQPValue::Float(n) => json!(n),
        AMQPValue::Double(n) => json!(n),
        AMQPValue::DecimalValue(n) => json!(format!("{}e-{}", n.value, n.scale)),
        AMQPValue::ShortString(text) => json!(text.as_str()),
        AMQPValue::LongString(text) => bytes(text.as_bytes()),
        AMQPValue::ByteArray(array) => bytes(array.as_slice()),
        AMQPValue::Timestamp(seconds) => {
            let time = i64::try_from(*seconds)
                .ok()
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
            time.map_or_else(|| json!(seconds), |time| json!(time))
        }
        AMQPValue::Void => Value::Null,
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if depth == 0 => json!("…"),
        AMQPValue::FieldArray(array) => {
            let entries = array.as_slice().iter();
            Value::Array(entries.map(|inner| value(inner, depth - 1)).collect())
        }
        AMQPValue::FieldTable(inner) => table(inner, depth - 1),
    }
}
