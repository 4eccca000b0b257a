//! The load: an endless row of groups of requests, all decided by the seed, each with the outcomes that the rules
//! allow it in whatever order its messages are taken up.

use crate::harness::Dice;

use super::size::Size;

/// In each account, beside the groups' users: what the refused requests ask for.
pub const AGENT: i64 = 51;
pub const UNVERIFIED: i64 = 52;
pub const TOO_MANY: i64 = 53;
pub const NOBODY: i64 = 54;
/// Users whom no request names: agents give tickets to them, and their tickets get CCs.
pub const BYSTANDERS: std::ops::Range<i64> = 100..110;
/// The same ids mean other users in either.
pub const ACCOUNTS: [i64; 2] = [1, 2];

const LANES: [&str; 2] = ["user-merge.requests", "user-merge.requests.bulk"];

/// One kind of situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A few tickets.
    Small,
    /// Several small ones at once, in the bulk lane.
    Burst,
    /// Many, in chunks.
    Large,
    /// A into B and B into C, both under way at once.
    Chain,
    /// Many into one.
    Fan,
    /// One into two.
    Fork,
    /// Each into the other.
    Swap,
    /// One pair under two keys (rule R3).
    Again,
    /// Two pairs under one key (rule R2).
    KeyReused,
    /// A rule says no, with this reason.
    Refused(&'static str),
    /// No request at all.
    Unreadable,
}

/// How a request ended, as far as anybody can tell from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Completed,
    AlreadyMerged,
    Rejected(String),
    Unsettled(String),
}

/// A user that a group needs.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    pub id: i64,
    pub tickets: i64,
    pub archived: i64,
}

/// A request, to be sent so many times.
#[derive(Debug, Clone)]
pub struct Ask {
    pub key: String,
    pub source: i64,
    pub target: i64,
    pub copies: u64,
}

/// Requests that belong together, and their users.
#[derive(Debug, Clone)]
pub struct Group {
    pub number: i64,
    pub account: i64,
    pub kind: Kind,
    pub queue: &'static str,
    pub people: Vec<Person>,
    pub asks: Vec<Ask>,
    /// Bodies that are no requests.
    pub junk: Vec<Vec<u8>>,
}

const REFUSALS: [&str; 5] = [
    "same_user",
    "source_not_found",
    "source_not_end_user",
    "source_unverified_without_contact",
    "source_too_many_tickets",
];

/// Draws one group after the other.
pub struct Plan {
    dice: Dice,
    size: Size,
    next: i64,
    /// Every kind once, in some order, before chance alone decides.
    first: Vec<Kind>,
}

impl Plan {
    pub fn new(mut dice: Dice, size: Size) -> Self {
        let mut first = vec![
            Kind::Small,
            Kind::Burst,
            Kind::Large,
            Kind::Chain,
            Kind::Fan,
            Kind::Fork,
            Kind::Swap,
            Kind::Again,
            Kind::KeyReused,
            Kind::Unreadable,
        ];
        first.extend(REFUSALS.map(Kind::Refused));
        dice.shuffle(&mut first);
        Self {
            dice,
            size,
            next: 0,
            first,
        }
    }

    fn kind(&mut self) -> Kind {
        if let Some(kind) = self.first.pop() {
            return kind;
        }
        match self.dice.below(100) {
            0..30 => Kind::Small,
            30..38 => Kind::Burst,
            38..40 => Kind::Large,
            40..54 => Kind::Chain,
            54..62 => Kind::Fan,
            62..70 => Kind::Fork,
            70..74 => Kind::Swap,
            74..82 => Kind::Again,
            82..88 => Kind::KeyReused,
            88..95 => Kind::Refused(self.dice.pick(&REFUSALS)),
            _ => Kind::Unreadable,
        }
    }

    /// The next group.
    pub fn next(&mut self) -> Group {
        let (number, kind) = (self.next, self.kind());
        self.next += 1;
        let account = self.dice.pick(&ACCOUNTS);
        let user = |n: i64| 1_000 + number * 20 + n;
        let pairs: Vec<(i64, i64)> = match kind {
            Kind::Small | Kind::Large => vec![(user(0), user(1))],
            Kind::Burst => (0..10).map(|n| (user(n), user(n + 10))).collect(),
            Kind::Chain => vec![(user(0), user(1)), (user(1), user(2))],
            Kind::Fan => {
                let sources = i64::try_from(3 + self.dice.below(5)).unwrap();
                (1..=sources)
                    .map(|source| (user(source), user(0)))
                    .collect()
            }
            Kind::Fork => vec![(user(0), user(1)), (user(0), user(2))],
            Kind::Swap => vec![(user(0), user(1)), (user(1), user(0))],
            Kind::Again => vec![(user(0), user(1)), (user(0), user(1))],
            Kind::KeyReused => vec![(user(0), user(1)), (user(2), user(3))],
            Kind::Refused("same_user") => vec![(user(0), user(0))],
            Kind::Refused(reason) => vec![(refused(reason), user(0))],
            Kind::Unreadable => Vec::new(),
        };
        let mut ids: Vec<i64> = pairs.iter().flat_map(|(s, t)| [*s, *t]).collect();
        ids.retain(|id| *id >= 1_000);
        ids.sort_unstable();
        ids.dedup();
        let people = ids.iter().map(|&id| self.person(kind, id, user(0)));
        let people = people.collect();
        let asks = pairs.iter().enumerate().map(|(n, &(source, target))| Ask {
            key: match kind {
                Kind::KeyReused => format!("chaos-{number}"),
                _ => format!("chaos-{number}-{n}"),
            },
            source,
            target,
            copies: 1 + self.dice.below(7).saturating_sub(4),
        });
        let mut asks: Vec<Ask> = asks.collect();
        self.dice.shuffle(&mut asks);
        let junk = match kind {
            Kind::Unreadable => vec![self.junk(number)],
            _ => Vec::new(),
        };
        Group {
            number,
            account,
            kind,
            queue: match kind {
                Kind::Burst => LANES[1],
                _ => self.dice.pick(&LANES),
            },
            people,
            asks,
            junk,
        }
    }

    fn person(&mut self, kind: Kind, id: i64, first: i64) -> Person {
        let mut some = |most: u64| i64::try_from(self.dice.below(most)).unwrap();
        let (tickets, archived) = match kind {
            Kind::Large if id == first => {
                let archived = self.size.large * (5 + some(40).min(35)) / 100;
                (self.size.large - archived, archived)
            }
            _ => (some(9), some(4)),
        };
        Person {
            id,
            tickets,
            archived,
        }
    }

    /// Different each time, so that each can be found again.
    fn junk(&mut self, number: i64) -> Vec<u8> {
        let body = match self.dice.below(5) {
            0 => format!("no JSON {number}"),
            1 => format!("{{\"schema_version\": 2, \"idempotency_key\": \"chaos-{number}\"}}"),
            2 => format!("{{\"schema_version\": 1, \"then\": {number}}}"),
            3 => "[".repeat(5_000) + &number.to_string(),
            _ => return [format!("{number} ").as_bytes(), &[0xff, 0xfe, 0x00]].concat(),
        };
        body.into_bytes()
    }
}

/// The user whom a request must not name.
fn refused(reason: &str) -> i64 {
    match reason {
        "source_not_found" => NOBODY,
        "source_not_end_user" => AGENT,
        "source_unverified_without_contact" => UNVERIFIED,
        "source_too_many_tickets" => TOO_MANY,
        other => panic!("no user for {other}"),
    }
}

impl Group {
    /// Whether the rules allow these outcomes, one for each request, in whatever order they were taken up.
    pub fn allows(&self, outcomes: &[Outcome]) -> bool {
        let rejected = |reason: &str| Outcome::Rejected(reason.to_owned());
        let mut sorted = outcomes.to_vec();
        sorted.sort();
        let one_and = |other: Outcome| {
            let mut wanted = vec![Outcome::Completed, other];
            wanted.sort();
            sorted == wanted
        };
        match self.kind {
            Kind::Small | Kind::Burst | Kind::Large | Kind::Fan => {
                outcomes.iter().all(|o| *o == Outcome::Completed)
            }
            Kind::Chain => self
                .asks
                .iter()
                .zip(outcomes)
                .all(|(ask, outcome)| match outcome {
                    Outcome::Completed => true,
                    // B was in C already when A was to go into B.
                    Outcome::Rejected(reason) => {
                        reason == "target_merged" && ask.source == self.people[0].id
                    }
                    _ => false,
                }),
            Kind::Fork => one_and(rejected("source_merged_elsewhere")),
            Kind::Swap => one_and(rejected("target_merged")),
            Kind::Again => one_and(Outcome::AlreadyMerged),
            Kind::KeyReused => one_and(rejected("idempotency_key_reused")),
            Kind::Refused(reason) => outcomes.iter().all(|o| *o == rejected(reason)),
            Kind::Unreadable => outcomes.is_empty(),
        }
    }
}
