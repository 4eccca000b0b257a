//! What holds for every file, and for the migrations.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{all, paths, program, read};
use crate::harness::Desk;

const MOST_LINES: usize = 400;

#[test]
fn no_file_is_too_long() {
    let files = ["src", "tests", "benches", "config", "deploy"]
        .map(paths)
        .concat();
    // The corpus is no text: broken on purpose.
    let is_text = |path: &&String| !path.starts_with("tests/corpus/");
    let long = |path: &&String| read(path).lines().count() > MOST_LINES;
    let too_long: Vec<_> = files.iter().filter(is_text).filter(long).collect();
    assert!(too_long.is_empty(), "over {MOST_LINES} lines: {too_long:?}");
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    for file in [all("src"), all("tests"), all("benches")].concat() {
        let found = file.tokens.windows(3).find(|window| {
            let names = |words: &[&str]| words.iter().any(|word| window[0].is(word));
            let is_macro = names(&["todo", "unimplemented", "dbg"]) && window[1].is("!");
            let is_attribute = window[0].is("[") && window[1].is("ignore");
            is_macro || is_attribute
        });
        assert_eq!(found, None, "{}", file.path);
    }
}

/// An error is handled, or said to be impossible, with the reason, by `expect`.
#[test]
fn the_program_unwraps_nothing() {
    for file in program() {
        assert!(!file.has(&[".", "unwrap", "("]), "{} unwraps", file.path);
    }
}

/// A file that is added beside others doesn't make Cargo build anew: what the program holds is looked up in what
/// it has applied.
#[tokio::test]
async fn every_migration_is_embedded_and_applied() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in paths("deploy/migrations") {
        let mut parts = path.trim_start_matches("deploy/migrations/").split('/');
        let (schema, name) = (parts.next().unwrap(), parts.next().unwrap());
        let name = name.strip_suffix(".sql").expect("a migration ends in .sql");
        files
            .entry(schema.to_owned())
            .or_default()
            .push(name.to_owned());
    }
    let schemas: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(schemas, ["helpdesk", "user_merge"]);

    let desk = Desk::open().await;
    for (schema, files) in files {
        let sql = format!(
            "SELECT string_agg(lpad(version::text, 4, '0') || '_' || replace(description, ' ', '_'), ' ' ORDER BY version)
             FROM {schema}._migrations WHERE success"
        );
        let applied = desk.text(&sql).await.unwrap();
        assert_eq!(
            applied.split(' ').collect::<Vec<_>>(),
            files,
            "{schema}: touch src/store/migrate.rs"
        );
    }
}

/// Every rule is named by a test and by the code that keeps it.
#[test]
fn every_rule_has_a_test_and_a_place_in_the_program() {
    let of_group = |(letter, count)| (1..=count).map(move |number| format!("{letter}{number}"));
    let rules: Vec<String> = crate::readme::RULES
        .into_iter()
        .flat_map(of_group)
        .collect();
    let mut tested = BTreeSet::new();
    for file in [all("src"), all("tests")].concat() {
        let functions = file.tokens.windows(2).filter(|window| window[0].is("fn"));
        for name in functions.filter_map(|window| window[1].word()) {
            // A test of several rules begins with all of them: `t6_t10_what_stays`.
            let words = name.split('_').map(str::to_uppercase);
            tested.extend(words.take_while(|word| rules.contains(word)));
        }
    }
    let program: String = program().iter().map(|file| read(&file.path)).collect();
    let words: Vec<&str> = program
        .split(|c: char| !c.is_ascii_alphanumeric())
        .collect();

    let mut missing = Vec::new();
    for rule in &rules {
        if !tested.contains(rule) {
            missing.push(format!("a test of {rule}"));
        }
        if !words.contains(&rule.as_str()) {
            missing.push(format!("{rule} in src"));
        }
    }
    assert!(missing.is_empty(), "there is no {}", missing.join(", no "));
}
