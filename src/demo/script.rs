//! The scenes: for each rule that says no, waits or repeats, a request that makes it do so.

use super::cast::{
    ELSEWHERE, LARGE, LARGE_NEXT, LARGE_TARGET, NOBODY, SHOWN, SHOWN_TARGET, TOO_LARGE,
};
use crate::domain::Reason;
use crate::message::DecodeReason;
use crate::store::demo::Account;

/// What a request comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// The two are merged.
    Completed,
    /// They were, before (rules A3 and R3).
    AlreadyMerged,
    /// The recorded outcome, once more (rule R1).
    Repeated,
    /// A normal outcome too.
    Rejected(Reason),
}

/// When a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Before all others.
    First,
    /// While the first one is at work.
    Meanwhile,
    /// With most others.
    Now,
    /// After the outcome of the request at this place.
    After(usize),
}

/// A request of the script; `When::After` counts back from its own place.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub name: &'static str,
    pub source: i64,
    pub target: i64,
    pub expect: Expect,
    pub when: When,
}

/// A message that can't be read (rule R6).
#[derive(Debug, Clone)]
pub(super) struct Unreadable {
    pub message_id: String,
    pub body: String,
    pub reason: DecodeReason,
}

const fn scene(name: &'static str, source: i64, target: i64, expect: Expect) -> Scene {
    Scene {
        name,
        source,
        target,
        expect,
        when: When::Now,
    }
}

const fn refused(name: &'static str, source: i64, target: i64, reason: Reason) -> Scene {
    scene(name, source, target, Expect::Rejected(reason))
}

const fn sent(when: When, scene: Scene) -> Scene {
    Scene { when, ..scene }
}

/// All of one account; the main account has some that the others don't.
pub(super) fn scenes(account: &Account, is_main: bool) -> Vec<Scene> {
    let mut scenes = Vec::new();
    if is_main {
        scenes.extend(large());
        scenes.push(scene("shown", SHOWN, SHOWN_TARGET, Expect::Completed));
    }
    scenes.extend(refusals());
    scenes.extend(external_ids(account));
    scenes.extend(repetitions());
    scenes
}

/// Rules A8 and A10.
fn large() -> [Scene; 4] {
    use Expect::Completed;
    [
        sent(When::First, scene("large", LARGE, LARGE_TARGET, Completed)),
        sent(
            When::Meanwhile,
            scene("large-next", LARGE_TARGET, LARGE_NEXT, Completed),
        ),
        refused(
            "too-large-source",
            TOO_LARGE,
            105,
            Reason::SourceTooManyTickets,
        ),
        refused(
            "too-large-target",
            105,
            TOO_LARGE,
            Reason::TargetTooManyTickets,
        ),
    ]
}

/// Rules A1 to A7.
fn refusals() -> [Scene; 14] {
    [
        refused("same", 112, 112, Reason::SameUser),
        refused("no-source", NOBODY, 112, Reason::SourceNotFound),
        refused("no-target", 112, NOBODY, Reason::TargetNotFound),
        refused("other-account", ELSEWHERE, 112, Reason::SourceNotFound),
        scene("long-merged", 106, 107, Expect::AlreadyMerged),
        refused("merged-elsewhere", 106, 108, Reason::SourceMergedElsewhere),
        refused("into-merged", 108, 106, Reason::TargetMerged),
        refused("deleted-source", 109, 110, Reason::SourceDeleted),
        refused("deleted-target", 110, 109, Reason::TargetDeleted),
        refused("agent", 2, 110, Reason::SourceNotEndUser),
        refused("into-admin", 110, 1, Reason::TargetNotEndUser),
        refused("caller", 113, 114, Reason::SourceUnverifiedWithoutContact),
        refused(
            "into-caller",
            114,
            113,
            Reason::TargetUnverifiedWithoutContact,
        ),
        // Unverified, but on X.
        scene("on-x", 115, 116, Expect::Completed),
    ]
}

/// Rule A9: an obstacle where users sign on by JWT or SAML, and nowhere else.
fn external_ids(account: &Account) -> Vec<Scene> {
    if account
        .sign_on
        .iter()
        .any(|way| matches!(*way, "jwt" | "saml"))
    {
        vec![
            refused("external-source", 117, 118, Reason::SourceExternalId),
            refused("external-target", 118, 117, Reason::TargetExternalId),
        ]
    } else {
        vec![scene("external", 117, 118, Expect::Completed)]
    }
}

/// Rules R1 to R3, a chain (rule D3), and three at once into one (rule A10).
fn repetitions() -> [Scene; 10] {
    use Expect::{AlreadyMerged, Completed, Repeated};
    [
        scene("chain-1", 119, 120, Completed),
        sent(When::After(1), scene("chain-2", 120, 121, Completed)),
        scene("twice", 122, 123, Completed),
        scene("twice", 122, 123, Repeated),
        sent(
            When::After(2),
            refused("twice", 124, 123, Reason::IdempotencyKeyReused),
        ),
        scene("again", 125, 126, Completed),
        sent(
            When::After(1),
            scene("again-other-key", 125, 126, AlreadyMerged),
        ),
        scene("three-1", 130, 133, Completed),
        scene("three-2", 131, 133, Completed),
        scene("three-3", 132, 133, Completed),
    ]
}

/// Rule R6: an option that the worker doesn't know, a number written as a text, half a message.
pub(super) fn unreadable(run: i64) -> Vec<Unreadable> {
    let account = run * 10 + 1;
    let message = |name: &str, body: String, reason| Unreadable {
        message_id: format!("demo-{run}-{name}"),
        body,
        reason,
    };
    let known = |name: &str| {
        format!(
            r#"{{"schema_version": 1, "idempotency_key": "demo-{run}-{name}", "account_id": {account}"#
        )
    };
    let option = format!(
        r#"{}, "source_user_id": 112, "target_user_id": 110, "keep_tags": true}}"#,
        known("option")
    );
    let text = format!(
        r#"{}, "source_user_id": "112", "target_user_id": 110}}"#,
        known("text")
    );
    vec![
        message("option", option, DecodeReason::UnknownField),
        message("text", text, DecodeReason::WrongType),
        message("half", known("half"), DecodeReason::NotJson),
    ]
}
