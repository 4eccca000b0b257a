//! Typed ids: an account can't be passed where a user is meant.

use std::fmt;

/// An id that is not a whole number from 1 to 9223372036854775807.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 1 to 9223372036854775807")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(try_from = "i64", into = "i64")]
        #[schemars(!try_from, !into)]
        pub struct $name(#[schemars(range(min = 1))] i64);

        impl $name {
            /// The number as the database and the messages carry it.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = IdError;

            fn try_from(id: i64) -> Result<Self, IdError> {
                if id < 1 { Err(IdError) } else { Ok(Self(id)) }
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse::<i64>().map_err(|_| IdError)?.try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// One help-desk tenant; every look-up and every write is bounded by it.
    AccountId
}
id! {
    /// A user, unique within an account only.
    UserId
}
id! {
    /// An organization, unique within an account only.
    OrganizationId
}

/// The id of a merge, a UUID v7: it sorts by the time of acceptance.
pub type MergeId = uuid::Uuid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_start_at_one() {
        assert_eq!(UserId::try_from(0), Err(IdError));
        assert_eq!(UserId::try_from(-7), Err(IdError));
        assert_eq!(UserId::try_from(1).map(UserId::get), Ok(1));
        assert_eq!(
            "9223372036854775807".parse::<AccountId>().map(i64::from),
            Ok(i64::MAX)
        );
        assert_eq!("9223372036854775808".parse::<AccountId>(), Err(IdError));
    }
}
