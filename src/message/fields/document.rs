//! Reads a JSON object without losing a field that is there twice, as `serde_json`'s own map would.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What stands in a field, as far as a message may use it.
#[derive(Debug)]
pub(super) enum Found {
    Null,
    /// `None` where it doesn't fit into 64 bits.
    Integer(Option<i64>),
    Text(String),
    /// A boolean, a fraction, an array or an object: no message has one.
    Other,
}

/// A JSON object as it was read.
pub(super) struct Document {
    /// By name, each once.
    pub(super) fields: BTreeMap<String, Found>,
    /// The first name that came again.
    pub(super) duplicate: Option<String>,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let (mut fields, mut duplicate) = (BTreeMap::new(), None);
        while let Some(name) = map.next_key::<String>()? {
            match fields.entry(name) {
                Entry::Vacant(free) => {
                    free.insert(map.next_value()?);
                }
                Entry::Occupied(taken) => {
                    map.next_value::<IgnoredAny>()?;
                    duplicate.get_or_insert_with(|| taken.key().clone());
                }
            }
        }
        Ok(Document { fields, duplicate })
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FoundVisitor)
    }
}

struct FoundVisitor;

/// Takes every kind of value, so that no error of serde's can quote one. What is inside of arrays and
/// objects is skipped by `serde_json` without recursion: no depth of nesting can exhaust the stack.
impl<'de> Visitor<'de> for FoundVisitor {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Found, E> {
        Ok(Found::Integer(Some(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Found, E> {
        Ok(Found::Integer(i64::try_from(number).ok()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Found, E> {
        // Whole numbers beyond 64 bits arrive here too: out of range, not of a wrong type.
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        if number.abs() >= BEYOND {
            Ok(Found::Integer(None))
        } else {
            Ok(Found::Other)
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Found, E> {
        Ok(Found::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Other)
    }
}
