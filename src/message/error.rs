//! Why a message can't be read (rule R6): a label for machines, a sentence for people, never a value.

use std::fmt;

/// The longest field name that an error shows, in characters; unknown names come from the sender.
const MAX_SHOWN_CHARS: usize = 40;
/// The most digits in one: fewer than any phone number has.
const MAX_SHOWN_DIGITS: usize = 3;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// The kind of a [`DecodeError`]: the header `x-reason` and the metric's label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum DecodeReason {
            $($(#[$doc])* $name,)*
        }

        impl DecodeReason {
            /// Every reason, roughly in the order in which they are looked for.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable name, in snake case.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }
        }
    };
}

reasons! {
    /// More than [`MAX_BYTES`](super::MAX_BYTES).
    TooLarge = "too_large";
    /// Not UTF-8; a compressed body ends here too.
    NotUtf8 = "not_utf8";
    /// Not JSON.
    NotJson = "not_json";
    /// Something follows the JSON object.
    TrailingData = "trailing_data";
    /// JSON, but not an object.
    NotAnObject = "not_an_object";
    /// A field that is there twice: which one counts would be a guess.
    DuplicateField = "duplicate_field";
    /// A whole number as `schema_version`, but not one that this worker reads.
    UnsupportedSchemaVersion = "unsupported_schema_version";
    /// A required field isn't there.
    MissingField = "missing_field";
    /// A field has another JSON type.
    WrongType = "wrong_type";
    /// An id below 1 or above 9223372036854775807.
    OutOfRange = "out_of_range";
    /// The idempotency key is empty, too long, or not printable ASCII.
    InvalidKey = "invalid_key";
    /// A text has too many characters.
    TooLong = "too_long";
    /// A text has a NUL character, which `PostgreSQL` can't store.
    ForbiddenCharacter = "forbidden_character";
    /// A field that the worker doesn't know: perhaps an option that must not be ignored.
    UnknownField = "unknown_field";
    /// The AMQP `message_id` isn't the idempotency key.
    MessageIdMismatch = "message_id_mismatch";
}

impl fmt::Display for DecodeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A message that can't be read: dead-lettered as it came, never retried (rule R6).
///
/// Its `Display` is the sentence for the header `x-detail`: the field, what is wrong and what would be
/// right. It holds no value from the message and is shorter than 250 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{sentence}", prefix(field.as_deref()))]
pub struct DecodeError {
    /// What kind of error it is.
    pub reason: DecodeReason,
    /// The field it is about, if its name looks like a field's; none where it's the whole message.
    pub field: Option<String>,
    sentence: String,
}

impl DecodeError {
    /// An error of the whole message.
    pub(super) fn of_message(reason: DecodeReason, sentence: impl Into<String>) -> Self {
        Self {
            reason,
            field: None,
            sentence: sentence.into(),
        }
    }

    /// An error of one field, whose name may come from the sender.
    pub(super) fn of_field(reason: DecodeReason, name: &str, sentence: impl fmt::Display) -> Self {
        Self {
            reason,
            field: Some(shown(name)),
            sentence: sentence.to_string(),
        }
    }
}

fn prefix(field: Option<&str>) -> String {
    field.map(|name| format!("{name}: ")).unwrap_or_default()
}

/// A name as people give fields: letters, `_` and `-`, and digits as in `line2`. Anything else may be somebody's
/// address, number or name that got into the wrong place; the dead letter's body has it, this has its length.
fn shown(name: &str) -> String {
    let is_mark = |c: char| matches!(c, '_' | '-');
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || is_mark(c))
        && name.chars().filter(char::is_ascii_digit).count() <= MAX_SHOWN_DIGITS;
    if is_plain && name.len() <= MAX_SHOWN_CHARS {
        name.to_owned()
    } else {
        format!("(a name of {} characters, not shown)", name.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_are_distinct_and_in_snake_case() {
        let labels: HashSet<_> = DecodeReason::ALL.iter().map(|r| r.label()).collect();
        assert_eq!(labels.len(), DecodeReason::ALL.len());
        for label in labels {
            assert!(
                label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'8'),
                "{label}"
            );
        }
    }

    #[test]
    fn r6_a_senders_name_is_shown_only_if_it_looks_like_a_fields() {
        let long = "a".repeat(41);
        for name in ["user_id", "sourceUserId", "line2", "_x-y", &long[1..]] {
            let error = DecodeError::of_field(DecodeReason::UnknownField, name, "is unknown");
            assert_eq!(error.field.as_deref(), Some(name));
            assert_eq!(error.to_string(), format!("{name}: is unknown"));
        }
        let withheld = [
            "",
            "ann@example.org",
            "4930123456",
            "phone_4930",
            "Ann Example",
            "ann.example",
            "José",
            "a\r\nx-reason: b",
            "\u{1b}[2J\u{202e}",
            &long,
            &"\0".repeat(60_000),
        ];
        for name in withheld {
            let error = DecodeError::of_field(DecodeReason::UnknownField, name, "is unknown");
            let count = name.chars().count();
            let expected = format!("(a name of {count} characters, not shown): is unknown");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn an_error_of_the_message_names_no_field() {
        let error = DecodeError::of_message(DecodeReason::NotUtf8, "the message must be UTF-8");
        assert_eq!(error.to_string(), "the message must be UTF-8");
    }
}
