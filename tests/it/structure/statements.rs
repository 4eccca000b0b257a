//! Every statement is bounded by its account, and checked by the build.

use std::collections::BTreeSet;

use super::lexer::Token;
use super::source::{File, program};

/// Statements that look after all accounts, or after none, and why they may.
const ACROSS_ACCOUNTS: &[(&str, &str)] = &[
    (
        "can_write",
        "asks whether the table is there and can be written to, and reads no row",
    ),
    (
        "claim",
        "the relay publishes what a crash left behind, whoever's it is; each row brings its account",
    ),
    (
        "mark_published",
        "each row is named by its account, its merge and its id",
    ),
    (
        "mark_refused",
        "each row is named by its account, its merge and its id",
    ),
    (
        "stranded",
        "merges that stand still are found whoever's they are; each row brings its account",
    ),
    ("open", "settings of the keeper's session: no table"),
    ("try_lock", "the keeper's lock: no table"),
    ("backend", "the keeper's session: no table"),
    (
        "measure",
        "the health of the database as a whole: the server's own views",
    ),
    ("record", "a worker's row about itself, which works for all"),
    ("leave", "the same"),
    (
        "workers",
        "the workers, each of which works for all accounts",
    ),
    (
        "prune",
        "removes what was published long ago, whoever's it was",
    ),
    ("backlog", "counts what isn't published, for a gauge"),
    (
        "next_batch",
        "a round over all merged users; each row brings its account",
    ),
    (
        "accounts_after",
        "finds the accounts, in each of which verify then looks by itself",
    ),
    (
        "status",
        "an operator asks by key or id and may not know the account",
    ),
];

/// The demo's statements: about the several accounts that a run has made, and under a mark of their own.
const DEMO: (&str, &str) = ("src/store/demo/", "/* demo */");

/// Those of `user-merge verify`: bounded like all others, but run by a role that may only read.
const VERIFY: (&str, &str) = ("src/store/verify/", "/* verify */");

const MACROS: &[&str] = &["query", "query_as", "query_scalar"];

struct Statement {
    function: String,
    sql: String,
    /// The words of the argument that becomes `$1`.
    first_argument: Vec<String>,
}

fn statements(file: &File) -> Vec<Statement> {
    let code = &file.code;
    let mut function = String::new();
    let mut found = Vec::new();
    for at in 2..code.len() {
        if code[at - 1].is("fn") {
            code[at]
                .word()
                .unwrap_or_default()
                .clone_into(&mut function);
        }
        let is_query = MACROS.iter().any(|name| code[at - 2].is(name)) && code[at - 1].is("!");
        if !is_query {
            continue;
        }
        let rest = &code[at..];
        let text = rest
            .iter()
            .position(|token| matches!(token, Token::Text(_)))
            .unwrap();
        let Token::Text(sql) = &rest[text] else {
            unreachable!()
        };
        let argument = rest[text + 2..]
            .iter()
            .take_while(|token| !token.is(",") && !token.is(")"));
        found.push(Statement {
            function: function.clone(),
            sql: tidy(sql),
            first_argument: argument
                .filter_map(Token::word)
                .map(str::to_owned)
                .collect(),
        });
    }
    found
}

/// On one line, without comments, one space between words.
fn tidy(sql: &str) -> String {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The relations that a statement names without bounding them by `$1`, the account.
fn unbounded(sql: &str) -> Vec<String> {
    let mut starts: Vec<usize> = ["helpdesk.", "user_merge."]
        .iter()
        .flat_map(|schema| sql.match_indices(schema).map(|(at, _)| at))
        .collect();
    starts.sort_unstable();
    starts.push(sql.len());
    let parts = starts
        .windows(2)
        .map(|pair| (&sql[..pair[0]], &sql[pair[0]..pair[1]]));
    let open = parts.filter(|(before, part)| !is_bounded(before, part));
    open.map(|(_, part)| part.split(' ').next().unwrap().to_owned())
        .collect()
}

/// A relation's part of the statement goes from its name up to the next relation's.
fn is_bounded(before: &str, part: &str) -> bool {
    if before.ends_with("INTO ") {
        let is_first = part
            .split_once('(')
            .is_some_and(|(_, columns)| columns.starts_with("account_id,"));
        return is_first && (part.contains("VALUES ($1,") || part.contains("SELECT $1,"));
    }
    if part.starts_with("user_merge.canonical_user(") {
        return part.starts_with("user_merge.canonical_user($1,"); // a function, bounded by what it is given
    }
    if part.starts_with("helpdesk.accounts ") {
        return part.contains("WHERE id = $1)");
    }
    part.match_indices("account_id = $1").any(|(at, bound)| {
        let is_parameter_one = !part[at + bound.len()..].starts_with(|c: char| c.is_ascii_digit());
        // `$1 IS NULL OR account_id = $1` bounds nothing.
        let condition =
            part[..at].trim_end_matches(|c: char| c.is_alphanumeric() || c == '.' || c == '_');
        is_parameter_one && !condition.ends_with("OR ")
    })
}

#[test]
fn every_statement_is_bounded_by_the_account() {
    let mut across = BTreeSet::new();
    let mut count = 0;
    for file in program() {
        for statement in statements(&file) {
            for (room, mark) in [DEMO, VERIFY] {
                assert_eq!(
                    statement.sql.starts_with(mark),
                    file.path.starts_with(room),
                    "{} in {}: the mark {mark} is for {room}",
                    statement.function,
                    file.path
                );
            }
            if file.path.starts_with(DEMO.0) {
                continue;
            }
            count += 1;
            let Statement {
                function,
                sql,
                first_argument,
            } = &statement;
            let open = unbounded(sql);
            let is_listed = ACROSS_ACCOUNTS.iter().any(|(name, _)| name == function);
            let names_ours = ["helpdesk.", "user_merge."].iter().any(|s| sql.contains(s));
            assert!(
                (open.is_empty() && names_ours) || is_listed,
                "{function} in {}: {open:?}",
                file.path
            );
            if open.is_empty() && names_ours {
                let is_account = first_argument
                    .iter()
                    .any(|word| word == "account" || word == "account_id");
                assert!(
                    is_account,
                    "{function} in {}: $1 is {first_argument:?}",
                    file.path
                );
            } else {
                across.insert(function.clone());
            }
        }
    }
    let listed: BTreeSet<String> = ACROSS_ACCOUNTS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(across, listed, "listed, and bounded after all");
    assert!(count >= 20, "only {count} statements were found");
}

/// What the macros don't see is checked by nobody: no statement is put together at run time.
#[test]
fn every_statement_is_checked_by_the_build() {
    for file in program() {
        for window in file.code.windows(5) {
            let is_ours = window[0].is("sqlx") && window[1].is(":") && window[2].is(":");
            let word = window[3].word().unwrap_or_default();
            let is_statement =
                word.starts_with("query") || word == "raw_sql" || word == "AssertSqlSafe";
            assert!(
                !(is_ours && is_statement) || window[4].is("!"),
                "{}: sqlx::{word}",
                file.path
            );
        }
    }
}

#[test]
fn a_bound_is_told_from_what_only_looks_like_one() {
    let cases = [
        (
            "SELECT 1 FROM helpdesk.users WHERE account_id = $1 AND id = $2",
            true,
        ),
        ("SELECT 1 FROM helpdesk.users WHERE id = $2", false),
        ("SELECT 1 FROM helpdesk.users WHERE account_id = $10", false),
        (
            "SELECT 1 FROM helpdesk.users u WHERE $1 IS NULL OR u.account_id = $1",
            false,
        ),
        (
            "SELECT 1 FROM helpdesk.users WHERE account_id = $1 AND EXISTS (SELECT FROM helpdesk.tickets)",
            false,
        ),
        (
            "INSERT INTO user_merge.merges (account_id, id) VALUES ($1, $2)",
            true,
        ),
        (
            "INSERT INTO user_merge.merges (id, account_id) VALUES ($2, $1)",
            false,
        ),
        (
            "INSERT INTO user_merge.merges (account_id, id) VALUES ($2, $1)",
            false,
        ),
        ("SELECT 1 FROM helpdesk.accounts WHERE id = $1)", true),
        ("SELECT 1 FROM helpdesk.accounts", false),
        ("SELECT user_merge.canonical_user($1, $2)", true),
        ("SELECT user_merge.canonical_user($2, $1)", false),
    ];
    for (sql, bounded) in cases {
        assert_eq!(unbounded(sql).is_empty(), bounded, "{sql}");
    }
}
