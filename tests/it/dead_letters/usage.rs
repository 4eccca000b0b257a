//! What has to be said before anything is taken, and to whom.

use std::io::Write as _;
use std::process::Stdio;

use super::{BULK, DEAD, dead_letters, desk, given_up, ready};
use crate::harness::{Desk, command, key, output};

const SINCE: &str = "2026-11-22T09:00:00Z";

/// Nothing happens by leaving something out.
#[tokio::test]
async fn it_has_to_be_said_what_and_that() {
    let (desk, queues) = desk().await;
    given_up(&queues, &key("k-1", 1, 2), "deadlock", "bulk", SINCE).await;
    for (line, part) in [
        ("replay", "say which dead letters"),
        ("replay --yes", "say which dead letters"),
        ("replay --yes --limit 5", "say which dead letters"),
        ("replay --all", "nobody can be asked here"),
        ("replay --reason deadlock", "nobody can be asked here"),
        (
            "replay --all --reason deadlock --yes",
            "--all doesn't go with a filter",
        ),
        ("replay --all --yes --rate 0", "must be 1/s to 1000/s"),
        ("discard --yes --no-save", "say which dead letters"),
        ("discard --all --no-save", "nobody can be asked here"),
        ("discard --all --yes", "--save FILE, or --no-save"),
    ] {
        let output = dead_letters(&desk, line).await;
        assert_eq!(output.status, 2, "{line}: {output:?}");
        assert!(output.stderr.contains(part), "{line}: {output:?}");
    }
    assert_eq!(queues.count(DEAD).await, 1);
    assert!(queues.peek(BULK).await.is_none());
}

/// The program on a terminal of its own, where somebody types this: the exit status and all that is shown there.
async fn on_a_terminal(desk: &Desk, line: &str, typed: &'static str) -> (i32, String) {
    let program = env!("CARGO_BIN_EXE_user-merge");
    let line = format!("{program} dead-letters {line}");
    let mut terminal = command(&desk.settings, &[]);
    let variables: Vec<_> = terminal
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    terminal = std::process::Command::new("script");
    terminal.env_clear().envs(variables).env("TERM", "xterm");
    terminal.args(["-qec", &line, "/dev/null"]);
    let running = terminal.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = running.spawn().unwrap();
    let mut keyboard = running.stdin.take().unwrap();
    let typing = move || {
        keyboard.write_all(typed.as_bytes()).unwrap();
        let output = running.wait_with_output().unwrap();
        drop(keyboard);
        output
    };
    let ended = tokio::task::spawn_blocking(typing).await.unwrap();
    let shown = String::from_utf8(ended.stdout).unwrap();
    (ended.status.code().unwrap(), shown)
}

#[tokio::test]
async fn on_a_terminal_it_asks() {
    let (desk, queues) = desk().await;
    for n in 1..=3 {
        let request = key(&format!("k-{n}"), n, 99);
        given_up(&queues, &request, "deadlock", "bulk", SINCE).await;
    }
    for no in ["n\n", "\n", "yesterday\n"] {
        let (status, shown) = on_a_terminal(&desk, "replay --all", no).await;
        assert_eq!(status, 1, "{shown}");
        assert!(shown.contains("Replay 3 dead letters? [y/N]"), "{shown}");
        assert!(shown.contains("nothing was replayed"), "{shown}");
        ready(&queues, DEAD, 3).await;
    }
    let (status, shown) = on_a_terminal(&desk, "replay --key k-2", "y\n").await;
    assert!(
        status == 0 && shown.contains("1 of 1 that match replayed"),
        "{shown}"
    );
    ready(&queues, BULK, 1).await;
    let line = "discard --all --no-save --limit 1";
    let (status, shown) = on_a_terminal(&desk, line, "yes\n").await;
    assert!(
        status == 0 && shown.contains("Discard 1 dead letters?"),
        "{shown}"
    );
    ready(&queues, DEAD, 1).await;
}

/// An example in a help text is one that works: its arguments at least are read.
#[tokio::test]
async fn every_example_is_understood() {
    let mut desk = Desk::open().await;
    desk.settings.broker.url = None;
    desk.settings.database.url = None;
    let mut tried = 0;
    for name in ["list", "show", "replay", "discard"] {
        let help = dead_letters(&desk, &format!("{name} --help")).await;
        assert_eq!(help.status, 0);
        let (_, examples) = help.stdout.split_once("Examples:\n").unwrap();
        for line in examples.lines().take_while(|line| line.starts_with("  ")) {
            let mut arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
            if ["replay", "discard"].contains(&name) && !line.contains("--yes") {
                arguments.push("--yes");
            }
            let output = output(command(&desk.settings, &arguments)).await;
            assert!(output.stderr.contains("is not set"), "{line}: {output:?}");
            tried += 1;
        }
    }
    assert!(tried >= 12, "{tried}");
}
