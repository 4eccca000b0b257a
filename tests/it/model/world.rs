//! What there is, as far as the rules see it: two help desks of one database, which never touch.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How settings bend the rules.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A8.
    pub ticket_limit: usize,
    /// T4.
    pub move_archived_ccs: bool,
    /// P15.
    pub carry_social_identities: bool,
    /// R7.
    pub max_attempts: i64,
}

/// Numbers as people write them, and which of them are one number (rule P1).
pub const NUMBERS: [(&str, char); 6] = [
    ("+33 1 23 45 67 89", 'a'),
    ("0033123456789", 'a'),
    ("+49 30 123456", 'b'),
    ("+49-30-123-456", 'b'),
    ("030 123456", 'c'),
    ("(030) 12 34 56", 'c'),
];

/// A user's row.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a column")]
pub struct User {
    pub role: &'static str,
    pub verified: bool,
    pub suspended: bool,
    pub deleted: bool,
    pub external_id: Option<&'static str>,
    pub tags: usize,
    pub notes: bool,
    /// Which one, and whether it is the default one.
    pub organizations: BTreeMap<i64, bool>,
    pub default_organization: Option<i64>,
    pub merged_into: Option<i64>,
}

/// An identity's row.
#[derive(Debug, Clone)]
pub struct Identity {
    pub user: i64,
    pub kind: &'static str,
    pub value: String,
    pub is_primary: bool,
    pub verified: bool,
}

/// A ticket, archived or not, with its CCs.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub is_archived: bool,
    pub requester: i64,
    pub submitter: i64,
    pub organization: Option<i64>,
    pub status: &'static str,
    pub ccs: BTreeSet<i64>,
}

/// A request, by which the model knows a merge too: it is never asked for a merge's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub account: i64,
    pub key: String,
    pub source: i64,
    pub target: i64,
}

/// Rows that a merge has moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    pub live: i64,
    pub closed: i64,
    pub archived: i64,
    pub ccs_given: i64,
    pub ccs_dropped: i64,
}

impl Moved {
    pub fn all(self) -> i64 {
        self.live + self.closed + self.archived + self.ccs_given + self.ccs_dropped
    }
}

/// What is on record under a key.
#[derive(Debug, Clone)]
pub struct Merge {
    pub source: i64,
    pub target: i64,
    /// `running`, `completed`, `rejected` or `failed`.
    pub state: &'static str,
    /// It was admitted and is unfinished: its users take part in it (rule A10).
    pub holds_users: bool,
    /// Whoever runs it has been heard of since it last failed (rule R5).
    pub is_in_hand: bool,
    /// Under which number it was held when last looked at: the one thing that is asked of the database.
    pub fence: i64,
    /// Tries that failed since it was asked for, or asked for again after it had been given up (rule R7).
    pub attempts: i64,
    pub moved: Moved,
    /// What reached the source later and was moved on (rule D4).
    pub late: i64,
    /// The event that announced its end (rule R1).
    pub outcome: Option<Value>,
}

/// One tenant.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: i64,
    pub rules: Rules,
    /// Signs users in by JWT (rule A9).
    pub by_token: bool,
    /// Users may be in several organizations (rule P7).
    pub multiple_organizations: bool,
    pub users: BTreeMap<i64, User>,
    pub identities: BTreeMap<i64, Identity>,
    pub tickets: BTreeMap<i64, Ticket>,
    pub merges: BTreeMap<String, Merge>,
    /// Who was merged, by the merge of which key, in the order in which it happened. Outlives the user's row.
    pub merged: Vec<(i64, String)>,
    /// The ticket event log, as lines.
    pub log: Vec<String>,
    /// What was promised to be published, as lines.
    pub messages: Vec<String>,
}

impl Account {
    pub fn identities_of(&self, user: i64, kind: &str) -> Vec<i64> {
        let of_user = self.identities.iter();
        of_user
            .filter(|(_, identity)| identity.user == user && identity.kind == kind)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The key of the merge that made a tombstone of this user.
    pub fn merged_by(&self, user: i64) -> Option<&str> {
        let merged = self.merged.iter().find(|(source, _)| *source == user);
        merged.map(|(_, key)| key.as_str())
    }

    /// Who a user is today: itself, or whoever it was merged into; none where nobody knows.
    pub fn today(&self, user: i64) -> Option<i64> {
        match (self.users.get(&user), self.merged_by(user)) {
            (Some(row), _) => match row.merged_into {
                None => Some(user),
                Some(into) => self.today(into),
            },
            (None, Some(key)) => self.today(self.merges[key].target),
            (None, None) => None,
        }
    }
}
