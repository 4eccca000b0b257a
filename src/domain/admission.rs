//! Rules A1 to A10: who may be merged.

use super::{Reason, Rejection, UserId};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// What a user may do in the help desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Someone who asks for help; only these are merged (rule A6).
    EndUser,
    /// Someone who answers.
    Agent,
    /// Someone who runs the help desk.
    Admin,
}

impl Role {
    /// Reads the word that the help desk has for it.
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        match label {
            "end_user" => Some(Self::EndUser),
            "agent" => Some(Self::Agent),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// What admission has to know of one user. Facts only, no values: nothing personal gets here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as the rules name them"
)]
pub struct Candidate {
    /// The user's role.
    pub role: Role,
    /// Whether the user has proved who it is.
    pub verified: bool,
    /// Deleted, or queued for it.
    pub deleted: bool,
    /// Who the user was merged into, if it was.
    pub merged_into: Option<UserId>,
    /// A non-blank external id.
    pub has_external_id: bool,
    /// At least one e-mail address.
    pub has_email: bool,
    /// At least one X account.
    pub has_x: bool,
    /// Tickets requested, live, closed and archived; counting may stop right above the limit.
    pub tickets: i64,
}

/// All that admission looks at, read in one transaction with both users locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The source's id.
    pub source_id: UserId,
    /// The target's id.
    pub target_id: UserId,
    /// The source, where it exists in the account.
    pub source: Option<Candidate>,
    /// The target, where it exists in the account.
    pub target: Option<Candidate>,
    /// Whom a completed merge of this worker put the source into.
    pub recorded_target: Option<UserId>,
    /// The account signs users in by JWT or SAML.
    pub signs_on_by_token: bool,
    /// An unfinished merge holds one of the two in a role that conflicts.
    pub conflicting_merge: bool,
    /// The most tickets each may request, inclusive.
    pub ticket_limit: i64,
}

/// What admission decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go ahead.
    Admit,
    /// This very pair is merged: a success without work (rules A3 and R3).
    AlreadyMerged,
    /// Never, as things stand.
    Reject(Rejection),
    /// Not now: another unfinished merge comes first (rule A10).
    PutOff,
}

/// Checks the rules in their order; the first that fails decides.
#[must_use]
pub fn admit(application: &Application) -> Verdict {
    match check(application) {
        Ok(()) => Verdict::Admit,
        Err(verdict) => verdict,
    }
}

fn check(a: &Application) -> Result<(), Verdict> {
    let refuse = |failed: bool, reason: Reason| {
        if failed {
            Err(Verdict::Reject(reason.into()))
        } else {
            Ok(())
        }
    };

    // A1
    refuse(a.source_id == a.target_id, Reason::SameUser)?;

    // A2, and A3 ahead of it where a recorded merge is all that is left of the source.
    let source = a.source.as_ref().ok_or_else(|| source_is_gone(a))?;
    if a.recorded_target == Some(a.target_id) && source.merged_into.is_some() {
        return Err(Verdict::AlreadyMerged);
    }
    let target = a
        .target
        .as_ref()
        .ok_or(Verdict::Reject(Reason::TargetNotFound.into()))?;

    // A3
    match source.merged_into {
        None => {}
        Some(into) if into == a.target_id => return Err(Verdict::AlreadyMerged),
        Some(into) => return Err(merged(Reason::SourceMergedElsewhere, into)),
    }
    // A4
    if let Some(into) = target.merged_into {
        return Err(merged(Reason::TargetMerged, into));
    }
    // A5
    refuse(source.deleted, Reason::SourceDeleted)?;
    refuse(target.deleted, Reason::TargetDeleted)?;
    // A6
    refuse(source.role != Role::EndUser, Reason::SourceNotEndUser)?;
    refuse(target.role != Role::EndUser, Reason::TargetNotEndUser)?;
    // A7
    let unreachable = |user: &Candidate| !user.verified && !user.has_email && !user.has_x;
    refuse(unreachable(source), Reason::SourceUnverifiedWithoutContact)?;
    refuse(unreachable(target), Reason::TargetUnverifiedWithoutContact)?;
    // A8
    refuse(
        source.tickets > a.ticket_limit,
        Reason::SourceTooManyTickets,
    )?;
    refuse(
        target.tickets > a.ticket_limit,
        Reason::TargetTooManyTickets,
    )?;
    // A9
    refuse(
        a.signs_on_by_token && source.has_external_id,
        Reason::SourceExternalId,
    )?;
    refuse(
        a.signs_on_by_token && target.has_external_id,
        Reason::TargetExternalId,
    )?;
    // A10
    if a.conflicting_merge {
        Err(Verdict::PutOff)
    } else {
        Ok(())
    }
}

/// The deletion pipeline may have removed the source's row since it was merged: the record still knows.
fn source_is_gone(a: &Application) -> Verdict {
    match a.recorded_target {
        Some(into) if into == a.target_id => Verdict::AlreadyMerged,
        Some(into) => merged(Reason::SourceMergedElsewhere, into),
        None => Verdict::Reject(Reason::SourceNotFound.into()),
    }
}

const fn merged(reason: Reason, into: UserId) -> Verdict {
    Verdict::Reject(Rejection {
        reason,
        canonical_user_id: Some(into),
    })
}
