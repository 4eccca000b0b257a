//! The README says what the code does: its tables are compared with the code's own lists.

use std::collections::BTreeSet;

use user_merge::config::Settings;
use user_merge::domain::{Identity, IdentityKind, Profile, ProfileRules, Reason, combine};
use user_merge::message::{DecodeReason, OutcomeEvent, request, schema};
use user_merge::telemetry::metric;
use user_merge::verify::Check;

use crate::structure::lexer::Token;
use crate::structure::source::{self, read, root};

/// Each group of rules, and how many there are.
pub const RULES: [(char, u32); 5] = [('A', 10), ('T', 10), ('P', 16), ('D', 4), ('R', 7)];

/// Words before a dot that settings and messages share; these are no settings.
const NO_SETTINGS: &[&str] = &[
    "merge.id",
    "merge.completed",
    "merge.rejected",
    "merge.failed",
];

type Table = Vec<Vec<String>>;

/// What stands under a heading, up to the next one of its rank or above.
fn section(heading: &str) -> String {
    let rank = |line: &str| line.len() - line.trim_start_matches('#').len();
    let readme = read("README.md");
    let mut lines = readme.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "the README has no {heading}");
    let ends = |line: &&str| line.starts_with('#') && rank(line) <= rank(heading);
    let lines: Vec<_> = lines.take_while(|line| !ends(line)).collect();
    lines.join("\n")
}

/// The tables of a text, each without its heading.
fn tables(text: &str) -> Vec<Table> {
    let mut tables = vec![Table::new()];
    for line in text.lines() {
        if let Some(cells) = line.strip_prefix('|') {
            let cells = cells.trim_end_matches('|').split('|');
            tables
                .last_mut()
                .unwrap()
                .push(cells.map(|cell| cell.trim().to_owned()).collect());
        } else if !tables.last().unwrap().is_empty() {
            tables.push(Table::new());
        }
    }
    tables.retain(|table| !table.is_empty());
    for table in &mut tables {
        assert!(
            table[1].iter().all(|cell| cell.starts_with("---")),
            "no heading: {:?}",
            table[0]
        );
        table.drain(..2);
    }
    tables
}

fn table(heading: &str) -> Table {
    let mut tables = tables(&section(heading));
    assert_eq!(tables.len(), 1, "{heading}");
    tables.remove(0)
}

/// What stands between backticks.
fn words(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn column(table: &Table, at: usize) -> Vec<&str> {
    table.iter().map(|row| row[at].as_str()).collect()
}

fn rules(letter: char) -> Vec<String> {
    let (_, count) = RULES.into_iter().find(|(own, _)| *own == letter).unwrap();
    (1..=count)
        .map(|number| format!("{letter}{number}"))
        .collect()
}

#[test]
fn every_reason_code_stands_with_its_rule() {
    let table = table("### Who may be merged");
    let mut expected_rules = rules('A');
    expected_rules.insert(0, "R2".to_owned());
    assert_eq!(column(&table, 0), expected_rules);

    let written: Vec<(&str, &str)> = table
        .iter()
        .filter(|row| !row[2].starts_with("none:"))
        .flat_map(|row| {
            words(&row[2])
                .into_iter()
                .map(|code| (row[0].as_str(), code))
        })
        .collect();
    let known: Vec<_> = Reason::ALL
        .iter()
        .map(|reason| (reason.rule(), reason.label()))
        .collect();
    assert_eq!(written, known);
}

#[test]
fn every_rule_stands_in_its_table() {
    let headings = [
        ('T', "### Tickets and CCs"),
        ('P', "### The profile"),
        ('D', "### Hand-over to deletion"),
        ('R', "### Requests and retries"),
    ];
    for (letter, heading) in headings {
        assert_eq!(column(&table(heading), 0), rules(letter), "{heading}");
    }
}

/// P1 to P16: what the event calls the things that are lost.
#[test]
fn p8_every_kind_that_can_be_lost_is_named() {
    let table = table("### The profile");
    let written: BTreeSet<&str> = column(&table, 3).into_iter().flat_map(words).collect();

    // Those that the database counts, and those that the domain does.
    let facts = read("src/store/helpdesk/facts.rs");
    let (_, values) = facts.split_once("let private = [").unwrap();
    let (values, _) = values.split_once("];").unwrap();
    let kinds = values
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\""));
    let mut known: BTreeSet<&str> = kinds.map(|line| line.split('"').next().unwrap()).collect();
    let social = [
        IdentityKind::X,
        IdentityKind::Facebook,
        IdentityKind::Google,
    ];
    let identity = |kind| Identity {
        id: 1,
        kind,
        number: None,
        is_primary: false,
    };
    let source = Profile {
        identities: social.map(identity).into(),
        organizations: [1, 2].map(|id| id.try_into().unwrap()).into(),
        ..Profile::default()
    };
    let rules = ProfileRules {
        multiple_organizations: false,
        carry_social_identities: false,
    };
    let lost = combine(&source, &Profile::default(), rules).counts.dropped;
    known.extend(lost.keys().map(String::as_str));
    assert!(known.len() > 10, "{known:?}");
    assert_eq!(written, known);
}

#[test]
fn every_metric_stands_in_the_table() {
    let labels = |labels: &[&str]| {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        labels.join(", ")
    };
    let known: Table = metric::ALL
        .iter()
        .map(|metric| {
            let kind = metric.kind.label().to_owned();
            vec![
                format!("`{}`", metric.name),
                kind,
                labels(metric.labels),
                metric.help.to_owned(),
            ]
        })
        .collect();
    assert_eq!(table("### Metrics"), known);
}

#[test]
fn every_setting_that_is_named_exists() {
    let readme = read("README.md");
    assert!(
        readme.contains("](config/default.toml)"),
        "it has all the settings, with comments"
    );
    let keys = Settings::keys();
    let sections: BTreeSet<&str> = keys
        .iter()
        .map(|key| key.split('.').next().unwrap())
        .collect();
    let is_name = |word: &&str| {
        word.chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c == '.')
    };
    let mut named: Vec<&str> = readme.lines().flat_map(words).filter(is_name).collect();
    named.retain(|word| {
        word.split_once('.')
            .is_some_and(|(section, _)| sections.contains(section))
    });
    named.retain(|word| !NO_SETTINGS.contains(word));
    assert!(named.len() > 10, "{named:?}");
    for word in named {
        assert!(
            keys.iter().any(|key| key == word),
            "there is no setting {word}"
        );
    }
}

/// What `user-merge verify` can find, and the rules that it comes from.
#[test]
fn every_code_of_a_finding_stands_in_the_table() {
    let table = table("### Verify");
    let known: Vec<_> = Check::ALL
        .iter()
        .map(|check| (format!("`{}`", check.code()), check.rules().to_owned()))
        .collect();
    let written: Vec<_> = table
        .iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert_eq!(written, known);
}

/// R6: why a message can't be read.
#[test]
fn r6_every_reason_of_an_unreadable_message_is_explained() {
    let tables = tables(&section("### Why a message is a dead letter"));
    let headers: Vec<_> = column(&tables[0], 0).into_iter().flat_map(words).collect();
    let known = [
        "x-reason",
        "x-detail",
        "x-lane",
        "x-attempts",
        "x-dead-since",
    ];
    assert_eq!(headers, known);
    let written: Vec<_> = column(&tables[1], 0).into_iter().flat_map(words).collect();
    let known: Vec<_> = DecodeReason::ALL
        .iter()
        .map(|reason| reason.label())
        .collect();
    assert_eq!(written, known);
}

/// R7, A10: why a merge is given up, each word that the program has for it.
#[test]
fn r7_every_reason_to_give_up_is_explained() {
    let section = section("### Why a message is a dead letter");
    let tables = tables(&section);
    let mut written: BTreeSet<&str> = column(&tables[2], 0).into_iter().flat_map(words).collect();
    let (_, away) = section
        .split_once("\n`connection`")
        .expect("what means that the database is away");
    written.insert("connection");
    written.extend(words(away.split("\n\n").next().unwrap()));

    let mut known = words_of_functions("src/store/error.rs", "class");
    known.extend(words_of_functions("src/merge/fail.rs", "class"));
    assert!(known.len() > 15, "{known:?}");
    assert_eq!(written, known.iter().map(String::as_str).collect());
}

/// What the arms of a file's functions of this name give back.
fn words_of_functions(path: &str, name: &str) -> BTreeSet<String> {
    let files = source::program();
    let code = &files.iter().find(|file| file.path == path).unwrap().code;
    let mut is_inside = false;
    let mut words = BTreeSet::new();
    for window in code.windows(4) {
        if window[0].is("fn") {
            is_inside = window[1].is(name);
        }
        let text = if window[2].is("{") {
            &window[3]
        } else {
            &window[2]
        };
        if let Token::Text(text) = text
            && is_inside
            && window[0].is("=")
            && window[1].is(">")
        {
            words.insert(text.clone());
        }
    }
    words
}

#[test]
fn every_example_is_a_message() {
    let readme = read("README.md");
    let examples: Vec<&str> = readme
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(examples.len(), 2, "a request and an event");
    let wanted = request::decode(examples[0].as_bytes(), None).unwrap();
    let event: OutcomeEvent = serde_json::from_str(examples[1]).unwrap();
    assert_eq!(event.idempotency_key, wanted.idempotency_key);
    for (name, example) in [
        ("merge-request", examples[0]),
        ("outcome-event", examples[1]),
    ] {
        let value = serde_json::from_str(example).unwrap();
        assert!(
            jsonschema::is_valid(&schema(name).unwrap(), &value),
            "{name}"
        );
    }
}

#[test]
fn every_link_leads_somewhere() {
    let readme = read("README.md");
    let headings = readme.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let text = text
            .chars()
            .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        text.collect::<String>().replace(' ', "-")
    };
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    let targets = readme
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap());
    for target in targets.filter(|target| !target.starts_with("https://")) {
        let exists = match target.strip_prefix('#') {
            Some(anchor) => anchors.contains(anchor),
            None => root().join(target).exists(),
        };
        assert!(exists, "nothing is at {target}");
    }
}

#[test]
fn every_room_is_in_the_house() {
    let table = table("## The house");
    let named: BTreeSet<&str> = column(&table, 0).into_iter().flat_map(words).collect();
    for file in source::program() {
        let room = file.room();
        assert!(
            ["lib", "main"].contains(&room) || named.contains(room),
            "{room} is not in the README"
        );
    }
}
