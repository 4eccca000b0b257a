//! A story: a small help desk, and what happens there; told so that people can follow it.

use std::fmt;

use super::help_desk::Act;
use super::world::{Account, Ticket, User};

/// A case.
#[derive(Clone)]
pub struct Story {
    pub accounts: Vec<Account>,
    /// Rows in a chunk: a merge of more is a large one.
    pub chunk: u32,
    pub steps: Vec<Step>,
}

/// How a request is run.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// To its end.
    Whole,
    /// Until a chunk is committed, as far as there are chunks.
    OneChunk,
    /// Its server process is terminated when it first needs this table.
    Crash(&'static str),
    /// By two mergers at once.
    Twice,
    /// Not at all: the try fails before anything is done.
    Fails(Why),
}

/// What a try is said to have failed of.
#[derive(Debug, Clone, Copy)]
pub enum Why {
    Passing,
    Lasting,
    Conflict,
    Panic,
    DeliveryLimit,
}

/// Under which number the try that failed held its merge.
#[derive(Debug, Clone, Copy)]
pub enum Fence {
    Unknown,
    Held,
    Old,
}

/// One of several requests.
#[derive(Clone, Copy)]
pub enum Asked {
    New {
        account: i64,
        source: i64,
        target: i64,
        key: Option<u8>,
    },
    /// An earlier one, delivered again.
    Again(usize),
}

/// Requests in one batch, at most.
pub const BATCH: usize = 6;

/// Something that happens.
#[derive(Clone, Copy)]
pub enum Step {
    /// A request, under a key of its own or one of a few that come again.
    Ask {
        account: i64,
        source: i64,
        target: i64,
        key: Option<u8>,
        how: How,
    },
    /// An earlier request, delivered again.
    Again { nth: usize, how: How },
    /// Several requests in one transaction; it dies when it first needs this table, if one is given.
    Together {
        asked: [Option<Asked>; BATCH],
        seam: Option<&'static str>,
    },
    /// A try of an earlier request has failed; of an unfinished one, where there is any.
    Fail { nth: usize, why: Why, fence: Fence },
    /// The help desk at work.
    Act { account: i64, act: Act },
    /// A round of the sweep.
    Sweep,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask {
                account,
                source,
                target,
                key,
                how,
            } => {
                let key = key.map_or("a new key".to_owned(), |key| format!("key-{key}"));
                write!(
                    f,
                    "account {account}: merge {source} into {target} under {key}, {how:?}"
                )
            }
            Self::Together { asked, seam } => {
                let crash = seam.map_or(String::new(), |seam| format!(", a crash at {seam}"));
                let asked: Vec<&Asked> = asked.iter().flatten().collect();
                write!(f, "together{crash}: {asked:?}")
            }
            Self::Again { nth, how } => write!(f, "request {nth} again, {how:?}"),
            Self::Fail { nth, why, fence } => {
                write!(f, "a try of request {nth} failed: {why:?}, fence {fence:?}")
            }
            Self::Act { account, act } => write!(f, "account {account}: {act:?}"),
            Self::Sweep => f.write_str("the sweep goes round"),
        }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New {
                account,
                source,
                target,
                key,
            } => {
                let key = key.map_or("a new key".to_owned(), |key| format!("key-{key}"));
                write!(f, "in {account} {source} into {target} under {key}")
            }
            Self::Again(nth) => write!(f, "request {nth} again"),
        }
    }
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "chunks of {} rows, {:?}",
            self.chunk, self.accounts[0].rules
        )?;
        for account in &self.accounts {
            writeln!(
                f,
                "account {}: sign-on by token {}, several organizations {}",
                account.id, account.by_token, account.multiple_organizations
            )?;
            for (id, user) in &account.users {
                writeln!(f, "  user {id}: {}", told_user(user))?;
            }
            for (id, i) in &account.identities {
                let primary = if i.is_primary { ", primary" } else { "" };
                writeln!(
                    f,
                    "  identity {id}: {} {} of {}{primary}",
                    i.kind, i.value, i.user
                )?;
            }
            for (id, t) in &account.tickets {
                let place = if t.is_archived { "archived" } else { "live" };
                let Ticket {
                    requester,
                    status,
                    ccs,
                    ..
                } = t;
                writeln!(
                    f,
                    "  ticket {id}: {place}, {status}, of {requester}, for {ccs:?}"
                )?;
            }
        }
        for (n, step) in self.steps.iter().enumerate() {
            writeln!(f, "{n}. {step:?}")?;
        }
        Ok(())
    }
}

/// What is not ordinary about a user.
fn told_user(user: &User) -> String {
    let mut told = vec![user.role.to_owned()];
    let flags = [
        (!user.verified, "unverified"),
        (user.suspended, "suspended"),
        (user.deleted, "deleted"),
        (user.notes, "notes"),
    ];
    let set = flags.into_iter().filter(|(is_set, _)| *is_set);
    told.extend(set.map(|(_, flag)| flag.to_owned()));
    told.extend(user.external_id.map(|id| format!("external id {id:?}")));
    if user.tags > 0 {
        told.push(format!("{} tags", user.tags));
    }
    if !user.organizations.is_empty() {
        told.push(format!("organizations {:?}", user.organizations));
    }
    told.join(", ")
}
