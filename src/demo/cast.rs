//! The users of whom something particular is known, and the tickets of the one that is shown.

use crate::store::demo::{Actor, NewTicket};

/// Ordinary users' ids begin after this.
pub(super) const PEOPLE: i64 = 1_000;

/// Requests exactly as many tickets as rule A8 allows.
pub(super) const LARGE: i64 = 101;
/// Whom it's merged into.
pub(super) const LARGE_TARGET: i64 = 102;
/// Whom that one is merged into, which has to wait (rule A10).
pub(super) const LARGE_NEXT: i64 = 103;
/// Requests one ticket more than rule A8 allows.
pub(super) const TOO_LARGE: i64 = 104;
/// Without ordinary tickets: their number is exact, or must not exceed the limit together with another's.
pub(super) const WITHOUT_TICKETS: &[i64] = &[LARGE, LARGE_TARGET, TOO_LARGE];
/// The duplicate that is shown.
pub(super) const SHOWN: i64 = 127;
/// The one who remains.
pub(super) const SHOWN_TARGET: i64 = 128;
/// A third one on their tickets.
pub(super) const NEIGHBOUR: i64 = 129;
/// No account has a user with this id.
pub(super) const NOBODY: i64 = 999;
/// Only the account in which nothing is merged has this user.
pub(super) const ELSEWHERE: i64 = 198;

const SOMEONE: Actor = Actor {
    id: 0,
    name: "",
    role: "end_user",
    verified: true,
    deleted: false,
    merged_into: None,
    external_id: None,
    email: None,
    x: None,
    phone: None,
    organization: None,
    notes: None,
    tags: "",
    locale: "en-GB",
};

const fn someone(id: i64, name: &'static str, email: &'static str) -> Actor {
    Actor {
        id,
        name,
        email: Some(email),
        ..SOMEONE
    }
}

/// In each account.
#[rustfmt::skip]
pub(super) const ACTORS: &[Actor] = &[
    Actor { role: "admin", ..someone(1, "Inès Haddad", "ines@helpdesk.example") },
    Actor { role: "agent", ..someone(2, "Tom Okafor", "tom@helpdesk.example") },
    Actor { role: "agent", ..someone(3, "Mei Tanaka", "mei@helpdesk.example") },
    someone(LARGE, "Returns desk (old address)", "returns@example.org"),
    someone(LARGE_TARGET, "Returns desk", "returns@example.com"),
    someone(LARGE_NEXT, "Returns and repairs", "repairs@example.com"),
    someone(TOO_LARGE, "Monitoring", "alerts@example.net"),
    someone(105, "Monitoring team", "monitoring@example.net"),
    Actor { merged_into: Some(107), ..SOMEONE.called(106, "Luc Merle") },
    someone(107, "Lucien Merle", "lucien.merle@example.com"),
    someone(108, "Lucie Merle", "lucie.merle@example.com"),
    Actor { deleted: true, ..someone(109, "Former customer", "former@example.com") },
    someone(110, "Olga Brandt", "olga.brandt@example.com"),
    someone(112, "Piet de Vries", "piet@example.net"),
    Actor { verified: false, phone: Some("+1 202 555 0143"), ..SOMEONE.called(113, "Caller from Washington") },
    someone(114, "Ruth Abrams", "ruth.abrams@example.com"),
    Actor { verified: false, x: Some("@ruth_writes"), ..SOMEONE.called(115, "ruth_writes") },
    someone(116, "Ruth Abrams (second)", "ruth@example.org"),
    Actor { external_id: Some("crm-88117"), ..someone(117, "Yusuf Demir", "yusuf@example.com") },
    someone(118, "Y. Demir", "y.demir@example.org"),
    someone(119, "Kaja Nowak (2019)", "kaja2019@example.com"),
    someone(120, "Kaja Nowak (2022)", "kaja2022@example.com"),
    someone(121, "Kaja Nowak", "kaja@example.com"),
    someone(122, "Bruno Costa (mobile)", "bruno.mobile@example.com"),
    someone(123, "Bruno Costa", "bruno@example.com"),
    someone(124, "Bruna Costa", "bruna@example.com"),
    someone(125, "H. Lindqvist", "h.lindqvist@example.com"),
    someone(126, "Hanna Lindqvist", "hanna@example.com"),
    Actor {
        phone: Some("+33 1 99 00 17 42"), x: Some("@amelie_rides"), organization: Some(3), tags: "prospect,bike-club",
        notes: Some("Same as 128?"), locale: "en-GB",
        ..someone(SHOWN, "amelie r.", "a.roux@example.org")
    },
    Actor {
        phone: Some("+44 20 7946 0128"), organization: Some(1), tags: "vip",
        notes: Some("Call before noon."), locale: "fr-FR",
        ..someone(SHOWN_TARGET, "Amélie Roux", "amelie@example.com")
    },
    someone(NEIGHBOUR, "Jonas Weber", "jonas.weber@example.com"),
    someone(130, "Front desk (Lyon)", "lyon@example.org"),
    someone(131, "Front desk (Lille)", "lille@example.org"),
    someone(132, "Front desk (Nice)", "nice@example.org"),
    someone(133, "Front desk", "front.desk@example.org"),
];

/// Only in the account in which nothing is merged.
pub(super) const OUTSIDER: Actor = someone(ELSEWHERE, "Somebody else's user", "other@example.com");

impl Actor {
    /// Without an e-mail address.
    const fn called(self, id: i64, name: &'static str) -> Self {
        Self { id, name, ..self }
    }
}

const fn ticket(
    n: i64,
    requester: i64,
    status: &'static str,
    ccs: &'static [i64],
    subject: &'static str,
) -> NewTicket {
    NewTicket {
        id: SHOWN * 100_000 + n,
        requester,
        status,
        subject,
        ccs,
    }
}

/// Every way in which a CC can collide (rule T5), on tickets of the two who are shown and their neighbour.
#[rustfmt::skip]
pub(super) const SHOWN_TICKETS: &[NewTicket] = &[
    ticket(1, SHOWN, "open", &[], "Brakes squeak in the rain"),
    ticket(2, SHOWN, "pending", &[SHOWN_TARGET], "Invoice without VAT number"),
    ticket(3, SHOWN, "closed", &[SHOWN], "Where is my parcel?"),
    ticket(4, SHOWN, "archived", &[NEIGHBOUR], "Front light warranty"),
    ticket(5, SHOWN_TARGET, "open", &[SHOWN], "New delivery address"),
    ticket(6, NEIGHBOUR, "hold", &[SHOWN, SHOWN_TARGET], "Order for the bike club"),
    ticket(7, NEIGHBOUR, "solved", &[SHOWN], "Spare key for a lock"),
    ticket(8, NEIGHBOUR, "archived", &[SHOWN], "Club evening in May"),
];

/// For ordinary users.
#[rustfmt::skip]
pub(super) const FIRST_NAMES: &[&str] = &[
    "Amélie", "Noah", "Zoë", "Luca", "Freya", "Mateo", "Aiko", "Omar", "Léa", "Jakub", "Ingrid", "Tomás", "Priya",
    "Elias", "Chloé", "Marek", "Sofía", "Liam", "Nadia", "Hugo", "Yara", "Finn", "Beatriz", "Kenji", "Maud", "Arjun",
    "Lotte", "Rafael", "Agnès", "Samir", "Greta", "Diego", "Hana", "Oskar", "Inês", "Malik", "Clara", "Emil", "Rosa", "Théo",
];
/// As many as a prime number, so that first and last names meet in all ways.
#[rustfmt::skip]
pub(super) const LAST_NAMES: &[&str] = &[
    "Roux", "Müller", "Okafor", "Silva", "Jensen", "García", "Tanaka", "Haddad", "Lefèvre", "Kowalski", "Berg", "Álvarez",
    "Sharma", "Lindholm", "Moreau", "Novák", "Ortega", "Murphy", "Petrov", "Girard", "Nasser", "Fischer", "Almeida",
    "Sato", "Dubois", "Patel", "Visser", "Fernandes", "Bonnet", "Khalil", "Hoffmann", "Castro", "Suzuki", "Nyberg",
    "Pereira", "Diallo", "Weiss", "Larsen", "Conti", "Lambert", "Schmidt", "Delacroix", "Byrne", "Marino", "Dupuis", "Holm", "Keller",
];
/// Numbered from 1.
pub(super) const ORGANIZATIONS: &[&str] = &[
    "Roux Cycles",
    "Harbour Bakery",
    "Lyon Bike Club",
    "Fennel & Co",
    "Orchard School",
    "Blue Mill",
    "Studio Nord",
    "Pine Hotel",
    "Quayside Clinic",
    "Old Town Books",
    "Kestrel Travel",
    "Marble Works",
];
/// Of ordinary tickets.
pub(super) const SUBJECTS: &[&str] = &[
    "Where is my order?",
    "Can't sign in",
    "Refund for a double charge",
    "Change of address",
    "Wrong size delivered",
    "Invoice for last month",
    "Cancel my subscription",
    "The app closes by itself",
    "Question about the warranty",
    "Two accounts by mistake",
    "Gift card does not work",
];
