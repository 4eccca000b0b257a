//! The rules of a merge as pure functions over plain types: no I/O, no clock.
//!
//! [`admit`] holds the rules A, [`combine`] the rules P. Both are given facts and return a decision;
//! reading the facts and carrying the decision out is the business of `store` and `merge`.

mod admission;
mod ids;
mod outcome;
mod phone;
mod profile;
mod rejection;
mod request;

pub use admission::{Application, Candidate, Role, Verdict, admit};
pub use ids::{AccountId, IdError, MergeId, OrganizationId, UserId};
pub use outcome::{CcCounts, ProfileCounts, TicketCounts};
pub use profile::{
    Identity, IdentityKind, IdentityMove, Profile, ProfileChange, ProfileRules, combine,
};
pub use rejection::{Reason, Rejection, UnknownReason};
pub use request::{
    IdempotencyKey, KeyError, MAX_KEY_CHARS, MAX_REASON_CHARS, MAX_REQUESTED_BY_CHARS,
    MergeRequest, Pair,
};
