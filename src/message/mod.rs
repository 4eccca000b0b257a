//! Every message in and out, as JSON: read strictly at the edge, written from types, described by schemas.
//!
//! | message | type | direction |
//! |---|---|---|
//! | merge request | [`MergeRequest`](crate::domain::MergeRequest), by [`request::decode`] and [`request::encode`] | in |
//! | deletion request | [`DeletionRequest`] | out, to the deletion pipeline (rule D2) |
//! | outcome event | [`OutcomeEvent`] | out, to the topic exchange |
//!
//! A request is read strictly, since a merge can't be undone: what the worker doesn't know must not be
//! ignored. What goes out may gain fields under the same schema version; its readers ignore unknown ones.
//! No error of this module quotes a value, so none carries personal data into a header, a log or a metric.

mod deletion;
mod error;
mod event;
mod fields;
pub mod request;
mod schema;
mod wire;

pub use deletion::DeletionRequest;
pub use error::{DecodeError, DecodeReason};
pub use event::{EventType, Failure, MergeRun, OutcomeEvent};
pub use schema::{NAMES as SCHEMA_NAMES, schema};

/// The version that every message carries as `schema_version`, and the only one that is read.
pub const SCHEMA_VERSION: i64 = 1;

/// The longest body of a merge request in bytes, inclusive: 64 KiB.
pub const MAX_BYTES: usize = 64 * 1024;
