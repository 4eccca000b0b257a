//! Help, versions, and what is said about wrong usage and wrong settings.

use super::{assert_one_sentence, user_merge};
use crate::harness::{Desk, command, output};

const COMMANDS: [&str; 7] = [
    "worker",
    "enqueue",
    "status",
    "dead-letters",
    "migrate",
    "schema",
    "verify",
];

#[tokio::test]
async fn every_command_explains_itself_with_examples() {
    let desk = Desk::open().await;
    let top = user_merge(&desk.settings, "--help").await;
    assert_eq!((top.status, top.stderr.as_str()), (0, ""));
    for name in COMMANDS {
        assert!(
            top.stdout.contains(&format!("\n  {name} ")),
            "{name} in {top:?}"
        );
        let help = user_merge(&desk.settings, &format!("{name} --help")).await;
        assert_eq!(help.status, 0);
        let example = format!("\n  user-merge {name}");
        let (_, examples) = help.stdout.split_once("Examples:").expect("examples");
        let global = format!("{name} ");
        assert!(
            examples.contains(&example) || examples.contains(&global),
            "{help:?}"
        );
    }
    assert!(
        top.stdout.contains("USER_MERGE__DATABASE__URL=") && top.stdout.contains("Exit status")
    );
}

/// An example in a help text is one that works: its arguments at least are read.
#[tokio::test]
async fn every_example_is_one_that_is_understood() {
    let mut desk = Desk::open().await;
    desk.settings.database.url = None;
    desk.settings.broker.url = None;
    let mut tried = 0;
    for name in COMMANDS {
        let help = user_merge(&desk.settings, &format!("{name} --help"))
            .await
            .stdout;
        let examples = help.split_once("Examples:").unwrap().1;
        for line in examples
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("  "))
        {
            let Some((_, arguments)) = line.split_once("user-merge ") else {
                continue;
            };
            // Behind two spaces stands what it is for; a file is not there.
            let arguments = arguments.split("   ").next().unwrap();
            if arguments.contains("--config") {
                continue;
            }
            let output = user_merge(&desk.settings, arguments).await;
            let understood = output.status == 0 || output.stderr.contains("is not set");
            assert!(understood, "{line}: {output:?}");
            tried += 1;
        }
    }
    assert!(tried >= 10, "{tried}");
}

#[tokio::test]
async fn the_version_is_the_crates() {
    let desk = Desk::open().await;
    for arguments in ["--version", "worker --version"] {
        let output = user_merge(&desk.settings, arguments).await;
        assert_eq!(output.status, 0);
        assert!(
            output.stdout.trim().ends_with(env!("CARGO_PKG_VERSION")),
            "{output:?}"
        );
    }
}

#[tokio::test]
async fn wrong_usage_is_exit_status_2() {
    let desk = Desk::open().await;
    for (arguments, part) in [
        ("", "Usage: user-merge"),
        ("merge", "unrecognized subcommand 'merge'"),
        ("enqueue --account 1 --source 2", "--target <ID>"),
        (
            "enqueue --account 0 --source 2 --target 3",
            "whole number from 1",
        ),
        (
            "enqueue --account 1 --source 2 --target 3 --timeout 1s",
            "--wait",
        ),
        (
            "enqueue --account 1 --source 2 --target 3 --wait --timeout soon",
            "--timeout",
        ),
        (
            "enqueue --account 1 --source 2 --target 3 --key é",
            "printable ASCII",
        ),
        ("status --account 1", "<KEY_OR_ID>"),
        ("worker now", "unexpected argument 'now'"),
    ] {
        let output = user_merge(&desk.settings, arguments).await;
        assert_eq!(output.status, 2, "{arguments}");
        assert!(output.stderr.contains(part), "{arguments}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}

#[tokio::test]
async fn a_wrong_setting_is_exit_status_2_and_named_with_what_would_be_right() {
    let desk = Desk::open().await;
    for (variable, value, parts) in [
        (
            "USER_MERGE__CHUNK__MIN",
            "many",
            ["chunk.min = \"many\"", "a whole number"],
        ),
        (
            "USER_MERGE__CHUNK__MIN",
            "0",
            ["chunk.min", "from 1 to 100000"],
        ),
        (
            "USER_MERGE__RETRY__BASE",
            "5",
            ["retry.base = \"5\"", "\"750ms\""],
        ),
        (
            "USER_MERGE__CHUNK__MIM",
            "5",
            [
                "USER_MERGE__CHUNK__MIM: no such setting",
                "is USER_MERGE__CHUNK__MIN meant?",
            ],
        ),
        (
            "USER_MERGE__TELEMETRY__LOG_FORMAT",
            "xml",
            ["telemetry.log_format", "auto, text or json"],
        ),
        (
            "RUST_LOG",
            "a=b=c",
            ["RUST_LOG = \"a=b=c\"", "info,user_merge::merge=debug"],
        ),
        (
            "USER_MERGE__BROKER__URL",
            "",
            ["broker.url", "amqps://user:password@host/vhost"],
        ),
    ] {
        let mut command = command(
            &desk.settings,
            &["enqueue", "--account=1", "--source=2", "--target=3"],
        );
        command.env(variable, value);
        let output = output(command).await;
        assert_eq!(output.status, 2, "{output:?}");
        for part in parts {
            assert_one_sentence(&output, part);
        }
    }
}

#[tokio::test]
async fn errors_are_json_where_json_was_asked_for() {
    let desk = Desk::open().await;
    let mut command = command(&desk.settings, &["--json", "status", "x"]);
    command.env("USER_MERGE__CHUNK__MIN", "many");
    let output = output(command).await;
    assert_eq!((output.status, output.stdout.as_str()), (2, ""));
    let error: serde_json::Value = serde_json::from_str(&output.stderr).unwrap();
    assert!(
        error["error"].as_str().unwrap().contains("chunk.min"),
        "{error}"
    );
}
