//! The properties and headers of a message, in plain types. Whatever a sender puts there, reading never fails:
//! what has another type than expected counts as missing.

use chrono::{DateTime, SecondsFormat, Utc};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use super::Lane;
use super::headers::{Headers, is_traceparent};

/// The most bytes that AMQP allows in a message id, a correlation id or a content type.
pub const MAX_SHORT_BYTES: usize = 255;
/// How much of a detail text is kept, in bytes.
const MAX_DETAIL_BYTES: usize = 1_000;
const JSON: &str = "application/json";

/// What goes along with a body. No `Debug`: values may come from a sender, and don't belong into logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// The idempotency key.
    pub message_id: Option<String>,
    /// Handed on to every message that follows from this one. Missing where it holds a NUL, which AMQP forbids
    /// and `PostgreSQL` can't store.
    pub correlation_id: Option<String>,
    /// Of the body; `application/json` where a message of our own has none.
    pub content_type: Option<String>,
    /// W3C trace context, handed on like the correlation id. Missing where its form is wrong.
    pub traceparent: Option<String>,
    /// `x-attempts`: how often the merge was tried; for operators, the database counts.
    pub attempts: Option<u32>,
    /// `x-deferred-since`: when the request was first put off.
    pub deferred_since: Option<DateTime<Utc>>,
    /// `x-enqueued-again`: the how manieth copy it is of a request whose merge stood still. Not for dead letters: a
    /// copy is dropped once its merge has ended, and a replay must not be.
    pub enqueued_again: Option<u32>,
    /// `x-lane`: the lane that it came in by.
    pub lane: Option<Lane>,
    /// `x-reason`: the code of why it is a dead letter.
    pub reason: Option<String>,
    /// `x-detail`: more about that, for people; never personal data. Cut at 1,000 bytes.
    pub detail: Option<String>,
    /// `x-dead-since`: when it became a dead letter by the worker's own hand.
    pub dead_since: Option<DateTime<Utc>>,
}

impl Properties {
    /// What a message that follows from this one inherits: correlation id and trace context.
    #[must_use]
    pub fn handed_on(&self) -> Self {
        Self {
            correlation_id: self.correlation_id.clone(),
            traceparent: self.traceparent.clone(),
            ..Self::default()
        }
    }

    pub(super) fn from_amqp(amqp: &BasicProperties) -> Self {
        let short =
            |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
        let headers = Headers(amqp.headers().as_ref());
        Self {
            message_id: short(amqp.message_id()),
            correlation_id: short(amqp.correlation_id()).filter(|id| !id.contains('\0')),
            content_type: short(amqp.content_type()),
            traceparent: headers
                .text("traceparent")
                .filter(|text| is_traceparent(text))
                .map(str::to_owned),
            attempts: headers
                .number("x-attempts")
                .and_then(|n| u32::try_from(n).ok()),
            deferred_since: headers
                .text("x-deferred-since")
                .and_then(|text| text.parse().ok()),
            enqueued_again: headers
                .number("x-enqueued-again")
                .and_then(|n| u32::try_from(n).ok()),
            lane: headers.text("x-lane").and_then(|text| text.parse().ok()),
            reason: headers
                .text("x-reason")
                .map(|text| cut(text, MAX_SHORT_BYTES).to_owned()),
            detail: headers
                .text("x-detail")
                .map(|text| cut(text, MAX_DETAIL_BYTES).to_owned()),
            dead_since: headers
                .text("x-dead-since")
                .and_then(|text| text.parse().ok()),
        }
    }

    /// Persistent. The error names the property that is too long.
    pub(super) fn to_amqp(&self) -> Result<BasicProperties, &'static str> {
        let short = |text: &str| ShortString::try_new(text);
        let content_type = self.content_type.as_deref().unwrap_or(JSON);
        let mut amqp = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type(short(content_type).map_err(|_| "content type over 255 bytes")?);
        if let Some(id) = &self.message_id {
            amqp = amqp.with_message_id(short(id).map_err(|_| "message id over 255 bytes")?);
        }
        if let Some(id) = &self.correlation_id {
            amqp =
                amqp.with_correlation_id(short(id).map_err(|_| "correlation id over 255 bytes")?);
        }
        let mut headers = FieldTable::default();
        let mut text = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
            }
        };
        let since = |time: Option<DateTime<Utc>>| {
            time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
        };
        text("traceparent", self.traceparent.as_deref());
        text("x-deferred-since", since(self.deferred_since).as_deref());
        text("x-dead-since", since(self.dead_since).as_deref());
        text("x-lane", self.lane.map(Lane::label));
        text(
            "x-reason",
            self.reason
                .as_deref()
                .map(|reason| cut(reason, MAX_SHORT_BYTES)),
        );
        text(
            "x-detail",
            self.detail
                .as_deref()
                .map(|detail| cut(detail, MAX_DETAIL_BYTES)),
        );
        for (name, number) in [
            ("x-attempts", self.attempts),
            ("x-enqueued-again", self.enqueued_again),
        ] {
            if let Some(number) = number {
                headers.insert(name.into(), AMQPValue::LongLongInt(number.into()));
            }
        }
        Ok(if headers.inner().is_empty() {
            amqp
        } else {
            amqp.with_headers(headers)
        })
    }
}

/// At most so many bytes, whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_written_is_read() {
        let properties = Properties {
            message_id: Some("k".repeat(MAX_SHORT_BYTES)),
            correlation_id: Some("c".into()),
            content_type: Some("text/plain".into()),
            traceparent: Some(TRACE.into()),
            attempts: Some(u32::MAX),
            deferred_since: Some("2026-11-22T09:00:00.250Z".parse().unwrap()),
            enqueued_again: Some(2),
            lane: Some(Lane::Bulk),
            reason: Some("unreadable".into()),
            detail: Some("line 1".into()),
            dead_since: Some("2026-11-22T09:30:00.125Z".parse().unwrap()),
        };
        assert!(Properties::from_amqp(&properties.to_amqp().unwrap()) == properties);
        let follows = properties.handed_on();
        assert_eq!(
            (follows.correlation_id, follows.traceparent),
            (Some("c".into()), Some(TRACE.into()))
        );
        assert!(follows.message_id.is_none() && follows.attempts.is_none());
    }

    #[test]
    fn ours_are_persistent_json() {
        let amqp = Properties::default().to_amqp().unwrap();
        assert_eq!(amqp.delivery_mode(), &Some(2));
        assert_eq!(amqp.content_type().as_ref().unwrap().as_str(), JSON);
        assert!(amqp.headers().is_none());
    }

    #[test]
    fn too_long_is_an_error_and_no_panic() {
        let long = Some("é".repeat(128));
        assert!(
            Properties {
                message_id: long.clone(),
                ..Properties::default()
            }
            .to_amqp()
            .is_err()
        );
        assert!(
            Properties {
                correlation_id: long.clone(),
                ..Properties::default()
            }
            .to_amqp()
            .is_err()
        );
        assert!(
            Properties {
                content_type: long,
                ..Properties::default()
            }
            .to_amqp()
            .is_err()
        );
        let detail = Some("é".repeat(501) + "x");
        let read = Properties::from_amqp(
            &Properties {
                detail,
                ..Properties::default()
            }
            .to_amqp()
            .unwrap(),
        );
        assert_eq!(read.detail.unwrap().len(), MAX_DETAIL_BYTES);
    }
}
