//! The strict reader of one JSON object: it knows its size, no field twice, no field too many.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::MAX_BYTES;
use super::error::{DecodeError, DecodeReason};
use crate::domain::IdError;

mod document;
#[cfg(test)]
mod tests;

use document::{Document, Found};

/// The fields of an object that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Fields(BTreeMap<String, Found>);

impl Fields {
    /// Reads a whole body: at most [`MAX_BYTES`], UTF-8, one JSON object and nothing after it.
    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let document = parse(text_of(body)?)?;
        if let Some(name) = document.duplicate {
            let sentence = "must be there once, it is there again";
            let reason = DecodeReason::DuplicateField;
            return Err(DecodeError::of_field(reason, &name, sentence));
        }
        Ok(Self(document.fields))
    }

    /// Takes a required whole number; `None` where it's too large for 64 bits.
    pub(super) fn integer(
        &mut self,
        name: &'static str,
        must: impl fmt::Display,
    ) -> Result<Option<i64>, DecodeError> {
        match self.0.remove(name) {
            Some(Found::Integer(number)) => Ok(number),
            found => Err(absent_or_wrong(found.as_ref(), name, must)),
        }
    }

    /// Takes a required id.
    pub(super) fn id<T>(&mut self, name: &'static str) -> Result<T, DecodeError>
    where
        T: TryFrom<i64, Error = IdError>,
    {
        let id = self.integer(name, IdError)?.map(T::try_from);
        id.unwrap_or(Err(IdError))
            .map_err(|must| DecodeError::of_field(DecodeReason::OutOfRange, name, must))
    }

    /// Takes a required text of any length.
    pub(super) fn text(
        &mut self,
        name: &'static str,
        must: impl fmt::Display,
    ) -> Result<String, DecodeError> {
        match self.0.remove(name) {
            Some(Found::Text(text)) => Ok(text),
            found => Err(absent_or_wrong(found.as_ref(), name, must)),
        }
    }

    /// Takes an optional text of at most so many characters; `null` counts as absent.
    pub(super) fn optional_text(
        &mut self,
        name: &'static str,
        max_chars: usize,
    ) -> Result<Option<String>, DecodeError> {
        let must = format!("must be a string of at most {max_chars} characters, none of them NUL");
        let text = match self.0.remove(name) {
            None | Some(Found::Null) => return Ok(None),
            Some(Found::Text(text)) => text,
            found => return Err(absent_or_wrong(found.as_ref(), name, must)),
        };
        if text.chars().count() > max_chars {
            return Err(DecodeError::of_field(DecodeReason::TooLong, name, must));
        }
        if text.contains('\0') {
            let reason = DecodeReason::ForbiddenCharacter;
            return Err(DecodeError::of_field(reason, name, must));
        }
        Ok(Some(text))
    }

    /// Refuses what is left, the first name in alphabetical order.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        let Some(name) = self.0.keys().next() else {
            return Ok(());
        };
        let sentence = "is unknown and must be left out, no field is ignored";
        let reason = DecodeReason::UnknownField;
        Err(DecodeError::of_field(reason, name, sentence))
    }
}

fn text_of(body: &[u8]) -> Result<&str, DecodeError> {
    if body.len() > MAX_BYTES {
        let size = body.len();
        let sentence = format!("the message must be at most {MAX_BYTES} bytes, it has {size}");
        return Err(DecodeError::of_message(DecodeReason::TooLarge, sentence));
    }
    std::str::from_utf8(body).map_err(|error| {
        let offset = error.valid_up_to();
        let sentence = format!("the message must be UTF-8, uncompressed; byte {offset} is not");
        DecodeError::of_message(DecodeReason::NotUtf8, sentence)
    })
}

fn parse(text: &str) -> Result<Document, DecodeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let document = Document::deserialize(&mut json).map_err(|error| {
        // serde_json's syntax errors hold a position and fixed words; its data errors quote the data.
        // The visitors take every value, so that a data error can only be the top level's type.
        if error.is_data() {
            let sentence = "the message must be a JSON object";
            DecodeError::of_message(DecodeReason::NotAnObject, sentence)
        } else {
            let sentence = format!("the message must be JSON: {error}");
            DecodeError::of_message(DecodeReason::NotJson, sentence)
        }
    })?;
    json.end().map_err(|_| {
        let sentence = "the message must end with its JSON object, more data follows";
        DecodeError::of_message(DecodeReason::TrailingData, sentence)
    })?;
    Ok(document)
}

fn absent_or_wrong(found: Option<&Found>, name: &str, must: impl fmt::Display) -> DecodeError {
    match found {
        None => {
            let sentence = format!("is missing, {must}");
            DecodeError::of_field(DecodeReason::MissingField, name, sentence)
        }
        Some(_) => DecodeError::of_field(DecodeReason::WrongType, name, must),
    }
}
