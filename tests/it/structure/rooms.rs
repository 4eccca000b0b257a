//! Which room may see which, and which crate lives where.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::Token;
use super::source::{File, all, program};

/// Each room, and what it uses of the others. A room uses only those above it, so there is no circle.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &[]),
    ("telemetry", &[]),
    ("retry", &[]),
    ("failpoint", &[]),
    ("message", &["domain"]),
    ("store", &["domain", "failpoint"]),
    ("verify", &["domain", "store"]),
    ("broker", &["config"]),
    (
        "merge",
        &[
            "domain",
            "config",
            "telemetry",
            "retry",
            "failpoint",
            "message",
            "store",
        ],
    ),
    (
        "worker",
        &[
            "domain",
            "config",
            "telemetry",
            "retry",
            "failpoint",
            "message",
            "store",
            "broker",
            "merge",
        ],
    ),
    (
        "app",
        &["config", "telemetry", "retry", "store", "broker", "worker"],
    ),
    (
        "demo",
        &[
            "domain",
            "config",
            "telemetry",
            "message",
            "store",
            "broker",
            "worker",
            "app",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "config",
            "telemetry",
            "failpoint",
            "message",
            "store",
            "broker",
            "verify",
            "app",
            "demo",
        ],
    ),
    ("main", &["cli"]),
];

/// Crates that one room alone knows.
const HOMES: &[(&str, &str)] = &[
    ("sqlx", "src/store/"),
    ("lapin", "src/broker/"),
    ("backoff", "src/retry.rs"),
    ("clap", "src/cli/"),
    ("axum", "src/telemetry/"),
    ("rlibphonenumber", "src/domain/phone.rs"),
];

/// What would be I/O, a clock, chance or a runtime.
const IMPURE: &[&str] = &[
    "tokio",
    "async",
    "await",
    "tracing",
    "metrics",
    "Instant",
    "SystemTime",
    "Utc",
    "Local",
    "now",
    "now_v7",
    "new_v4",
    "rand",
    "env",
    "fs",
    "io",
    "net",
    "process",
    "thread",
    "println",
    "eprintln",
    "print",
];

/// The rooms that a file of the program names: by `crate::`, by `user_merge::`, or by climbing up to the root.
fn used_rooms(file: &File) -> BTreeSet<String> {
    let code = &file.code;
    let mut used = BTreeSet::new();
    let mut inline_modules: Vec<usize> = Vec::new();
    let mut braces = 0;
    for (at, token) in code.iter().enumerate() {
        if token.is("{") {
            braces += 1;
            if at >= 2 && code[at - 2].is("mod") {
                inline_modules.push(braces);
            }
        } else if token.is("}") {
            if inline_modules.last() == Some(&braces) {
                inline_modules.pop();
            }
            braces -= 1;
        }
        let climbs =
            |n: usize| (0..n).all(|step| code.get(at + 3 * step).is_some_and(|t| t.is("super")));
        let depth = file.depth() + inline_modules.len();
        let path = if token.is("crate") || token.is("user_merge") {
            &code[at + 1..]
        } else if depth > 0 && token.is("super") && climbs(depth) {
            &code[at + 3 * depth - 2..]
        } else {
            continue;
        };
        if path.len() > 2 && path[0].is(":") && path[1].is(":") {
            used.extend(first_words(&path[2..]).into_iter().map(String::from));
        }
    }
    used.remove(file.room());
    used
}

/// `a` of `a::b`; `a` and `c` of `{a::b, c}`.
fn first_words(path: &[Token]) -> Vec<&str> {
    if !path[0].is("{") {
        return path[0].word().into_iter().collect();
    }
    let mut depth = 0;
    let mut words = Vec::new();
    for pair in path.windows(2) {
        if pair[0].is("{") {
            depth += 1;
        } else if pair[0].is("}") {
            depth -= 1;
            if depth == 0 {
                break;
            }
        }
        if depth == 1 && (pair[0].is("{") || pair[0].is(",")) {
            words.extend(pair[1].word());
        }
    }
    words
}

#[test]
fn rooms_use_each_other_as_the_table_says() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in program() {
        if file.path == "src/lib.rs" {
            continue;
        }
        let room = file.room().to_owned();
        used.entry(room).or_default().extend(used_rooms(&file));
    }
    let set = |rooms: &[&str]| rooms.iter().map(ToString::to_string).collect();
    let expected = ROOMS
        .iter()
        .map(|(room, uses)| ((*room).to_owned(), set(uses)));
    assert_eq!(used, expected.collect());
}

#[test]
fn the_table_has_no_circle_and_no_way_between_store_and_broker() {
    let mut above = BTreeSet::new();
    for (room, uses) in ROOMS {
        assert!(
            uses.iter().all(|used| above.contains(used)),
            "{room} uses what stands below it"
        );
        above.insert(*room);
    }
    let uses = |room: &str| ROOMS.iter().find(|(name, _)| *name == room).unwrap().1;
    // Directly or through any other room.
    let reach = |from: &str| {
        let mut open = vec![from.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(room) = open.pop() {
            open.extend(uses(&room).iter().map(ToString::to_string));
            seen.insert(room);
        }
        seen
    };
    for (room, other) in [
        ("store", "broker"),
        ("broker", "store"),
        ("merge", "broker"),
    ] {
        assert!(!reach(room).contains(other), "{room} sees {other}");
    }
}

#[test]
fn each_crate_stays_in_its_room() {
    for file in program() {
        for (name, home) in HOMES {
            let is_named = file.code.iter().any(|token| token.is(name));
            assert!(
                !is_named || file.path.starts_with(home),
                "{} names {name}",
                file.path
            );
        }
    }
    // And the table is about crates that are used.
    for (name, home) in HOMES {
        let at_home =
            |file: &File| file.path.starts_with(home) && file.code.iter().any(|t| t.is(name));
        assert!(
            program().iter().any(at_home),
            "nobody in {home} names {name}"
        );
    }
}

#[test]
fn the_domain_does_no_io_and_reads_no_clock() {
    let domain: Vec<_> = program()
        .into_iter()
        .filter(|file| file.room() == "domain")
        .collect();
    assert!(!domain.is_empty());
    for file in domain {
        let impure = file
            .code
            .iter()
            .filter_map(Token::word)
            .find(|word| IMPURE.contains(word));
        assert_eq!(impure, None, "{}", file.path);
    }
}

/// A file that nobody declares is compiled by nobody: its tests test nothing.
#[test]
fn every_file_is_part_of_a_crate() {
    for (directory, root) in [("src", "src/"), ("tests", "tests/it/main.rs")] {
        let files = all(directory);
        let declared: BTreeSet<String> = files.iter().flat_map(declared_files).collect();
        for file in &files {
            let is_root = ["src/lib.rs", "src/main.rs", root].contains(&file.path.as_str());
            assert!(
                is_root || declared.contains(&file.path),
                "nobody declares {}",
                file.path
            );
        }
    }
}

fn declared_files(file: &File) -> Vec<String> {
    let module = |window: &[Token]| {
        let name = window[1]
            .word()
            .filter(|_| window[0].is("mod") && window[2].is(";"))?;
        let path = format!("{}/{name}", file.children());
        Some([format!("{path}.rs"), format!("{path}/mod.rs")])
    };
    file.tokens
        .windows(3)
        .filter_map(module)
        .flatten()
        .collect()
}
