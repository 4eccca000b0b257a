//! Failpoints: each stands in the program once, and a release build has none of them.

use std::fs;
use std::process::Command;

use user_merge::failpoint::Point;

use super::lexer::Token;
use super::source::{program, root};

#[test]
fn every_failpoint_stands_in_the_program_once() {
    let mut used: Vec<String> = Vec::new();
    for file in program() {
        let points = file.code.windows(4).filter_map(|window| {
            let is_point = window[0].is("failpoint") && window[1].is("!") && window[2].is("(");
            window[3].word().filter(|_| is_point)
        });
        used.extend(points.map(str::to_owned));
    }
    used.sort_unstable();
    let mut listed: Vec<String> = Point::ALL.iter().map(|p| format!("{p:?}")).collect();
    listed.sort_unstable();
    assert_eq!(used, listed);
}

/// The file as the compiler sees it in a release build: all that is left of a failpoint can stand in a constant
/// function, which waits for nothing, reads no environment and does nothing.
#[test]
fn a_release_build_has_no_failpoints() {
    let directory = tempfile::tempdir().unwrap();
    let path = root().join("src/failpoint.rs");
    let passed = Point::ALL
        .iter()
        .map(|p| format!("failpoint!({p:?}); failpoint!({p:?}, else return);"));
    let passed = passed.collect::<Vec<_>>().concat();
    let main = format!(
        "#[path = {path:?}] mod failpoint;
         use failpoint::failpoint;
         const fn pass() {{ {passed} }}
         fn main() {{ const {{ pass() }} }}"
    );
    fs::write(directory.path().join("main.rs"), main).unwrap();
    let compile = |assertions: &str| {
        let mut rustc = Command::new("rustc");
        rustc.current_dir(directory.path()).args(["--edition=2024"]);
        rustc.args(["--emit=metadata", "--allow=warnings", "main.rs", "-C"]);
        rustc.arg(format!("debug-assertions={assertions}"));
        let output = rustc.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    let (is_compiled, said) = compile("off");
    assert!(is_compiled, "{said}");
    let (is_compiled, _) = compile("on");
    assert!(!is_compiled, "the check itself finds nothing");
}

/// Only what is left out of a release build knows the variables.
#[test]
fn one_file_reads_the_variables_of_failpoints() {
    let says = |token: &Token| matches!(token, Token::Text(text) if text.starts_with("USER_MERGE_FAILPOINT"));
    let files = program().into_iter();
    let files = files.filter(|file| file.code.iter().any(says));
    let files: Vec<_> = files.map(|file| file.path).collect();
    assert_eq!(files, ["src/failpoint/armed.rs"]);
}
