//! Random stories. Shrinking leaves out whatever a failure doesn't need.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::help_desk::Act;
use super::story::{Asked, BATCH, Fence, How, Step, Story, Why};
use super::world::{Account, Identity, NUMBERS, Rules, Ticket, User};

const MOST_USERS: usize = 6;
const ORGANIZATIONS: [i64; 3] = [10, 20, 30];
/// Where a merge can be made to stand still: it dies as soon as it waits for one of these.
const SEAMS: [&str; 8] = [
    "helpdesk.users",
    "helpdesk.tickets",
    "helpdesk.archived_tickets",
    "helpdesk.ticket_ccs",
    "helpdesk.ticket_events",
    "helpdesk.user_identities",
    "user_merge.merges",
    "user_merge.outbox",
];

/// An id of the pool; the last one is nobody's.
fn someone() -> impl Strategy<Value = i64> {
    // Users of small ids meet more often: chains, the same pair again, and what comes late.
    prop_oneof![5 => 1..=3_i64, 2 => 1..=super::lines::USERS]
}

fn a_ticket() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 1..=5_i64, 1 => 1..=16_i64]
}

/// A user with phones, e-mail addresses, and an X account or none.
type Person = (User, Vec<&'static str>, usize, bool);

fn person() -> impl Strategy<Value = Person> {
    let traits = (
        prop_oneof![30 => Just("end_user"), 1 => Just("agent"), 1 => Just("admin")],
        prop::bool::weighted(0.92),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.02),
        prop_oneof![7 => Just(None), 1 => Just(Some("  ")), 1 => Just(Some("crm-7"))],
    );
    let private = (0..3_usize, any::<bool>(), organizations());
    let numbers = NUMBERS.map(|(written, _)| written).to_vec();
    let identities = (
        subsequence(numbers, 0..3),
        0..3_usize,
        prop::bool::weighted(0.3),
    );
    (traits, private, identities).prop_map(|(traits, private, identities)| {
        let (role, verified, suspended, deleted, external_id) = traits;
        let (tags, notes, (organizations, default_organization)) = private;
        let user = User {
            role,
            verified,
            suspended,
            deleted,
            external_id,
            tags,
            notes,
            organizations,
            default_organization,
            merged_into: None,
        };
        let (phones, emails, has_x) = identities;
        (user, phones, emails, has_x)
    })
}

/// Up to two, with one of them, or none, as the default one.
fn organizations() -> impl Strategy<Value = (BTreeMap<i64, bool>, Option<i64>)> {
    (subsequence(ORGANIZATIONS.to_vec(), 0..3), any::<u8>()).prop_map(|(ids, which)| {
        let default = ids.get(usize::from(which) % 3).copied();
        let all = ids.iter().map(|id| (*id, Some(*id) == default)).collect();
        (all, default)
    })
}

fn ticket() -> impl Strategy<Value = Ticket> {
    let users: Vec<i64> = (1..=6).collect();
    (
        prop::bool::weighted(0.3),
        // Most are the first users', so that there is something to move.
        prop_oneof![3 => 1..=3_i64, 1 => 1..=6_i64],
        select(vec!["new", "open", "solved", "closed"]),
        prop::option::of(select(ORGANIZATIONS.to_vec())),
        subsequence(users, 0..4),
    )
        .prop_map(
            |(is_archived, requester, status, organization, ccs)| Ticket {
                is_archived,
                requester,
                submitter: requester,
                organization,
                status,
                ccs: ccs.into_iter().collect(),
            },
        )
}

fn rules() -> impl Strategy<Value = Rules> {
    (
        prop_oneof![1 => Just(4), 4 => Just(100)],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(ticket_limit, move_archived_ccs, carry_social_identities)| Rules {
                ticket_limit,
                move_archived_ccs,
                carry_social_identities,
                max_attempts: 3,
            },
        )
}

fn account(id: i64, rules: Rules) -> impl Strategy<Value = Account> {
    (
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop::collection::vec(person(), 4..=MOST_USERS),
        prop::collection::vec(ticket(), 0..=16),
    )
        .prop_map(move |(by_token, multiple_organizations, people, tickets)| {
            let mut account = Account {
                id,
                rules,
                by_token,
                multiple_organizations,
                users: BTreeMap::new(),
                identities: BTreeMap::new(),
                tickets: BTreeMap::new(),
                merges: BTreeMap::new(),
                merged: Vec::new(),
                log: Vec::new(),
                messages: Vec::new(),
            };
            for (user, person) in (1..).zip(people) {
                add_person(&mut account, user, person);
            }
            let last = i64::try_from(account.users.len()).unwrap();
            for (id, mut ticket) in (1..).zip(tickets) {
                for user in [&mut ticket.requester, &mut ticket.submitter] {
                    *user = (*user - 1) % last + 1;
                }
                ticket.ccs.retain(|user| *user <= last);
                account.tickets.insert(id, ticket);
            }
            account
        })
}

fn add_person(account: &mut Account, id: i64, (user, phones, emails, has_x): Person) {
    account.users.insert(id, user);
    let mut add = |kind, value: String, is_primary| {
        let row = account.identities.keys().max().map_or(1, |id| id + 1);
        let verified = row % 2 == 0;
        let identity = Identity {
            user: id,
            kind,
            value,
            is_primary,
            verified,
        };
        account.identities.insert(row, identity);
    };
    // The first e-mail address is the primary one; of two phone numbers it is the second.
    for n in 0..emails {
        add("email", format!("User{id}.{n}@example.org"), n == 0);
    }
    for (n, number) in phones.iter().enumerate() {
        add("phone", (*number).to_owned(), n + 1 == phones.len());
    }
    if has_x {
        add("x", format!("@user{id}"), true);
    }
}

fn why() -> impl Strategy<Value = Why> {
    select(vec![
        Why::Passing,
        Why::Passing,
        Why::Lasting,
        Why::Conflict,
        Why::Panic,
        Why::DeliveryLimit,
    ])
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => Just(How::Whole),
        5 => Just(How::OneChunk),
        2 => select(SEAMS.to_vec()).prop_map(How::Crash),
        1 => Just(How::Twice),
        1 => why().prop_map(How::Fails),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (someone(), any::<bool>()).prop_map(|(requester, closed)| Act::Open { requester, closed }),
        4 => (a_ticket(), someone()).prop_map(|(ticket, user)| Act::Copy { ticket, user }),
        2 => (a_ticket(), someone()).prop_map(|(ticket, user)| Act::Uncopy { ticket, user }),
        3 => a_ticket().prop_map(|ticket| Act::Archive { ticket }),
        4 => (a_ticket(), someone()).prop_map(|(ticket, to)| Act::Give { ticket, to }),
        3 => someone().prop_map(|user| Act::Address { user }),
        1 => someone().prop_map(|user| Act::Delete { user }),
        1 => someone().prop_map(|user| Act::Promote { user }),
        5 => someone().prop_map(|user| Act::Purge { user }),
    ]
}

fn an_account() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(1_i64), 1 => Just(2)]
}

fn a_key() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![4 => Just(None), 1 => (0..3_u8).prop_map(Some)]
}

fn a_pair() -> impl Strategy<Value = (i64, i64)> {
    let other = |source: i64| {
        let another = if source == 1 { 2 } else { 1 };
        prop_oneof![6 => Just(another), 3 => someone()]
    };
    someone().prop_flat_map(move |source| (Just(source), other(source)))
}

/// Some of them meet, and most don't.
fn asked() -> BoxedStrategy<Asked> {
    let two = (0..6_i64, 1..6_i64).prop_map(|(one, further)| (one + 1, (one + further) % 6 + 1));
    let pairs = prop_oneof![3 => two, 1 => a_pair()];
    prop_oneof![
        4 => (an_account(), pairs, a_key()).prop_map(|(account, (source, target), key)| Asked::New {
            account,
            source,
            target,
            key,
        }),
        1 => (0..12_usize).prop_map(Asked::Again),
    ]
    .boxed()
}

/// In a box, as its parts are: so many of them would not find room on the stack.
fn together() -> BoxedStrategy<Step> {
    let asked = prop::collection::vec(prop::option::weighted(0.8, asked()), BATCH);
    let seam = prop::option::weighted(0.15, select(SEAMS.to_vec()));
    (asked, seam)
        .prop_map(|(asked, seam)| Step::Together {
            asked: asked.try_into().unwrap_or([None; BATCH]),
            seam,
        })
        .boxed()
}

fn step() -> impl Strategy<Value = Step> {
    let ask = (an_account(), a_pair(), a_key(), how()).prop_map(
        |(account, (source, target), key, how)| Step::Ask {
            account,
            source,
            target,
            key,
            how,
        },
    );
    let fence = select(vec![Fence::Unknown, Fence::Held, Fence::Old, Fence::Old]);
    prop_oneof![
        9 => ask.boxed(),
        5 => together(),
        5 => (0..12_usize, how()).prop_map(|(nth, how)| Step::Again { nth, how }),
        3 => (0..12_usize, why(), fence).prop_map(|(nth, why, fence)| Step::Fail { nth, why, fence }),
        8 => (an_account(), act()).prop_map(|(account, act)| Step::Act { account, act }).boxed(),
        2 => Just(Step::Sweep),
    ]
}

pub fn story() -> impl Strategy<Value = Story> {
    let steps = prop::collection::vec(step(), 1..=18);
    let accounts = rules().prop_flat_map(|rules| (account(1, rules), account(2, rules)));
    (accounts, select(vec![1, 1, 1, 2, 3, 500, 500]), steps).prop_map(
        |((first, second), chunk, steps)| {
            let accounts = vec![first, second];
            Story {
                accounts,
                chunk,
                steps,
            }
        },
    )
}
